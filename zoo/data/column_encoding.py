"""Turns the cells of tables into features, in training and in serving alike.

Cells become records, NumPy's structured arrays with a field for each column: numbers as float64,
NaN where missing; categories, dates and texts as strings, "" where missing. The exported model
takes the same by the same names. Records become features: a number less its median, divided by its
spread; the code of a category; the parts of a date; the ids of a text's tokens.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.cells import NUMBER_PATTERN, parse_numbers, strip_cells
from zoo.data.columns import MISSING, Column
from zoo.data.text_encoding import make_encoder, pad_tokens

_LINEAR_RANGE = 4.0  # spreads around the median; farther values are compressed by a logarithm
_NORMAL_RANGE = 1.349  # interquartile range of a normal distribution, in standard deviations
_BATCH_SIZE = 1 << 16
_BLANKS = r"[\s\v\x1c-\x1f\x{85}\p{Z}]"
_TIME = r"(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_DATE_PARTS = {".": r"\.", "%Y": r"(\d{4})", "%m": r"(\d{1,2})", "%d": r"(\d{1,2})"}

Tensors = Mapping[str, tf.Tensor]


def parse_number_strings(texts: tf.Tensor) -> tf.Tensor:
    """Parses strings as float64 numbers in a graph, NaN where they are no numbers."""
    texts = tf.strings.strip(texts)
    is_number = tf.strings.regex_full_match(texts, NUMBER_PATTERN)
    numbers = tf.strings.to_number(tf.where(is_number, texts, "0"), tf.float64)
    return tf.where(is_number, numbers, tf.constant(math.nan, tf.float64))


def parse_dates(texts: tf.Tensor, date_format: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses dates, with or without a time of the day.

    Args:
        texts: Strings of shape (n,).
        date_format: One of `zoo.data.columns.DATE_FORMATS`.

    Returns:
        Days since 1970-01-01, with the time of the day as a fraction, float64 (n,), NaN for what
        is no date; and the month from 0 to 11, float64 (n,).
    """
    pattern, order = date_format, [letter for letter in date_format if letter in "Ymd"]
    for part, group in _DATE_PARTS.items():
        pattern = pattern.replace(part, group)
    pattern = f"^{pattern}{_TIME}$"
    is_date = tf.strings.regex_full_match(texts, pattern)
    texts = tf.where(is_date, texts, _format_epoch(date_format))

    def get_part(group):
        digits = tf.strings.regex_replace(texts, pattern, rf"\{group}")
        return tf.strings.to_number(tf.where(digits == "", "0", digits), tf.int64)

    year, month, day = (get_part(1 + order.index(part)) for part in "Ymd")
    hour, minute, second = map(get_part, (4, 5, 6))
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    february = 28 + tf.cast(is_leap, tf.int64)
    last_day = tf.where(month == 2, february, 30 + (month + month // 8) % 2)
    is_date &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= last_day)
    # days_from_civil of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    shifted = year - tf.cast(month <= 2, tf.int64)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    days = tf.cast(era * 146_097 + day_of_era - 719_468, tf.float64)
    seconds = tf.cast(hour * 3600 + minute * 60 + second, tf.float64)
    not_a_number = tf.constant(math.nan, tf.float64)
    return tf.where(is_date, days + seconds / 86_400, not_a_number), tf.cast(month - 1, tf.float64)


def _format_epoch(date_format: str) -> str:
    """Returns 1970-01-01 in the given form."""
    return date_format.replace("%Y", "1970").replace("%m", "01").replace("%d", "01")


def measure_spread(values: np.ndarray) -> tuple[float, float]:
    """Returns the median and the spread of numbers, both robust to outliers.

    The spread is the interquartile range of the finite numbers, in standard deviations of a normal
    distribution; or their standard deviation if half of them are equal; or 1 if all are.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, center, high = np.quantile(finite, [0.25, 0.5, 0.75])
    scale = (high - low) / _NORMAL_RANGE or finite.std()
    # what rounding leaves of equal numbers
    is_constant = scale <= 1e-12 * max(abs(center), np.finfo(float).tiny)
    return float(center), 1.0 if is_constant else float(scale)


def make_records(frame: pd.DataFrame, columns: tuple[Column, ...]) -> np.ndarray:
    """Returns the rows of a table as records, a structured array of shape (n,)."""
    types = [(c.name, "f8" if c.kind == "number" else "O") for c in columns]
    records = np.empty(len(frame), types)
    for column in columns:
        cells = strip_cells(frame[column.name])
        if column.kind == "number":
            records[column.name] = parse_numbers(cells, column.decimal, column.thousands)
        else:
            records[column.name] = cells.fillna("").to_numpy(object)
    return records


def make_random_records(
    columns: tuple[Column, ...], count: int, random: np.random.Generator
) -> np.ndarray:
    """Returns records such as the training split may have had, of shape (count,)."""
    records = make_records(pd.DataFrame({c.name: [""] * count for c in columns}), columns)
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
                times = pd.to_datetime(np.round(numbers), unit="D").strftime(column.date_format)
                records[column.name] = times.to_numpy(object)
    return records


# cached, since a lookup table is made for each category and text
@functools.lru_cache(maxsize=4)
def make_column_encoder(
    columns: tuple[Column, ...],
) -> tuple[Callable[[Tensors], tf.Tensor], list[Any]]:
    """Returns the function that encodes records, and the lookup tables that it uses.

    The function takes a tensor of shape (batch,) for each column, float64 for numbers and strings
    for others, and returns float32 features of shape (batch, features). The token ids of texts
    come last.
    """
    tables = {
        column.name: tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(column.values), tf.range(1, len(column.values) + 1, dtype=tf.int64)
            ),
            default_value=len(column.values) + 1 if column.has_rare else 0,
        )
        for column in columns
        if column.kind == "category"
    }

    encoders = {
        column.name: make_encoder(column.tokenizer) for column in columns if column.tokenizer
    }
    for _, layer in encoders.values():
        layer.build(None)

    def encode(record: Tensors) -> tf.Tensor:
        features: list[tf.Tensor] = []
        tokens: list[tf.Tensor] = []
        for column in columns:
            cells = record[column.name]
            if column.kind == "number":
                features += _encode_numbers(cells, column)
            elif column.kind == "date":
                features += _encode_dates(_remove_missing(cells), column)
            elif column.tokenizer:
                ids = encoders[column.name][0](_remove_missing(cells))
                tokens.append(pad_tokens(ids, column.tokenizer))
            else:
                codes = tables[column.name].lookup(_remove_missing(cells))
                features.append(tf.cast(codes, tf.float32))
        dense = [tf.stack(features, axis=1)] if features else []
        return tf.concat([*dense, *(tf.cast(ids, tf.float32) for ids in tokens)], axis=1)

    return encode, [*tables.values(), *(layer for _, layer in encoders.values())]


def encode_records(records: np.ndarray, columns: tuple[Column, ...]) -> np.ndarray:
    """Returns the features of records, float32 of shape (n, features)."""
    encode, _ = make_column_encoder(columns)
    batches = []
    with progress_bar(len(records), "encoding columns") as bar:
        for start in range(0, len(records), _BATCH_SIZE):
            batch = records[start : start + _BATCH_SIZE]
            batches.append(encode({c.name: tf.constant(batch[c.name]) for c in columns}).numpy())
            bar.update(len(batch))
    return np.concatenate(batches)


def _remove_missing(cells: tf.Tensor) -> tf.Tensor:
    """Strips strings, and replaces by "" what stands for a missing value."""
    # the white space that Python's `str.strip` removes; `tf.strings.strip` removes ASCII only
    cells = tf.strings.regex_replace(cells, rf"^{_BLANKS}+|{_BLANKS}+$", "")
    return tf.where(tf.strings.regex_full_match(cells, "|".join(MISSING)), "", cells)


def _encode_numbers(values: tf.Tensor, column: Column) -> list[tf.Tensor]:
    is_finite = tf.math.is_finite(values)
    z = tf.where(is_finite, (values - column.center) / column.scale, 0)
    size = tf.abs(z)
    # continuous, with a slope of 1, at the end of the linear range
    compressed = _LINEAR_RANGE + tf.math.log(tf.maximum(size - _LINEAR_RANGE, 0) + 1)
    z = tf.where(size > _LINEAR_RANGE, tf.sign(z) * compressed, z)
    indicator = [tf.cast(~is_finite, tf.float32)] if column.has_missing else []
    return [tf.cast(z, tf.float32), *indicator]


def _encode_dates(texts: tf.Tensor, column: Column) -> list[tf.Tensor]:
    days, month = parse_dates(texts, column.date_format)
    whole_days = tf.floor(days)
    cycles = [month / 12, tf.math.floormod(whole_days + 3, 7) / 7]  # 1970-01-01 was a Thursday
    if column.has_time:
        cycles.append(days - whole_days)
    is_date = tf.math.is_finite(days)
    parts = [wave(2 * math.pi * cycle) for cycle in cycles for wave in (tf.sin, tf.cos)]
    elapsed, *indicator = _encode_numbers(days, column)
    return [elapsed, *(tf.cast(tf.where(is_date, x, 0), tf.float32) for x in parts), *indicator]
