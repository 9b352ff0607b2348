"""Turns the cells of columns into features, in training and in serving alike.

Cells are numbers, NaN where missing, or strings, "" where missing: of categories, dates and texts.
The exported model takes them by the names of the columns. They become features: a number less its
median, divided by its spread; the code of a category; the parts of a date; the ids of a text's
tokens.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data.tables.cells import DECORATION_STEPS, NUMBER_PATTERN
from zoo.data.tables.columns import MISSING, Column, count_features
from zoo.data.tables.dates import parse_dates
from zoo.data.tables.number_scaling import LINEAR_RANGE, place_numbers
from zoo.data.tables.number_units import make_unit_steps
from zoo.data.texts.text_encoding import make_encoder, pad_tokens

_BLANKS = r"[\s\v\x1c-\x1f\x{85}\p{Z}]"

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class ColumnGroup:
    """Columns that are encoded together: all numbers, or one other column.

    Attributes:
        columns: The columns.
        encode: Function from float64 numbers of shape (batch, columns), or strings of shape
            (batch,), to float32 features of shape (batch, count).
        positions: Places of these features among all features, int64 (count,).
        table: The lookup table that the function uses, or None.
    """

    columns: tuple[Column, ...]
    encode: Callable[[tf.Tensor], tf.Tensor]
    positions: np.ndarray
    table: Any = None


def parse_number_strings(texts: tf.Tensor, unit: str = "") -> tf.Tensor:
    """Parses strings as float64 numbers in a graph, as `cells.parse_numbers` does without one."""
    for pattern, replacement in (*make_unit_steps(unit), *DECORATION_STEPS):
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    texts = tf.strings.regex_replace(texts, rf"^{_BLANKS}+|{_BLANKS}+$", "")
    is_number = tf.strings.regex_full_match(texts, NUMBER_PATTERN)
    numbers = tf.strings.to_number(tf.where(is_number, texts, "0"), tf.float64)
    is_known = is_number & tf.math.is_finite(numbers)  # 1e310 is too large
    return tf.where(is_known, numbers, tf.constant(math.nan, tf.float64))


# cached, since a lookup table is made for each category and text
@functools.lru_cache(maxsize=4)
def make_column_groups(columns: tuple[Column, ...]) -> tuple[ColumnGroup, ...]:
    """Returns how the columns of a table are encoded.

    The features of all columns but texts come first, in the order of the columns; then the token
    ids of the texts.
    """
    ordered = sorted(columns, key=lambda column: column.kind == "text")
    ends = itertools.accumulate(count_features((column,)) for column in ordered)
    starts = dict(zip(ordered, [0, *ends], strict=False))
    numbers = tuple(column for column in columns if column.kind == "number")
    groups = [_make_number_group(numbers, [starts[c] for c in numbers])] if numbers else []
    for column in columns:
        positions = starts[column] + np.arange(count_features((column,)))
        if column.kind == "date":
            encode = functools.partial(_encode_dates, column=column)
            groups.append(ColumnGroup((column,), encode, positions))
        elif column.tokenizer:
            groups.append(_make_text_group(column, positions))
        elif column.kind == "category":
            groups.append(_make_category_group(column, positions))
    return tuple(groups)


def make_column_encoder(
    columns: tuple[Column, ...],
) -> tuple[Callable[[Tensors], tf.Tensor], list[Any]]:
    """Returns the function that encodes the cells of columns, and the lookup tables that it uses.

    The function takes a tensor of shape (batch,) for each column by its name, float64 for numbers
    and strings for others, and returns float32 features of shape (batch, features).
    """
    groups = make_column_groups(columns)
    order = np.argsort(np.concatenate([group.positions for group in groups]))

    def encode(cells: Tensors) -> tf.Tensor:
        features = []
        for group in groups:
            parts = [cells[column.name] for column in group.columns]
            is_number = group.columns[0].kind == "number"
            features.append(group.encode(tf.stack(parts, axis=1) if is_number else parts[0]))
        return tf.gather(tf.concat(features, axis=1), order, axis=1)

    return encode, [group.table for group in groups if group.table is not None]


def _make_number_group(columns: tuple[Column, ...], starts: list[int]) -> ColumnGroup:
    centers, scales = ([[getattr(c, name) for c in columns]] for name in ("center", "scale"))
    lacking = np.flatnonzero([column.has_missing for column in columns])

    def encode(values: tf.Tensor) -> tf.Tensor:
        is_finite = tf.math.is_finite(values)
        z = tf.where(is_finite, (values - centers) / scales, 0)
        size = tf.abs(z)
        # continuous, with a slope of 1, at the end of the linear range
        compressed = LINEAR_RANGE + tf.math.log(tf.maximum(size - LINEAR_RANGE, 0) + 1)
        z = tf.where(size > LINEAR_RANGE, tf.sign(z) * compressed, z)
        indicators = tf.gather(tf.cast(~is_finite, tf.float32), lacking, axis=1)
        return tf.concat([tf.cast(z, tf.float32), indicators], axis=1)

    return ColumnGroup(columns, encode, place_numbers(columns, starts))


def _make_category_group(column: Column, positions: np.ndarray) -> ColumnGroup:
    values = [value.lower() for value in column.values] if column.is_boolean else column.values
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(values), tf.range(1, len(column.values) + 1, dtype=tf.int64)
        ),
        default_value=len(column.values) + 1 if column.has_rare else 0,
    )

    def encode(cells: tf.Tensor) -> tf.Tensor:
        known = _remove_missing(cells)
        known = tf.strings.lower(known) if column.is_boolean else known
        return tf.cast(table.lookup(known), tf.float32)[:, None]

    return ColumnGroup((column,), encode, positions, table)


def _make_text_group(column: Column, positions: np.ndarray) -> ColumnGroup:
    tokenizer = column.tokenizer
    assert tokenizer is not None
    encode_texts, tables = make_encoder(tokenizer)

    def encode(cells: tf.Tensor) -> tf.Tensor:
        ids = encode_texts(_remove_missing(cells))
        return tf.cast(pad_tokens(ids, tokenizer), tf.float32)

    return ColumnGroup((column,), encode, positions, tables)


def _encode_dates(cells: tf.Tensor, column: Column) -> tf.Tensor:
    days, month = parse_dates(_remove_missing(cells), column.date_format)
    whole_days = tf.floor(days)
    cycles = [month / 12, tf.math.floormod(whole_days + 3, 7) / 7]  # 1970-01-01 was a Thursday
    if column.has_time:
        cycles.append(days - whole_days)
    is_date = tf.math.is_finite(days)
    parts = [wave(2 * math.pi * cycle) for cycle in cycles for wave in (tf.sin, tf.cos)]
    waves = tf.stack([tf.cast(tf.where(is_date, x, 0), tf.float32) for x in parts], axis=1)
    elapsed = _make_number_group((column,), [0]).encode(days[:, None])
    return tf.concat([elapsed[:, :1], waves, elapsed[:, 1:]], axis=1)


def _remove_missing(cells: tf.Tensor) -> tf.Tensor:
    """Strips strings, and replaces by "" what stands for a missing value."""
    # the white space that Python's `str.strip` removes; `tf.strings.strip` removes ASCII only
    cells = tf.strings.regex_replace(cells, rf"^{_BLANKS}+|{_BLANKS}+$", "")
    missing = "|".join(rf"\Q{mark}\E" for mark in MISSING)
    return tf.where(tf.strings.regex_full_match(cells, missing), "", cells)
