"""Sets what layers take from the training split before the training, as Keras' `adapt` does."""

from collections.abc import Container

import keras
import numpy as np

from zoo.data.splits import Arrays, Data, iterate_raw_batches
from zoo.layers.log_count_ratios import LogCountRatios
from zoo.layers.weights import set_layer_weights

_BATCH_SIZE = 1024


def adapt_layers(model: keras.Model, data: Data, copied: Container[str] = ()) -> None:
    """Sets the statistics of the model's layers from the training split.

    Layers in `copied` keep theirs.
    """
    adapt_normalization(model, data, copied)
    for layer in model.layers:
        if isinstance(layer, LogCountRatios) and layer.name not in copied:
            layer.adapt(iterate_raw_batches(data.train, _BATCH_SIZE))


def adapt_normalization(model: keras.Model, data: Data, copied: Container[str] = ()) -> None:
    """Sets the statistics of the model's `Normalization` layers from the training split.

    Layers in `copied` keep theirs.
    """
    for name, column in (("normalization", 0), ("denormalization", 1)):
        layer = next((layer for layer in model.layers if layer.name == name), None)
        if layer is None or name in copied:
            continue
        if isinstance(data.train, Arrays):
            # NumPy adds up the rows one by one, for which float32 is too short
            layer.adapt((data.train.x, data.train.y)[column].astype("float64"))
        else:
            values = data.train.read(None).map(lambda *pair, column=column: pair[column])
            layer.adapt(values.batch(_BATCH_SIZE))
        if name == "normalization":
            mean, variance, *rest = layer.get_weights()
            # a constant column gets scale 1, so that another value of it later is not infinite
            set_layer_weights(layer, [mean, np.where(variance == 0, 1, variance), *rest])
