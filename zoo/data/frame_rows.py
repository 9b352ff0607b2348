"""Rows of the tables of files, which are read column by column and block by block.

The cells of a large table are in a file that is mapped into memory: what is read of them at a time
is small.
"""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

BLOCK_ROWS = 1 << 17


class FrameRows:
    """Rows of one or several DataFrames with the same columns, in their order.

    Selecting rows copies no cells.

    Args:
        frames: The DataFrames.
        masks: For each of them which rows are selected, bool (n,), or None for all; None for all
            rows of all of them.
    """

    def __init__(
        self, *frames: pd.DataFrame, masks: Sequence[np.ndarray | None] | None = None
    ) -> None:
        self._frames = frames
        self._masks = [None] * len(frames) if masks is None else list(masks)
        self._sizes = [
            len(frame) if mask is None else int(mask.sum())
            for frame, mask in zip(frames, self._masks, strict=True)
        ]

    @functools.cached_property
    def _row_numbers(self) -> list[np.ndarray | None]:
        """Numbers of the selected rows of each frame, int64; None for all."""
        return [None if mask is None else np.flatnonzero(mask) for mask in self._masks]

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._frames[0].columns)

    def __len__(self) -> int:
        return sum(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._frames[0]

    def __getitem__(self, rows: np.ndarray) -> "FrameRows":
        """Returns the rows that are set in a boolean mask of shape (len(self),)."""
        masks = []
        for frame, mask, part in zip(
            self._frames, self._masks, np.split(rows, np.cumsum(self._sizes)[:-1]), strict=True
        ):
            selected = np.zeros(len(frame), bool)
            selected[slice(None) if mask is None else np.flatnonzero(mask)] = part
            masks.append(selected)
        return FrameRows(*self._frames, masks=masks)

    def iterate_column(self, name: str, size: int = BLOCK_ROWS) -> Iterator[pd.Series]:
        """Yields the cells of a column, of at most `size` rows at a time."""
        for frame, start, stop, mask in self._iterate_ranges(size):
            cells = frame[name].iloc[start:stop]
            yield cells if mask is None else cells[mask]

    def iterate_blocks(
        self, names: Sequence[str], size: int = BLOCK_ROWS
    ) -> Iterator[pd.DataFrame]:
        """Yields columns, of at most `size` rows at a time."""
        for frame, start, stop, mask in self._iterate_ranges(size):
            block = frame[list(names)].iloc[start:stop]
            yield block if mask is None else block[mask]

    def read_column(self, name: str) -> pd.Series:
        """Returns all cells of a column."""
        return pd.concat(self.iterate_column(name), ignore_index=True)

    def read_rows(self, first: int, last: int) -> pd.DataFrame:
        """Returns the rows from `first` up to, but not including, `last`."""
        blocks, start = [self._frames[0].iloc[:0]], 0
        for frame, numbers, size in zip(self._frames, self._row_numbers, self._sizes, strict=True):
            part = slice(max(first - start, 0), max(min(last - start, size), 0))
            if part.start < part.stop:
                blocks.append(frame.iloc[part if numbers is None else numbers[part]])
            start += size
        return pd.concat(blocks[1:] or blocks, ignore_index=True)

    def to_frame(self) -> pd.DataFrame:
        """Returns all cells, in memory."""
        return self.read_rows(0, len(self))

    @staticmethod
    def concat(parts: Sequence["FrameRows"]) -> "FrameRows":
        """Returns the rows of all parts."""
        frames = [frame for part in parts for frame in part._frames]
        return FrameRows(*frames, masks=[mask for part in parts for mask in part._masks])

    def _iterate_ranges(
        self, size: int
    ) -> Iterator[tuple[pd.DataFrame, int, int, np.ndarray | None]]:
        """Yields ranges of rows that have selected ones, and which of them are selected."""
        for frame, mask in zip(self._frames, self._masks, strict=True):
            for start in range(0, len(frame), size):
                stop = min(start + size, len(frame))
                part = None if mask is None else mask[start:stop]
                if part is None or part.any():
                    yield frame, start, stop, part
