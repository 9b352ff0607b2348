"""Finds columns of a table that repeat the label."""

import numpy as np
import pandas as pd

from zoo.data.config import format_column_kinds
from zoo.data.tables.cells import strip_cells
from zoo.data.tables.column_cells import parse_cells
from zoo.data.tables.columns import Column
from zoo.data.tables.frame_rows import FrameRows, RowRange

_BLOCK_ROWS = 1 << 13  # that are looked at together
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
    distinct = len(np.unique(labels))
    if labels.dtype.kind != "f" and len(y) < 2 * distinct:  # most have one row only
        return ()
    copies = [column.name for column in columns if _is_copy(rows, column, labels, distinct)]
    return tuple(
        f"column {name!r}: each label has a value of its own there, and no other: if it is the "
        f"label in other words, pass {format_column_kinds([name], 'drop')}"
        for name in copies
    )


def _is_copy(rows: FrameRows, column: Column, labels: np.ndarray, distinct: int) -> bool:
    """Whether a column goes together with the labels one to one; numbers have to be the same.

    Most columns are told apart by their first block.
    """
    if column.kind not in ("category", "number") or column.has_missing or column.has_rare:
        return False
    if column.kind == "category" and len(column.values) != distinct:
        return False
    pairs, start = pd.DataFrame(), 0
    for part in rows.iterate_ranges(_BLOCK_ROWS):
        cells, block = _read_cells(part, column), labels[start : start + part.size]
        start += part.size
        if labels.dtype.kind == "f":
            if column.kind != "number" or (cells.astype("float32") != block).any():
                return False
            continue
        pairs = pd.concat([pairs, pd.DataFrame({"cell": cells, "label": block})]).drop_duplicates()
        if not (pairs["cell"].is_unique and pairs["label"].is_unique):
            return False
    return True


def _read_cells(rows: RowRange, column: Column) -> np.ndarray:
    """Returns the cells of a category as strings, those of numbers as float64."""
    if column.name in rows.columns.numbers and column.kind == "number":
        return rows.read_numbers(column.name)
    cells = strip_cells(rows.read_cells(column.name))
    if column.kind == "number":
        return parse_cells(cells, column)
    return cells.fillna("").to_numpy(object)
