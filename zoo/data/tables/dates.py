"""Parses dates with TensorFlow operations, in training and in exported graphs alike."""

import math
import re

import tensorflow as tf

from zoo.data.tables.date_forms import MONTHS, PIVOT, get_date_parts, make_date_pattern

_EPOCH = {"%Y": "1970", "%y": "70", "%m": "01", "%b": "Jan", "%d": "01", "%H": "00", "%M": "00"}


def parse_dates(texts: tf.Tensor, date_format: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses dates, with or without a time of the day. Times with an offset are converted to UTC.

    A form without a day is of the first of the month, one without a date of 1970-01-01.

    Args:
        texts: Strings of shape (n,).
        date_format: One of `zoo.data.tables.date_forms.DATE_FORMATS`.

    Returns:
        Days since 1970-01-01, with the time of the day as a fraction, float64 (n,), NaN for what
        is no date; and the month from 0 to 11, float64 (n,).
    """
    names = get_date_parts(date_format)
    pattern = f"^{make_date_pattern(date_format)}$"
    is_date = tf.strings.regex_full_match(texts, pattern)
    epoch = re.sub("%.", lambda part: _EPOCH[part[0]], date_format)
    texts = tf.where(is_date, texts, epoch)
    parts = {
        name: tf.strings.regex_replace(texts, pattern, rf"\{group}")
        for group, name in enumerate(names, 1)
    }
    year, month, day = _get_date(parts, texts)
    seconds, is_time = _get_seconds(parts, texts)
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    february = 28 + tf.cast(is_leap, tf.int64)
    last_day = tf.where(month == 2, february, 30 + (month + month // 8) % 2)
    is_date &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= last_day)
    is_date &= is_time
    # days_from_civil of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    shifted = year - tf.cast(month <= 2, tf.int64)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    days = tf.cast(era * 146_097 + day_of_era - 719_468, tf.float64)
    # the offset may lead to the day before or after
    month -= tf.cast((seconds < 0) & (day == 1), tf.int64)
    month += tf.cast((seconds >= 86_400) & (day == last_day), tf.int64)
    days += tf.cast(seconds, tf.float64) / 86_400
    not_a_number = tf.constant(math.nan, tf.float64)
    return tf.where(is_date, days, not_a_number), tf.cast((month - 1) % 12, tf.float64)


def _get_date(parts: dict[str, tf.Tensor], texts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the year, the month and the day, int64 (n,)."""
    first = tf.ones_like(texts, tf.int64)
    year = _to_integers(parts["Y"]) if "Y" in parts else 1970 * first
    if "y" in parts:
        year = _to_integers(parts["y"])
        year += tf.where(year >= PIVOT, 1900 * first, 2000 * first)
    month = _to_integers(parts["m"]) if "m" in parts else first
    if "b" in parts:
        names = tf.strings.lower(tf.strings.substr(parts["b"], 0, 3))
        month = 1 + tf.argmax(tf.cast(names[:, None] == tf.constant(MONTHS), tf.int32), axis=1)
    return year, month, _to_integers(parts["d"]) if "d" in parts else first


def _get_seconds(parts: dict[str, tf.Tensor], texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the seconds of the day in UTC, int64 (n,), and whether they are of a time."""
    hour, minute, second = (_to_integers(parts[name]) for name in "HMS")
    has_half = parts["p"] != ""
    is_time = (minute <= 59) & (second <= 60)
    is_time &= tf.where(
        has_half,
        (hour >= 1) & (hour <= 12),
        ((parts["H"] == "") | (parts["M"] != "")) & (hour * 3600 + minute * 60 + second <= 86_400),
    )
    after_noon = tf.where(tf.strings.lower(parts["p"]) == "p", 12 * tf.ones_like(hour), 0)
    hour = tf.where(has_half, hour % 12 + after_noon, hour)
    is_behind = tf.strings.regex_full_match(texts, r".*[:mM].*-\d{2}:?(\d{2})?")
    offset = _to_integers(parts["offset_hour"]) * 3600 + _to_integers(parts["offset_minute"]) * 60
    return hour * 3600 + minute * 60 + second - tf.where(is_behind, -offset, offset), is_time


def _to_integers(digits: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_number(tf.where(digits == "", "0", digits), tf.int64)
