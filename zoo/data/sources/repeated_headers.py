"""Finds the lines of column names within a table, as where files were joined."""

import numpy as np
import pandas as pd

from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import STRING
from zoo.errors import UserError


def find_repeated_headers(table: Table, label: str) -> np.ndarray:
    """Returns which rows have the names of all columns, bool of shape (rows,).

    The names may have other blanks or another case, and a byte order mark may come first.

    Args:
        table: The table.
        label: The column to predict, which is looked at first.

    Raises:
        UserError: if the names are in another order: the cells below are of other columns.
    """
    frame = table.frame
    names = ["" if name.startswith("unnamed_") else name.strip().lower() for name in frame]
    found = np.zeros(len(frame), bool)
    rows = np.arange(len(frame))
    for name in (label, *frame):
        if not len(rows) or frame[name].dtype != STRING:
            return found
        cells = frame[name] if len(rows) == len(frame) else frame[name].iloc[rows]
        rows = rows[_fold_names(cells).isin(names).to_numpy(bool)]
    written = np.array([_fold_names(frame[name].iloc[rows]) for name in frame], object)
    for row, cells in zip(rows.tolist(), written.T.tolist(), strict=True):
        found[row] = cells == names
        if not found[row] and sorted(cells) == sorted(names):
            raise UserError(
                f"{table.find_line(row)}: this line repeats the names of the columns in another "
                "order: put the columns below it in the order of the first line"
            )
    return found


def _fold_names(cells: pd.Series) -> pd.Series:
    """Returns names of columns as they are compared."""
    return cells.fillna("").str.strip("\ufeff \t\r\n").str.lower()
