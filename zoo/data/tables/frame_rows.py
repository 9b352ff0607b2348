"""Rows of the tables of files, which are read column by column and block by block.

The cells of a large table are in a file that is mapped into memory: what is read of them at a time
is small.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from zoo.data.tables.cells import has_numbers

BLOCK_ROWS = 1 << 17


class FrameColumns:
    """The columns of a DataFrame by name, which take a while to get where there are thousands.

    Args:
        frame: The DataFrame.

    Attributes:
        frame: The DataFrame.
        cells: Its columns.
        numbers: Those of numbers, as Arrow has them.
        row_hashes: Names of columns, and a hash of their cells in each row, once it is computed.
    """

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame
        self.cells = {str(name): cells for name, cells in frame.items()}
        self.numbers = {
            name: pa.chunked_array(pa.array(cells.array))
            for name, cells in self.cells.items()
            if has_numbers(cells)
        }
        self.row_hashes: tuple[tuple[str, ...], np.ndarray] | None = None

    def read_numbers(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Returns cells of a column of numbers, float64 (n,), NaN where they are missing."""
        return self.numbers[name][rows].to_numpy().astype("float64", copy=False)


class RowRange(NamedTuple):
    """Consecutive rows of a frame, of which some are selected.

    Attributes:
        columns: The columns of the frame.
        rows: The rows.
        mask: Which of these are selected, bool (rows,); None for all.
    """

    columns: FrameColumns
    rows: slice
    mask: np.ndarray | None

    @property
    def size(self) -> int:
        """Number of the selected rows."""
        if self.mask is not None:
            return int(self.mask.sum())
        return len(range(*self.rows.indices(len(self.columns.frame))))

    def read_cells(self, name: str) -> pd.Series:
        """Returns the selected cells of a column."""
        cells = self.columns.cells[name].iloc[self.rows]
        return cells if self.mask is None else cells[self.mask]

    def read_numbers(self, name: str) -> np.ndarray:
        """Returns the selected cells of a column of numbers, float64 (n,), NaN where missing."""
        numbers = self.columns.read_numbers(name, self.rows)
        return numbers if self.mask is None else numbers[self.mask]


class FrameRows:
    """Rows of one or several DataFrames with the same columns, in their order.

    Selecting rows copies no cells.

    Args:
        frames: The DataFrames.
        masks: For each of them which rows are selected, bool (n,), or None for all; None for all
            rows of all of them.

    Attributes:
        parts: The columns of each frame.
        masks: As above.
    """

    def __init__(
        self,
        *frames: pd.DataFrame | FrameColumns,
        masks: Sequence[np.ndarray | None] | None = None,
    ) -> None:
        self.parts = [x if isinstance(x, FrameColumns) else FrameColumns(x) for x in frames]
        self.masks = [None] * len(frames) if masks is None else list(masks)
        self._sizes = [
            len(part.frame) if mask is None else int(mask.sum())
            for part, mask in zip(self.parts, self.masks, strict=True)
        ]

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.parts[0].cells)

    def __len__(self) -> int:
        return sum(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self.parts[0].cells

    def __getitem__(self, rows: np.ndarray) -> "FrameRows":
        """Returns the rows that are set in a boolean mask of shape (len(self),)."""
        masks = []
        selections = np.split(rows, np.cumsum(self._sizes)[:-1])
        for part, mask, selection in zip(self.parts, self.masks, selections, strict=True):
            selected = np.zeros(len(part.frame), bool)
            selected[slice(None) if mask is None else np.flatnonzero(mask)] = selection
            masks.append(selected)
        return FrameRows(*self.parts, masks=masks)

    def select_columns(self, names: Sequence[str]) -> "FrameRows":
        """Returns the rows with some of their columns."""
        return FrameRows(*(part.frame[list(names)] for part in self.parts), masks=self.masks)

    def has_numbers(self, name: str) -> bool:
        """Whether a column has numbers, and not strings or other values."""
        return all(name in part.numbers for part in self.parts)

    def has_lists(self, name: str) -> bool:
        """Whether the first value of a column is a list."""
        cells = self.parts[0].cells[name]
        return cells.dtype == object and isinstance(next(iter(cells.dropna()), None), list)

    def read_numbers(self, name: str) -> np.ndarray:
        """Returns a column of numbers, float64 (n,), NaN where they are missing."""
        columns = [
            part.read_numbers(name)[slice(None) if mask is None else mask]
            for part, mask in zip(self.parts, self.masks, strict=True)
        ]
        return np.concatenate(columns)

    def iterate_cells(self, name: str) -> Iterator[pd.Series]:
        """Yields the cells of a column, of at most `BLOCK_ROWS` rows at a time."""
        return (part.read_cells(name) for part in self.iterate_ranges(BLOCK_ROWS))

    def read_rows(self, first: int, last: int) -> pd.DataFrame:
        """Returns the rows from `first` up to, but not including, `last`."""
        blocks, start = [self.parts[0].frame.iloc[:0]], 0
        for part, numbers, size in zip(self.parts, self._row_numbers, self._sizes, strict=True):
            rows = slice(max(first - start, 0), max(min(last - start, size), 0))
            if rows.start < rows.stop:
                blocks.append(part.frame.iloc[rows if numbers is None else numbers[rows]])
            start += size
        return pd.concat(blocks[1:] or blocks, ignore_index=True)

    def to_frame(self) -> pd.DataFrame:
        """Returns all cells, in memory."""
        return self.read_rows(0, len(self))

    @staticmethod
    def concat(rows: Sequence["FrameRows"]) -> "FrameRows":
        """Returns the rows of all of them."""
        parts = [part for each in rows for part in each.parts]
        return FrameRows(*parts, masks=[mask for each in rows for mask in each.masks])

    def iterate_ranges(self, size: int) -> Iterator[RowRange]:
        """Yields the rows, of at most `size` at a time."""
        for part, mask in zip(self.parts, self.masks, strict=True):
            for start in range(0, len(part.frame), size):
                rows = slice(start, start + size)
                selection = None if mask is None else mask[rows]
                if selection is None or selection.any():
                    yield RowRange(part, rows, selection)

    @functools.cached_property
    def _row_numbers(self) -> list[np.ndarray | None]:
        """Numbers of the selected rows of each frame, int64; None for all."""
        return [None if mask is None else np.flatnonzero(mask) for mask in self.masks]
