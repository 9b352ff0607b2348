"""Texts in columns of a table, which are read when they are needed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.data.tables.cells import strip_cells
from zoo.data.tables.frame_rows import FrameRows

_BLOCK_ROWS = 1 << 13


class RowTexts:
    """One or two columns of texts; slices of it are object arrays of strings, (n,) or (n, 2).

    Args:
        rows: The rows of the table.
        names: Names of the columns.
        strips: Whether the texts are without blanks around them; missing ones are then "".
    """

    def __init__(self, rows: FrameRows, names: tuple[str, ...], strips: bool = False):
        self.rows, self.names = rows, names
        self._strips = strips
        self._number, self._block = -1, np.array([], object)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Any:
        """Returns texts for a slice or row numbers, one for a number, `RowTexts` for a mask."""
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self))
            blocks = range(first // _BLOCK_ROWS, -(-last // _BLOCK_ROWS))
            parts = [self._read_block(number) for number in blocks]
            start = first - blocks.start * _BLOCK_ROWS
            joined = np.concatenate([self._block[:0], *parts]) if len(parts) != 1 else parts[0]
            return joined[start : start + max(last - first, 0)]
        if isinstance(rows, np.ndarray) and rows.dtype == bool:
            return RowTexts(self.rows[rows], self.names, self._strips)
        if isinstance(rows, np.ndarray):
            return np.array([self[int(row)] for row in rows], object)
        return self._read_block(rows // _BLOCK_ROWS)[rows % _BLOCK_ROWS]

    @staticmethod
    def concat(parts: Sequence["RowTexts"]) -> "RowTexts":
        """Returns the texts of all parts, which have the same columns."""
        first = parts[0]
        return RowTexts(FrameRows.concat([part.rows for part in parts]), first.names, first._strips)

    def _read_block(self, number: int) -> np.ndarray:
        """Returns the texts of a block, and keeps them for the next time."""
        if number != self._number:
            first = number * _BLOCK_ROWS
            frame = self.rows.read_rows(first, first + _BLOCK_ROWS)
            if self._strips:
                frame = frame[list(self.names)].apply(lambda cells: strip_cells(cells).fillna(""))
            columns = [frame[name].to_numpy(object) for name in self.names]
            self._block = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
            self._number = number
        return self._block
