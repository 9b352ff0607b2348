"""Parses dates with TensorFlow operations, in training and in exported graphs alike."""

import math

import tensorflow as tf

from zoo.data.columns import make_date_pattern


def parse_dates(texts: tf.Tensor, date_format: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses dates, with or without a time of the day. Times with an offset are converted to UTC.

    Args:
        texts: Strings of shape (n,).
        date_format: One of `zoo.data.columns.DATE_FORMATS`.

    Returns:
        Days since 1970-01-01, with the time of the day as a fraction, float64 (n,), NaN for what
        is no date; and the month from 0 to 11, float64 (n,).
    """
    order = [letter for letter in date_format if letter in "Ymd"]
    pattern = f"^{make_date_pattern(date_format)}$"
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
    offset_hour, offset_minute = map(get_part, (7, 8))
    is_behind = tf.strings.regex_full_match(texts, r".*:.*-\d{2}:?(\d{2})?")
    offset = offset_hour * 3600 + offset_minute * 60
    seconds = hour * 3600 + minute * 60 + second - tf.where(is_behind, -offset, offset)
    # the offset may lead to the day before or after
    month -= tf.cast((seconds < 0) & (day == 1), tf.int64)
    month += tf.cast((seconds >= 86_400) & (day == last_day), tf.int64)
    days += tf.cast(seconds, tf.float64) / 86_400
    not_a_number = tf.constant(math.nan, tf.float64)
    return tf.where(is_date, days, not_a_number), tf.cast((month - 1) % 12, tf.float64)


def _format_epoch(date_format: str) -> str:
    """Returns 1970-01-01 in the given form."""
    return date_format.replace("%Y", "1970").replace("%m", "01").replace("%d", "01")
