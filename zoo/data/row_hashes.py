"""Hashes of rows and columns: to find rows that are the same, and data that has changed."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zoo.data.cells import STRING, has_numbers
from zoo.data.frame_rows import BLOCK_ROWS, FrameRows
from zoo.data.row_texts import RowTexts

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, with bits in no pattern
_MISSING = np.uint64(0x5BD1E9955BD1E995)


def hash_rows(inputs: FrameRows | RowTexts | np.ndarray) -> np.ndarray:
    """Returns a hash of the inputs of each row, uint64 (n,).

    Args:
        inputs: Rows of a table, texts, or an array (n,) or (n, columns).
    """
    hashes = np.zeros(len(inputs), "uint64")
    if isinstance(inputs, FrameRows):
        for name in inputs.columns:
            _mix_column(hashes, inputs.iterate_column(name))
        return hashes
    for start in range(0, len(inputs), BLOCK_ROWS):
        frame = pd.DataFrame(inputs[start : start + BLOCK_ROWS])
        for name in frame:
            _mix_column(hashes[start : start + len(frame)], iter([frame[name]]))
    return hashes


def _mix_column(hashes: np.ndarray, blocks: Iterator[pd.Series]) -> None:
    """Mixes the cells of one more column into the hashes of their rows, in place."""
    start = 0
    for cells in blocks:
        part = hashes[start : start + len(cells)]
        part ^= _hash_cells(cells)
        part *= _MULTIPLIER
        part ^= part >> np.uint64(32)
        start += len(cells)


def _hash_cells(cells: pd.Series) -> np.ndarray:
    """Returns a hash of each cell, uint64 (n,)."""
    if has_numbers(cells) or cells.dtype.kind in "fiub":
        return pd.util.hash_array(cells.to_numpy("float64", na_value=np.nan))
    if cells.dtype != STRING:
        cells = cells.map(str, na_action="ignore")
    codes, values = pd.factorize(cells)
    hashed = pd.util.hash_array(np.asarray(values, object), categorize=False)
    return np.append(hashed, _MISSING)[codes]  # the code of a missing cell is -1


def hash_columns(rows: FrameRows, names: list[str]) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of columns: their names, order and cells."""
    digest = hashlib.sha256()
    for name in names:
        lengths, content = hashlib.sha256(), hashlib.sha256()
        for cells in rows.iterate_column(name):
            if has_numbers(cells):
                content.update(cells.to_numpy("float64", na_value=np.nan).tobytes())
                continue
            if cells.dtype != STRING:
                cells = cells.map(str, na_action="ignore").astype(STRING)
            strings = pa.array(cells)
            counts = pc.fill_null(pc.binary_length(strings), -1)
            lengths.update(counts.to_numpy(zero_copy_only=False).tobytes())
            for chunk in strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]:
                content.update(_view_content(chunk))
        digest.update(f"{name}\0{lengths.hexdigest()}{content.hexdigest()}".encode())
    return digest.hexdigest()[:16]


def _view_content(strings: pa.StringArray) -> memoryview:
    """Returns the bytes of all strings, one after the other."""
    _, offsets_buffer, content = strings.buffers()
    if content is None:
        return memoryview(b"")
    offsets = np.frombuffer(offsets_buffer, "int32")[strings.offset :][: len(strings) + 1]
    return memoryview(content)[offsets[0] : offsets[-1]]
