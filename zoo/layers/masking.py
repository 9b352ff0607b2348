"""Operations on padded token sequences whose results do not depend on the padding.

Masks are bool tensors of shape (batch, length), True for tokens and False for the padding, which is
at the end. Sequences have shape (batch, length, width).
"""

from keras import ops


def count_tokens(mask):
    """Counts the tokens of each sequence: int32 of shape (batch,)."""
    return ops.sum(ops.cast(mask, "int32"), axis=1)


def gather_at(x, positions):
    """Picks one vector per sequence, at `positions` of shape (batch,): shape (batch, width)."""
    return ops.squeeze(ops.take_along_axis(x, positions[:, None, None], axis=1), axis=1)


def reverse_tokens(x, mask):
    """Reverses the tokens of each sequence and leaves the padding where it is."""
    positions = ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=1) - 1
    source_positions = ops.where(mask, count_tokens(mask)[:, None] - 1 - positions, positions)
    return ops.take_along_axis(x, source_positions[:, :, None], axis=1)


def masked_mean(x, mask):
    """Averages over the tokens of each sequence: shape (batch, width)."""
    weights = ops.cast(mask, x.dtype)[:, :, None]
    return ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)


def masked_max(x, mask):
    """Takes the maximum over the tokens of each sequence: shape (batch, width)."""
    lowest = -6e4  # in the range of float16
    return ops.max(ops.where(mask[:, :, None], x, lowest), axis=1)
