"""Hashes of rows of tables: to find those that are the same, and data that has changed."""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from zoo.data.tables.cells import STRING
from zoo.data.tables.frame_rows import BLOCK_ROWS, FrameColumns, FrameRows
from zoo.data.tables.row_texts import RowTexts

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, with bits in no pattern
_MISSING = np.uint64(0x5BD1E9955BD1E995)


def hash_rows(
    splits: Mapping[str, FrameRows | RowTexts | np.ndarray], names: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Returns a hash of the inputs of each row of each split, uint64 (n,).

    Args:
        splits: Rows of a table, texts, an array (n,) or (n, columns), or images, by name.
        names: Names of the columns of a table that count; empty for all.
    """
    # the splits of a table select rows of the same frame
    of_parts: dict[int, np.ndarray] = {}
    hashes = {}
    for split, inputs in splits.items():
        if isinstance(inputs, np.ndarray) and inputs.ndim > 2:
            digests = [hashlib.blake2b(x.tobytes(), digest_size=8).digest() for x in inputs]
            hashes[split] = np.frombuffer(b"".join(digests), "uint64")
            continue
        if isinstance(inputs, np.ndarray):
            columns = FrameColumns(pd.DataFrame(inputs))
            hashes[split] = _hash_columns(columns, list(columns.cells))
            continue
        if isinstance(inputs, RowTexts):
            rows, chosen = inputs.rows, [*inputs.names]
        else:
            rows, chosen = inputs, [*names] or inputs.columns
        for part in rows.parts:
            if id(part) not in of_parts:
                of_parts[id(part)] = _hash_columns(part, chosen)
        hashes[split] = np.concatenate(
            [
                of_parts[id(part)][slice(None) if mask is None else mask]
                for part, mask in zip(rows.parts, rows.masks, strict=True)
            ]
        )
    return hashes


def _hash_columns(columns: FrameColumns, names: Sequence[str]) -> np.ndarray:
    """Returns a hash of each row, uint64 (n,). It is kept, since it is needed several times."""
    if columns.row_hashes is None or columns.row_hashes[0] != tuple(names):
        size = len(columns.frame)
        hashes = np.zeros(size, "uint64")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, size, BLOCK_ROWS)]
            for rows in blocks:
                hash_cells = functools.partial(_hash_column, columns, rows)
                for hashed in pool.map(hash_cells, names):
                    part = hashes[rows]
                    part ^= hashed
                    part *= _MULTIPLIER
                    part ^= part >> np.uint64(32)
        columns.row_hashes = tuple(names), hashes
    return columns.row_hashes[1]


def _hash_column(columns: FrameColumns, rows: slice, name: str) -> np.ndarray:
    """Returns a hash of each cell of some rows of a column, uint64 (n,)."""
    if name in columns.numbers:
        return pd.util.hash_array(columns.read_numbers(name, rows))
    return _hash_cells(columns.cells[name].iloc[rows])


def _hash_cells(cells: pd.Series) -> np.ndarray:
    """Returns a hash of each cell, uint64 (n,)."""
    if cells.dtype.kind in "fiub":
        return pd.util.hash_array(cells.to_numpy("float64"))
    if cells.dtype != STRING:
        cells = cells.map(str, na_action="ignore")
    codes, values = pd.factorize(cells)
    hashed = pd.util.hash_array(np.asarray(values, object), categorize=False)
    return np.append(hashed, _MISSING)[codes]  # the code of a missing cell is -1
