"""Sequences of tokens whose padding, at the end, never shows in what comes out."""

import keras
from keras import ops

from zoo.errors import UserError


def text_input(
    model: str, input_shape: tuple[int, ...]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Input `tokens`, int32 ids of shape (batch, any length), and a mask of what is no padding.

    Args:
        model: Name of the model, for the error message.
        input_shape: (most tokens,), which only learned positions depend on.

    Returns:
        The input, and booleans of the same shape. The first token always counts, so that an empty
        text has a representation too.

    Raises:
        UserError: if the shape is not one size.
    """
    if len(input_shape) != 1:
        raise UserError(f"{model}: input_shape={input_shape}: expected (most tokens,) of a text")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    first = ops.ones_like(tokens[:, :1], dtype="bool")
    return tokens, ops.concatenate([first, ops.not_equal(tokens[:, 1:], 0)], axis=1)


def lengths(mask):
    """Tokens of each row of a mask (batch, length): int32 of shape (batch,)."""
    return ops.sum(ops.cast(mask, "int32"), axis=1)


def at(x, positions):
    """The vector of each row of x, (batch, length, width), at its position, (batch,)."""
    return ops.squeeze(ops.take_along_axis(x, positions[:, None, None], axis=1), axis=1)


def reverse(x, mask):
    """Reverses each row of x, (batch, length, width), within its mask; padding stays."""
    positions = ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=1) - 1
    order = ops.where(mask, lengths(mask)[:, None] - 1 - positions, positions)
    return ops.take_along_axis(x, order[:, :, None], axis=1)


def mean(x, mask):
    """Mean over the tokens of x, (batch, length, width): (batch, width)."""
    weights = ops.cast(mask, x.dtype)[:, :, None]
    return ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)


def maximum(x, mask):
    """Largest value over the tokens of x, (batch, length, width): (batch, width)."""
    lowest = -6e4  # within float16
    return ops.max(ops.where(mask[:, :, None], x, lowest), axis=1)
