"""A functional model that is trained with plain arrays as well as with dicts of them."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from zoo.errors import UserError


@keras.saving.register_keras_serializable("zoo")
class LogitsModel(keras.Model):
    """A functional model from one named input to `{"logits": ...}`.

    Its input may be a dict or a plain array, and so may the targets and sample weights of `fit`
    and `evaluate`. A loss and metrics are given for the one output, or as dicts with the key
    "logits". Keras' own functional model warns about plain arrays where it was built with a dict.
    """

    def call(self, inputs, training=None, mask=None, **kwargs):
        """Computes the logits.

        Args:
            inputs: {name of the input: x}, or x alone, of shape (batch, *shape of an example).
            training: Whether dropout and batch normalisation work as in training.
            mask: A Keras mask of the input.
            **kwargs: Context that Keras passes on to the layers.

        Returns:
            {"logits": float32 of shape (batch, classes), or (batch, 1) for a regression}.

        Raises:
            UserError: if pixels are not as they were, see `check_pixels`; an
                InvalidArgumentError in a graph.
        """
        if not isinstance(inputs, dict):
            (name,) = self.input
            inputs = {name: inputs}
        for name, tensor in self.input.items():
            if tensor.dtype == "uint8" and name in inputs:
                inputs = {**inputs, name: check_pixels(name, inputs[name])}
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does; `class_weight` also works with a dict of targets.

        Args:
            x: Inputs, or a dataset of (inputs, targets).
            y: Targets, classes of shape (n,), or {"logits": targets}; None with a dataset.
            *args: As in `keras.Model.fit`.
            **kwargs: As in `keras.Model.fit`.

        Returns:
            The losses and metrics of each epoch.

        Raises:
            UserError: if the loss expects probabilities, or a class weight is of no class.
            KeyError: for class weights with a dict of targets that lacks "logits".
        """
        if isinstance(x, tf.data.Dataset):
            # Keras ignores its default of True for datasets, and warns about it
            kwargs.setdefault("shuffle", False)
        _check_loss(getattr(self, "loss", None))
        if (class_weight := kwargs.get("class_weight")) is not None:
            _check_class_weight(class_weight, self.output["logits"].shape[-1])
            x, y = unwrap_targets(x, y)
        return super().fit(x, y, *args, **kwargs)


def check_pixels(name: str, pixels: Any) -> Any:
    """Refuses pixels that were divided by 255 or standardised, or that have 16 bits.

    Keras casts them to the uint8 of the input without a word: pixels up to 1 would be 0 or 1, and
    of others the lower 8 bits.

    Args:
        name: Name of the input, for the error.
        pixels: The pixels of a batch.

    Returns:
        The pixels.

    Raises:
        UserError: for fractions up to 1, and numbers below 0 or above 255; an InvalidArgumentError
            in a graph.
    """
    pixels = tf.convert_to_tensor(pixels)
    if pixels.dtype in (tf.uint8, tf.bool):
        return pixels
    values = tf.cast(pixels, tf.float32)
    smallest, largest = tf.reduce_min(values), tf.reduce_max(values)
    is_rescaled = tf.reduce_any(values != tf.round(values)) & (largest <= 1)
    fits = (smallest >= 0) & (largest < 256) & ~is_rescaled
    message = (
        f"{name}: expected pixels from 0 to 255 as they are, got others, as of pixels that were "
        "rescaled or have 16 bits: the model rescales them itself"
    )
    if tf.executing_eagerly():
        if not fits:
            raise UserError(message)
        return pixels
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        return tf.identity(pixels)


def _check_loss(loss: Any) -> None:
    """Raises a UserError if a loss expects probabilities: Keras would clip the logits."""
    for item in keras.tree.flatten(loss):
        function = keras.losses.get(item) if isinstance(item, str) else item
        if isinstance(function, keras.losses.Loss):
            is_wrong = function.get_config().get("from_logits") is False
        else:  # its default is False
            is_wrong = (
                inspect.isfunction(function)
                and "from_logits" in inspect.signature(function).parameters
            )
        if is_wrong:
            name = getattr(function, "name", None) or function.__name__
            raise UserError(
                f"loss={name}: the model gives logits, and this loss expects probabilities: "
                "compile with from_logits=True, as in "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
            )


def _check_class_weight(class_weight: dict[Any, float], classes: int) -> None:
    """Raises a UserError if a key is no class: Keras would ignore it."""
    if unknown := [key for key in class_weight if key not in range(classes)]:
        raise UserError(
            f"class_weight: {unknown[0]!r} is no class: expected the numbers of classes, 0 to "
            f"{classes - 1}"
        )


def unwrap_targets(x: Any, y: Any) -> tuple[Any, Any]:
    """Takes the targets out of their dict, in which Keras refuses class weights.

    Args:
        x: Inputs, or a `tf.data.Dataset` of (inputs, targets).
        y: Targets, or {"logits": targets}; None with a dataset.

    Returns:
        x and y with plain targets; without a dict of targets they are returned as they are.

    Raises:
        KeyError: for a dict of targets that lacks "logits".
    """
    if isinstance(y, dict):
        return x, y["logits"]
    if isinstance(x, tf.data.Dataset):
        _, targets, _ = keras.utils.unpack_x_y_sample_weight(x.element_spec)
        if isinstance(targets, dict):
            x = x.map(lambda inputs, targets, *weights: (inputs, targets["logits"], *weights))
    return x, y
