"""Encodes the rows of tables as features, block by block, and as clients send them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.mapped_files import allocate_array
from zoo.data.parallel import map_in_threads
from zoo.data.tables.cells import parse_raw_numbers, strip_cells
from zoo.data.tables.column_encoding import ColumnGroup, make_column_encoder, make_column_groups
from zoo.data.tables.columns import Column, count_features
from zoo.data.tables.date_forms import format_days
from zoo.data.tables.frame_rows import FrameRows, RowRange
from zoo.data.tables.number_scaling import scale_numbers
from zoo.data.texts.batch_encoding import make_batch_encoder, pad_rows

_BLOCK_SIZE = 1 << 21  # cells and features of the rows that are read together
_MIN_ROWS = 512  # of these
_MANY_TEXTS = 1 << 14  # that are encoded together


class TableRecords:
    """Rows of a table as clients send them; slices of it are structured arrays.

    They have a field for each column: numbers as float64, NaN where missing, and others as strings,
    "" where missing.

    Args:
        rows: The rows.
        columns: The columns.
    """

    def __init__(self, rows: FrameRows, columns: tuple[Column, ...]):
        self.rows, self.columns = rows, columns

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self):
        for start in range(0, len(self), _MIN_ROWS):
            yield from self[start : start + _MIN_ROWS]

    def __getitem__(self, rows):
        """Returns records (n,) for a slice, one for a number, and `TableRecords` for a mask."""
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self))
            return make_records(self.rows.read_rows(first, last), self.columns)
        if isinstance(rows, np.ndarray):
            return TableRecords(self.rows[rows], self.columns)
        return make_records(self.rows.read_rows(rows, rows + 1), self.columns)[0]


def make_records(frame: pd.DataFrame, columns: tuple[Column, ...]) -> np.ndarray:
    """Returns the rows of a table as records, a structured array of shape (n,)."""
    records = _make_empty_records(columns, len(frame))
    for column in columns:
        cells = frame[column.name]
        records[column.name] = (
            _read_numbers(cells, column)
            if column.kind == "number"
            else strip_cells(cells).fillna("").to_numpy(object)
        )
    return records


def _make_empty_records(columns: tuple[Column, ...], count: int) -> np.ndarray:
    return np.empty(count, [(c.name, "f8" if c.kind == "number" else "O") for c in columns])


def encode_records(records: np.ndarray, columns: tuple[Column, ...]) -> np.ndarray:
    """Returns the features of a few records, float32 of shape (n, features)."""
    encode, _ = make_column_encoder(columns)
    return encode({c.name: tf.constant(records[c.name]) for c in columns}).numpy()


def make_random_records(
    columns: tuple[Column, ...], count: int, random: np.random.Generator
) -> np.ndarray:
    """Returns records such as the training split may have had, of shape (count,)."""
    records = _make_empty_records(columns, count)
    for column in columns:
        if column.kind == "category":
            records[column.name] = random.choice(np.array([*column.values, ""], object), count)
        elif column.tokenizer:
            words = random.choice(column.tokenizer.vocabulary, (count, 12))
            records[column.name] = [" ".join(row) for row in words]
        else:
            numbers = column.center + column.scale * random.normal(size=count)
            records[column.name] = numbers
            if column.kind == "date":
                records[column.name] = format_days(numbers, column.date_format)
    return records


def encode_rows(
    rows: FrameRows, columns: tuple[Column, ...], budget: int, directory: str | None = None
) -> np.ndarray:
    """Returns the features of the rows of a table.

    Args:
        rows: The rows.
        columns: The columns, as they were learned.
        budget: Largest number of bytes of the features in memory; more are in a mapped file.
        directory: Folder of that file; None for that of temporary files.

    Returns:
        float32 of shape (n, features).

    Raises:
        UserError: if there is no space left for the file.
    """
    width = count_features(columns)
    features = allocate_array((len(rows), width), "float32", budget, directory)
    groups = make_column_groups(columns)
    size = max(_BLOCK_SIZE // (width + len(columns)), _MIN_ROWS)
    numbers = [group for group in groups if group.columns[0].kind == "number"]
    others = [group for group in groups if group.columns[0].kind != "number"]
    with (
        progress_bar(len(rows), "encoding columns", unit=" rows") as bar,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):

        def encode_part(part: RowRange, block: np.ndarray) -> int:
            for group in numbers:
                _fill_numbers(part, group, block)
            return len(block)

        parts = [*_divide_features(rows, size, features)]
        scaled = pool.map(encode_part, *zip(*parts, strict=True)) if parts else iter(())
        for part, block in parts:
            for group in others:
                block[:, group.positions] = _encode_strings(part, group)
            bar.update(next(scaled))
    return features


def _divide_features(
    rows: FrameRows, size: int, features: np.ndarray
) -> Iterator[tuple[RowRange, np.ndarray]]:
    """Yields the rows, of at most `size` at a time, and the part of the features that is theirs."""
    start = 0
    for part in rows.iterate_ranges(size):
        yield part, features[start : start + part.size]
        start += part.size


def _fill_numbers(rows: RowRange, group: ColumnGroup, features: np.ndarray) -> None:
    """Writes the features of the columns of numbers."""
    for column, start in zip(group.columns, group.positions, strict=False):
        numbers = (
            rows.read_numbers(column.name)
            if column.name in rows.columns.numbers
            else _read_numbers(rows.read_cells(column.name), column)
        )
        scale_numbers(numbers, column, features[:, start : start + 1 + column.has_missing])


def _encode_strings(rows: RowRange, group: ColumnGroup) -> np.ndarray:
    """Returns the features of a column that has no numbers, float32 (rows, count)."""
    (column,) = group.columns
    # each different string is encoded once
    codes, values = pd.factorize(strip_cells(rows.read_cells(column.name)).fillna(""))
    texts = np.asarray(values, object)
    batches = [texts[start : start + _MANY_TEXTS] for start in range(0, len(texts), _MANY_TEXTS)]
    if column.tokenizer:
        encode_texts = make_batch_encoder(column.tokenizer)
        encoded = map_in_threads(encode_texts, batches)
        features = np.concatenate([pad_rows(ids, column.tokenizer) for ids in encoded])
    else:
        features = np.concatenate([group.encode(tf.constant(batch)).numpy() for batch in batches])
    return features[codes]


def _read_numbers(cells: pd.Series, column: Column) -> np.ndarray:
    """Returns numbers as float64, NaN where they are missing or none."""
    return parse_raw_numbers(cells, column.decimal, column.thousands, column.unit)
