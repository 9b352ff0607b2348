"""Cells of tables as strings and numbers, without TensorFlow."""

import collections
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zoo.data.columns import MISSING

STRING = pd.ArrowDtype(pa.string())
NUMBER_PATTERN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"

# signs of currencies, percent, and what separates thousands and is no decimal mark
DECORATION = "[$\u20ac\u00a3\u00a5\u20b9%'\u2019\\s\u00a0\u202f\u2009]"

# decimal mark, thousands separator, and what cells look like in numbers with them
_NUMBER_FORMS = (
    (".", ",", r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?"),
    (",", "", r"[+-]?\d*(,\d+)?([eE][+-]?\d+)?"),
    (",", ".", r"[+-]?\d{1,3}(\.\d{3})*(,\d+)?"),
)


def strip_cells(cells: pd.Series) -> pd.Series:
    """Returns the cells as strings without blanks around them, null where they are missing."""
    if cells.dtype != STRING:
        cells = cells.map(_to_text, na_action="ignore").astype(STRING)
    stripped = cells.str.strip()
    return stripped.mask(stripped.isin(["", *MISSING]))


def _to_text(value: object) -> str:
    """Returns a value as a text, with "?" for halves of characters, which JSON may have."""
    return str(value).encode("utf-8", "replace").decode()


def parse_numbers(cells: pd.Series, decimal: str = ".", thousands: str = "") -> np.ndarray:
    """Parses stripped cells as float64 numbers, NaN where they are missing or no numbers."""
    strings = pa.array(cells, pa.string())
    if thousands:
        strings = pc.replace_substring(strings, thousands, "")
    if decimal != ".":
        strings = pc.replace_substring(strings, decimal, ".")
    try:
        numbers = pc.cast(strings, pa.float64())
    except pa.ArrowInvalid:
        strings = pc.replace_substring_regex(strings, r"^\+", "")  # as in the labels +1 and -1
        strings = _remove_decoration(strings)
        is_number = pc.match_substring_regex(strings, f"^{NUMBER_PATTERN}$")
        numbers = pc.cast(pc.if_else(is_number, strings, None), pa.float64())
    values = numbers.to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def are_plain_numbers(cells: pd.Series) -> bool:
    """Whether all stripped cells that are not missing are numbers without any other mark."""
    try:
        pc.cast(pa.array(cells, pa.string()), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _remove_decoration(strings: pa.Array) -> pa.Array:
    """Removes what people write around the digits of a number, as in "$ 1 200" and "12%"."""
    strings = pc.replace_substring(strings, "\u2212", "-")
    return pc.replace_substring_regex(strings, DECORATION, "")


def find_number_form(cells: pd.Series) -> tuple[str, str, pd.Series]:
    """Returns the decimal mark and thousands separator that fit most cells, and which cells fit.

    Args:
        cells: Stripped cells, null where they are missing.

    Returns:
        The decimal mark, the thousands separator, and a boolean series for the cells that are not
        missing.
    """
    present = cells.dropna()
    best = (".", "", pd.Series(np.isfinite(parse_numbers(present)), present.index))
    if best[2].all():
        return best
    plain = pd.Series(_remove_decoration(pa.array(present, pa.string())), present.index, STRING)
    for decimal, thousands, pattern in _NUMBER_FORMS:
        fits = plain.str.fullmatch(pattern).astype(bool)
        has_marks = plain.str.contains("," if "," in (decimal, thousands) else thousands).any()
        if has_marks and fits.sum() > best[2].sum():
            best = (decimal, thousands, fits)
    return best


def find_case_variants(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'Neg' and 'neg'" for values that differ only in case."""
    by_lowercase = collections.defaultdict(list)
    for value in sorted(values):
        by_lowercase[value.lower()].append(value)
    return [" and ".join(map(repr, same)) for same in by_lowercase.values() if len(same) > 1]
