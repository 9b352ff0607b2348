"""Numbers of a split that are of another size than those of the training, as in another unit."""

import numpy as np

from zoo.data.tables.column_cells import ColumnCells, parse_cells
from zoo.data.tables.column_learning import measure_spread
from zoo.data.tables.columns import Column
from zoo.data.tables.frame_rows import FrameRows

_FAR = 10  # spreads of the training split, which three of four numbers are farther from its median
_NARROW = 0.1  # of the range of nine of ten numbers of the training split
_MIN_ROWS = 5
_SAMPLED_ROWS = 10_000


def describe_other_sizes(
    rows: FrameRows, columns: tuple[Column, ...], split_name: str, train: FrameRows | None
) -> tuple[str, ...]:
    """Returns notes on columns of numbers that are of another size than those of the training.

    Args:
        rows: A split that nothing was learned from.
        columns: The columns, as they were learned, in the form of the split.
        split_name: Name of the split.
        train: The training split; None if it is not there.
    """
    notes = []
    for column in columns:
        if column.kind == "number":
            numbers = _sample_numbers(rows, column)
            is_narrow = _measure_range(numbers) < column.scale
            known = _sample_numbers(train, column) if train and is_narrow else np.empty(0)
            if sizes := compare_sizes(numbers, known, column.center, column.scale):
                notes.append(f"column {column.name!r}: in the {split_name} split {sizes}")
    return tuple(notes)


def describe_added_sizes(
    rows: FrameRows, known: FrameRows, name: str, known_name: str
) -> tuple[str, ...]:
    """Returns notes on columns of numbers that are of another size in an added dataset.

    Args:
        rows: Rows that are added to a training split.
        known: The training split.
        name: What the added rows are called.
        known_name: What the training split is called.
    """
    notes = []
    for column in known.columns:
        if column not in rows.columns or not rows.has_numbers(column):
            continue
        if not known.has_numbers(column):
            continue
        numbers, train = rows.read_numbers(column), known.read_numbers(column)
        if sizes := compare_sizes(numbers, train, *measure_spread(train), known_name):
            notes.append(f"column {column!r}: in {name} {sizes}")
    return tuple(notes)


def compare_sizes(
    numbers: np.ndarray,
    train: np.ndarray,
    center: float,
    scale: float,
    known_name: str = "the training split",
) -> str:
    """Returns how numbers differ from those of the training if most of them do, or "".

    Args:
        numbers: float64 (n,), NaN where they are missing.
        train: Those of the training, float64 (m,); none if these are not there.
        center: Median of the training split.
        scale: Its spread, from `measure_spread`.
        known_name: What has the median and the spread.
    """
    finite = numbers[np.isfinite(numbers)]
    if len(finite) < _MIN_ROWS:
        return ""
    is_far = np.quantile(np.abs(finite - center), 0.25) > _FAR * scale
    if not (is_far or 0 < _measure_range(finite) < _NARROW * _measure_range(train)):
        return ""
    median, spread = measure_spread(finite)
    return (
        f"the numbers have the median {median:.6g} and the spread {spread:.4g}, in {known_name} "
        f"{center:.6g} and {scale:.4g}: check that they have the same unit"
    )


def _measure_range(numbers: np.ndarray) -> float:
    """Returns the range of nine of ten numbers; 0 without numbers."""
    finite = numbers[np.isfinite(numbers)]
    return float(np.ptp(np.quantile(finite, [0.05, 0.95]))) if len(finite) else 0.0


def _sample_numbers(rows: FrameRows, column: Column) -> np.ndarray:
    step = max(len(rows) // _SAMPLED_ROWS, 1)
    if rows.has_numbers(column.name):
        return rows.read_numbers(column.name)[::step]
    blocks = ColumnCells(rows, column.name, unit=column.unit).iterate_strings()
    return np.concatenate([np.empty(0), *(parse_cells(block[::step], column) for block in blocks)])
