"""Finds columns of a table that repeat the label."""

import numpy as np
import pandas as pd

from zoo.data.config import format_column_kinds
from zoo.data.tables.column_cells import ColumnCells, parse_cells
from zoo.data.tables.columns import Column
from zoo.data.tables.frame_rows import FrameRows

_SAMPLE = 1_000  # rows that are looked at first
_MIN_ROWS = 20  # fewer may agree by chance


def describe_label_copies(
    rows: FrameRows, columns: tuple[Column, ...], y: np.ndarray
) -> tuple[str, ...]:
    """Returns notes on columns that have a value of their own for each label.

    Args:
        rows: The training split.
        columns: Its columns.
        y: Its targets: class indices (n,), or numbers (n, 1); there are no copies of several labels
            per row.
    """
    if len(y) < _MIN_ROWS or (y.ndim > 1 and y.shape[1] > 1):
        return ()
    labels = y.ravel()
    if labels.dtype.kind != "f" and len(y) < 2 * len(np.unique(labels)):  # most have one row only
        return ()
    copies = [column.name for column in columns if _is_copy(rows, column, labels)]
    return tuple(
        f"column {name!r}: each label has a value of its own there, and no other: if it is the "
        f"label in other words, pass {format_column_kinds([name], 'drop')}"
        for name in copies
    )


def _is_copy(rows: FrameRows, column: Column, labels: np.ndarray) -> bool:
    """Whether a column goes together with the labels one to one; numbers have to be the same."""
    if column.kind not in ("category", "number") or column.has_missing or column.has_rare:
        return False
    if column.kind == "category":
        if len(column.values) != len(np.unique(labels)):
            return False
        blocks = ColumnCells(rows, column.name).iterate_strings()
        cells = pd.concat(list(blocks), ignore_index=True).fillna("")
    elif rows.has_numbers(column.name):
        cells = pd.Series(rows.read_numbers(column.name))
    else:
        blocks = ColumnCells(rows, column.name).iterate_strings()
        cells = pd.Series(np.concatenate([parse_cells(block, column) for block in blocks]))
    if labels.dtype.kind == "f":
        return column.kind == "number" and bool((cells.to_numpy("float32") == labels).all())
    if cells[:_SAMPLE].nunique() > len(np.unique(labels)):  # as in most columns
        return False
    pairs = pd.DataFrame({"cell": cells, "label": labels}).drop_duplicates()
    return bool(pairs["cell"].is_unique and pairs["label"].is_unique)
