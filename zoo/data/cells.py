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

# what cells look like in numbers with other decimal marks and thousands separators
OTHER_NUMBER_FORMS = {
    (".", ","): r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?",
    (",", ""): r"[+-]?\d*(,\d+)?([eE][+-]?\d+)?",
    (",", "."): r"[+-]?\d{1,3}(\.\d{3})*(,\d+)?",
}


def has_numbers(cells: pd.Series) -> bool:
    """Whether the cells are numbers, and not strings: those that a file's reader has parsed."""
    kind = getattr(cells.dtype, "pyarrow_dtype", None)
    return kind in (pa.int64(), pa.float64())


def clean_cells(cells: pd.Series) -> pd.Series:
    """Returns numbers that a file's reader has parsed as they are, others as `strip_cells`."""
    return cells if has_numbers(cells) else strip_cells(cells)


def strip_cells(cells: pd.Series) -> pd.Series:
    """Returns the cells as strings without blanks around them, null where they are missing."""
    if has_numbers(cells):
        return pd.Series(pa.array(cells).cast(pa.string()), cells.index, STRING, cells.name)
    if cells.dtype != STRING:
        cells = cells.map(_to_text, na_action="ignore").astype(STRING)
    stripped = cells.str.strip()
    return stripped.mask(stripped.isin(["", *MISSING]))


def _to_text(value: object) -> str:
    """Returns a value as a text, with "?" for halves of characters, which JSON may have."""
    return str(value).encode("utf-8", "replace").decode()


def parse_numbers(cells: pd.Series, decimal: str = ".", thousands: str = "") -> np.ndarray:
    """Parses stripped cells as float64 numbers, NaN where they are missing or no numbers."""
    if has_numbers(cells):
        return cells.to_numpy("float64", na_value=np.nan)
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
    if has_numbers(cells):
        return True
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
    # each different value is looked at once
    codes, values = pd.factorize(present)
    values, counts = pd.Series(values), np.bincount(codes, minlength=len(values))
    decimal, thousands, fits = ".", "", fit_number_form(values, ".", "")[0]
    for form in OTHER_NUMBER_FORMS if not fits.all() else ():
        other, has_marks = fit_number_form(values, *form)
        if has_marks and counts @ other > counts @ fits:
            (decimal, thousands), fits = form, other
    return decimal, thousands, pd.Series(fits.to_numpy(bool)[codes], present.index)


def fit_number_form(cells: pd.Series, decimal: str, thousands: str) -> tuple[pd.Series, bool]:
    """Returns which cells are numbers of a form, and whether one has its marks.

    Args:
        cells: Stripped cells, none missing.
        decimal: Decimal mark of the form.
        thousands: Thousands separator of the form.
    """
    pattern = OTHER_NUMBER_FORMS.get((decimal, thousands))
    if pattern is None:
        return pd.Series(np.isfinite(parse_numbers(cells)), cells.index), True
    if has_numbers(cells):
        return pd.Series(np.zeros(len(cells), bool), cells.index), False
    plain = pd.Series(_remove_decoration(pa.array(cells, pa.string())), cells.index, STRING)
    has_marks = plain.str.contains("," if "," in (decimal, thousands) else thousands).any()
    return plain.str.fullmatch(pattern).astype(bool), bool(has_marks)


def count_values(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Returns the different values that are not missing, in order, and how often each occurs."""
    counted = pc.value_counts(pa.array(cells.dropna(), from_pandas=True))
    values = pd.Series(counted.field("values"), dtype=cells.dtype)
    return values, counted.field("counts").to_numpy(zero_copy_only=False)


def find_case_variants(values: Iterable[str]) -> list[str]:
    """Returns texts such as "'Neg' and 'neg'" for values that differ only in case."""
    by_lowercase = collections.defaultdict(list)
    for value in sorted(values):
        by_lowercase[value.lower()].append(value)
    return [" and ".join(map(repr, same)) for same in by_lowercase.values() if len(same) > 1]
