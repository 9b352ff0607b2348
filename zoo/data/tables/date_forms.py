"""The forms of dates in tables, without TensorFlow."""

import contextlib
import datetime
import functools
import re

import numpy as np
import pandas as pd

# Forms of dates that are recognised, as strptime writes them. A time of the day may follow. Where
# several fit, the first is taken.
# fmt: off
DATE_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%y/%m/%d",
    "%d %b %Y", "%d %b %y", "%b %d, %Y", "%b %d, %y", "%Y %b %d", "%b %Y", "%Y-%m", "%Y%m%d",
    "%H:%M",
)
# fmt: on
COMPACT_FORMAT = "%Y%m%d"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PIVOT = 69  # two digits of a year are of the 20th century from here on, as in POSIX

_MONTH = (
    "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]? )?"
# hour and minute of the offset from UTC
_ZONE = r" ?(?:Z|UTC|GMT|[+-](\d{2})(?::?(\d{2}))?)"
# hour, minute, second and the letter of a.m. or p.m., and the offset
_TIME = (
    rf"(\d{{1,2}})(?::(\d{{2}})(?::(\d{{2}})(?:[.,]\d+)?)?)?(?: ?([AaPp])\.?[Mm]\.?)?(?:{_ZONE})?"
)
_PARTS = {
    ".": r"\.", "%Y": r"(\d{4})", "%y": r"(\d{2})", "%m": r"(\d{1,2})", "%d": r"(\d{1,2})"
}  # fmt: skip
# where months have names, other signs and none may be between the parts
_NAMED_PARTS = {
    ", ": r"[ ,./-]+",
    " ": r"[ ,./-]*",
    "%b": rf"({_MONTH})",
    "%d": r"(\d{1,2})(?:st|nd|rd|th)?",
    "%Y": r"(\d{4})",
    "%y": r"(\d{2})",
}
_MAX_LENGTH = 40  # of what may be a date
_LOOK = (
    rf"(?i)\b\d+(?:st|nd|rd|th)?[ ,./-]*{_MONTH}\b|\b{_MONTH}[ ,./-]*\d"
    r"|^(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d\d))(?:\D|$)"
    r"|^\d{4}[-/ ]?[QWH]\d|^\d{1,2}/\d{4}$|^\d{4}年\d{1,2}月"
)
_DURATION = (
    r"^-?(?:\d+ days?,? )?\d+:\d\d(?::\d\d(?:\.\d+)?)?$|^-?\d+ days?$"
    r"|^P(?:\d+D)?T?(?:\d+[HMS])+|^(?:\d+ ?h(?:ours?)? ?)?\d+ ?m(?:in)?(?: ?\d+ ?s)?$"
)


def make_date_pattern(date_format: str) -> str:
    """Returns the regular expression of dates of a form, of Python and TensorFlow alike.

    Its groups are the parts of the date in the order of `get_date_parts`.
    """
    if date_format == "%H:%M":
        return _TIME
    parts = _NAMED_PARTS if "%b" in date_format else _PARTS
    tokens = re.findall("|".join(map(re.escape, parts)) + "|.", date_format)
    date = "".join(parts.get(token, token) for token in tokens)
    return f"{_WEEKDAY * ('%b' in date_format)}{date}(?:(?:[T :]|, ){_TIME})?"


def get_date_parts(date_format: str) -> tuple[str, ...]:
    """Returns the letters of the parts of a date, those of its time, and those of the offset."""
    date = () if date_format == "%H:%M" else tuple(re.findall("[Yymbd]", date_format))
    return (*date, "H", "M", "S", "p", "offset_hour", "offset_minute")


def are_dates(cells: pd.Series, date_format: str) -> np.ndarray:
    """Returns which cells are dates of a form that exist, bool (n,)."""
    codes, values = pd.factorize(cells)
    valid = np.array([_is_date(str(value), date_format) for value in values] + [False])
    return valid[codes]


def match_date_pattern(cells: pd.Series, date_format: str) -> bool:
    """Whether a cell is written as dates of a form are."""
    pattern = _compile_pattern(date_format)
    return any(pattern.fullmatch(cell) for cell in cells)


def format_days(days: np.ndarray, date_format: str) -> np.ndarray:
    """Formats days since 1970-01-01 (n,) as dates, or the time of the day if a form has no date."""
    whole = days if date_format == "%H:%M" else np.round(days)
    return pd.to_datetime(whole, unit="D").strftime(date_format).to_numpy(object)


def look_like_dates(cells: pd.Series) -> bool:
    """Whether most cells look like dates, in whatever form: with digits and names of months."""
    return _match_most(cells, _LOOK)


def look_like_durations(cells: pd.Series) -> bool:
    """Whether most cells look like lengths of time: 2 days 03:04:05, 30:15, PT1H30M or 1h 20m."""
    return _match_most(cells, _DURATION)


def _match_most(cells: pd.Series, pattern: str) -> bool:
    look = cells.str.contains(pattern) & (cells.str.len() <= _MAX_LENGTH)
    return bool(len(cells)) and bool(look.mean() > 0.5)


def describe_date_format(date_format: str, rivals: tuple[str, ...]) -> str:
    """Returns a note on a form of dates that can be misread, or "".

    Args:
        date_format: The form.
        rivals: Others that fit all of the dates as well.
    """
    notes = []
    if "%y" in date_format:
        notes.append(f"years from {PIVOT} to 99 are those of 19{PIVOT} to 1999")
    if rivals:
        notes.append(
            f"{' and '.join(rivals)} would fit as well: write them as 2026-01-31 if that is it"
        )
    is_plain = date_format.startswith("%Y") or date_format in ("%d.%m.%Y", "%d-%m-%Y", "%H:%M")
    if not notes and (is_plain or "%b" in date_format) and date_format != COMPACT_FORMAT:
        return ""
    return "; ".join([f"dates are read as {date_format}", *notes])


@functools.lru_cache(maxsize=len(DATE_FORMATS))
def _compile_pattern(date_format: str) -> re.Pattern[str]:
    return re.compile(make_date_pattern(date_format), re.ASCII)


def _is_date(text: str, date_format: str) -> bool:
    match = _compile_pattern(date_format).fullmatch(text)
    if not match:
        return False
    parts = dict(zip(get_date_parts(date_format), match.groups(), strict=True))
    year = int(parts.get("Y") or parts.get("y") or 1970)
    month = MONTHS.index(parts["b"][:3].lower()) + 1 if "b" in parts else int(parts.get("m", 1))
    if "y" in parts:
        year += 1900 if year >= PIVOT else 2000
    with contextlib.suppress(ValueError):
        datetime.date(year, month, int(parts.get("d", 1)))
        return _is_time(parts)
    return False


def _is_time(parts: dict[str, str | None]) -> bool:
    """Whether there is no time of the day, or one from 0:00 to 24:00."""
    hour, minute, second = (int(parts[name] or 0) for name in "HMS")
    if parts["p"]:
        return 1 <= hour <= 12 and minute <= 59 and second <= 60
    is_whole = parts["H"] is None or parts["M"] is not None
    is_on_the_day = 3600 * hour + 60 * minute + second <= 86_400
    return is_whole and minute <= 59 and second <= 60 and is_on_the_day
