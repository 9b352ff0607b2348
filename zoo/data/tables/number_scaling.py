"""Scales the numbers of a table as features, as the exported graph does it; without TensorFlow."""

from collections.abc import Sequence

import numpy as np

from zoo.data.tables.columns import Column

LINEAR_RANGE = 4.0  # spreads around the median; farther values are compressed by a logarithm


def place_numbers(columns: Sequence[Column], starts: Sequence[int]) -> np.ndarray:
    """Returns the places of the features of numbers, int64: the numbers, then the indicators."""
    lacking = [start + 1 for c, start in zip(columns, starts, strict=True) if c.has_missing]
    return np.array([*starts, *lacking], int)


def scale_numbers(numbers: np.ndarray, column: Column, features: np.ndarray) -> None:
    """Writes the features of a column of numbers, those of `zoo.data.tables.column_encoding`.

    Args:
        numbers: float64 (n,), NaN where they are missing.
        column: The column.
        features: Where the scaled numbers and, if the column has one, the indicator of missing ones
            are written: float32 (n, 1) or (n, 2).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        z = numbers - column.center
        z /= column.scale
        far = np.flatnonzero(np.abs(z) > LINEAR_RANGE)
        if len(far):
            # continuous, with a slope of 1, at the end of the linear range
            excess = np.abs(z[far]) - LINEAR_RANGE
            z[far] = np.sign(z[far]) * (LINEAR_RANGE + np.log(excess + 1))
        is_missing = ~np.isfinite(numbers)
        z[is_missing] = 0
        features[:, 0] = z
    if column.has_missing:
        features[:, 1] = is_missing
