"""Reading and setting the weights of a model layer by layer."""

from collections.abc import Sequence

import keras
import numpy as np


def weighted_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers that have weights, from the input to the head.

    Nested models are replaced by their layers.
    """
    weighted = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            weighted += weighted_layers(layer)
        elif layer.weights:
            weighted.append(layer)
    return weighted


def set_layer_weights(layer: keras.layers.Layer, arrays: Sequence[np.ndarray]) -> None:
    """Sets the weights of a layer, which a `Normalization` layer applies only once finalised."""
    layer.set_weights(arrays)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()
