"""The output layer that all models share."""

import keras
from keras import layers

from zoo.layers.logits_model import LogitsModel

HEAD = "head"  # name of the last layer with weights of every model


def classifier_head(
    name: str, inputs: keras.KerasTensor, x: keras.KerasTensor, num_classes: int | None
) -> LogitsModel:
    """Puts a dense head on `x` and returns the model.

    The head computes in float32 under mixed precision too.

    Args:
        name: Name of the model.
        inputs: The model's input.
        x: Features of shape (batch, width).
        num_classes: Number of classes; None for a regression, where an inverted `Normalization`
            layer converts the output to the units of the target once it has been adapted to the
            targets of the training split.

    Returns:
        A model from {name of the input: tensor} to {"logits": tensor of shape (batch, classes)}.
    """
    logits = layers.Dense(num_classes or 1, name=HEAD, dtype="float32")(x)
    if num_classes is None:
        logits = layers.Normalization(invert=True, name="denormalization", dtype="float32")(logits)
    return LogitsModel({inputs.name: inputs}, {"logits": logits}, name=name)
