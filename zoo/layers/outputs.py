"""The output layer that all models share."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from zoo.layers.logits_model import LogitsModel

HEAD = "head"  # name of the last layer with weights of every model
FEATURES = "features"  # name of the head's input as an output


def classifier_head(
    name: str,
    inputs: keras.KerasTensor,
    x: keras.KerasTensor,
    num_classes: int | None,
    kernel_initializer: str = "glorot_uniform",
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
        kernel_initializer: Keras' initializer of the head's kernel.

    Returns:
        A model from {name of the input: tensor} to {"logits": tensor of shape (batch, classes)}.
    """
    head = layers.Dense(
        num_classes or 1, kernel_initializer=kernel_initializer, name=HEAD, dtype="float32"
    )
    logits = head(x)
    if num_classes is None:
        logits = layers.Normalization(invert=True, name="denormalization", dtype="float32")(logits)
    return LogitsModel({inputs.name: inputs}, {"logits": logits}, name=name)


def expose_features(model: keras.Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a function that calls the model as in a prediction, for one trace of all outputs.

    Args:
        model: A functional model with named inputs and outputs.

    Returns:
        A function from {name of the input: x} to the outputs of the model, and, if it has a layer
        "head", also to "features", the input of that layer.
    """
    head = next((layer for layer in model.layers if layer.name == HEAD), None)
    if head is None:
        return lambda inputs: model(inputs, training=False)
    whole = keras.Model(model.input, {**model.output, FEATURES: head.input})
    if type(model).call in (LogitsModel.call, type(whole).call):
        return lambda inputs: whole(inputs, training=False)
    # a class of the user's, whose `call` may do more than the layers
    return lambda inputs: {**whole(inputs, training=False), **model(inputs, training=False)}
