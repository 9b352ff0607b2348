"""Cells of tables as strings and numbers, without TensorFlow."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zoo.data.tables.columns import MISSING
from zoo.data.tables.number_units import SIGNS, remove_unit

STRING, FLOAT = pd.ArrowDtype(pa.string()), pd.ArrowDtype(pa.float64())
WHOLE_NUMBER_PATTERN = r"[+-]?\d{1,15}(\.0*)?"  # of up to 15 digits, which float64 holds
NUMBER_PATTERN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"

# what separates thousands and is no decimal mark
_SEPARATORS = "['\u2019\\s\u00a0\u202f\u2009]"
DECORATION = f"{SIGNS}|{_SEPARATORS}"
# patterns of RE2, which Arrow and TensorFlow share, and what replaces them: a number is the same in
# training and in a served tf.Example
DECORATION_STEPS = (
    ("\u2212", "-"),  # the minus sign of typography
    (SIGNS, ""),
    *[(rf"(\d){_SEPARATORS}(\d{{3}})\b", r"\1\2")] * 2,  # a group is between two separators
    (r"^\s*([+-])\s+", r"\1"),
)

# what cells look like in numbers with other decimal marks and thousands separators; no group of
# thousands begins with 0, and in India groups beyond the first have two digits
OTHER_NUMBER_FORMS = {
    (".", ","): r"[+-]?((\d+|[1-9]\d{0,2}(,\d{3})+|[1-9]\d?(,\d{2})+,\d{3})(\.\d*)?|\.\d+)",
    (",", ""): r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?",
    (",", "."): r"[+-]?((\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d*)?|,\d+)",
}
# Whole numbers with points between thousands, such as 900 and 1.200. Numbers with three decimals
# would have them in all cells, or would not end in 0.
_GROUPED_PATTERN = r"^[+-]?(0|[1-9]\d{0,2}(\.\d{3})*)$"
_OTHER_LETTER = "[A-DF-Za-df-z]"  # that no number has
_FIRST_CELLS, _SAMPLED_ROWS = 16, 1_000
_GROUP_OF_ZERO = r"\.\d{2}0$"


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


def parse_numbers(
    cells: pd.Series, decimal: str = ".", thousands: str = "", unit: str = ""
) -> np.ndarray:
    """Parses stripped cells as float64 numbers, NaN where they are missing or not of the form."""
    if has_numbers(cells):
        return cells.to_numpy("float64", na_value=np.nan)
    strings = remove_unit(pa.array(cells, pa.string()), unit)
    if (decimal, thousands) in OTHER_NUMBER_FORMS:
        strings = _remove_decoration(strings)
        fits = pc.match_substring_regex(strings, f"^{OTHER_NUMBER_FORMS[decimal, thousands]}$")
        strings = pc.if_else(fits, strings, None)
        strings = pc.replace_substring(strings, thousands, "") if thousands else strings
        strings = pc.replace_substring(strings, decimal, ".")
    numbers = _cast_strings(strings)
    if numbers is None:
        strings = _remove_decoration(strings)
        is_number = pc.match_substring_regex(strings, f"^{NUMBER_PATTERN}$")
        strings = pc.if_else(is_number, strings, None)
        # Arrow reads no plus sign, as in the labels +1 and -1
        numbers = pc.cast(pc.replace_substring_regex(strings, r"^\+", ""), pa.float64())
    return _take_finite(numbers)


def _take_finite(numbers: pa.Array) -> np.ndarray:
    values = numbers.to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def strip_units(cells: pd.Series, unit: str) -> pd.Series:
    """Returns stripped cells without a unit before or after their numbers."""
    if not unit or has_numbers(cells):
        return cells
    strings = remove_unit(pa.array(cells, pa.string()), unit)
    return pd.Series(strings, cells.index, STRING, cells.name)


def describe_decoration(cells: pd.Series, numbers: np.ndarray, unit: str) -> str:
    """Returns a note on the first number with other marks, such as a unit, or "".

    Args:
        cells: Stripped cells, none missing.
        numbers: What `parse_numbers` makes of them.
        unit: The unit.
    """
    decorated = (strip_units(cells, unit) != cells) | cells.str.contains(DECORATION)
    rows = np.flatnonzero(decorated.to_numpy(bool) & ~np.isnan(numbers))
    return f"{cells.iloc[rows[0]][:20]!r} counts as {numbers[rows[0]]:g}" if len(rows) else ""


def parse_raw_numbers(cells: pd.Series, decimal: str, thousands: str, unit: str) -> np.ndarray:
    """Parses cells that are not stripped as `parse_numbers` does, but for the numbers of JSON."""
    is_plain = cells.dtype == STRING and (decimal, thousands, unit) == (".", "", "")
    if is_plain and (plain := _cast_strings(pa.array(cells))) is not None:
        return _take_finite(plain)  # there is nothing to strip
    numbers = parse_numbers(clean_cells(cells), decimal, thousands, unit)
    if cells.dtype == object and (decimal, thousands) != (".", ""):
        values = cells.tolist()
        is_number = np.array([type(value) in (int, float) for value in values], bool)
        numbers[is_number] = parse_numbers(strip_cells(cells[is_number]))
    return numbers


def are_plain_numbers(cells: pd.Series) -> bool:
    """Whether all cells that are not missing are numbers without any other mark."""
    return has_numbers(cells) or _cast_strings(pa.array(cells, pa.string())) is not None


def _cast_strings(strings: pa.Array) -> pa.Array | None:
    """Returns strings as numbers, or None if one of them has another mark, such as a blank."""
    try:
        return pc.cast(strings, pa.float64())
    except pa.ArrowInvalid:
        return None


def _remove_decoration(strings: pa.Array) -> pa.Array:
    """Removes what people write around the digits of a number, as in "$ 1 200" and "12%"."""
    for pattern, replacement in DECORATION_STEPS:
        strings = pc.replace_substring_regex(strings, pattern, replacement)
    return pc.utf8_trim_whitespace(strings)


def may_be_numbers(cells: pd.Series) -> np.ndarray:
    """Returns which stripped cells, none missing, have no letter of words, a boolean mask."""
    strings = pa.array(cells, pa.string())
    return ~pc.match_substring_regex(strings, _OTHER_LETTER).to_numpy(zero_copy_only=False)


def find_number_form(
    cells: pd.Series, counts: np.ndarray | None = None
) -> tuple[str, str, pd.Series]:
    """Returns the decimal mark and thousands separator that fit most cells, and which cells fit.

    Args:
        cells: Stripped cells, null where they are missing.
        counts: How many rows each cell stands for, if none is missing; None for one.

    Returns:
        The decimal mark, the thousands separator, and a boolean series for the cells that are not
        missing.
    """
    present = cells.dropna()
    # each different value is looked at once
    codes, values = pd.factorize(present)
    values, counts = pd.Series(values), np.bincount(codes, counts, minlength=len(values))
    decimal, thousands, fits = ".", "", fit_number_form(values, ".", "")[0]
    if fits.all() and are_grouped(pa.array(values, pa.string())):
        decimal, thousands = ",", "."
    for form in OTHER_NUMBER_FORMS if not fits.all() else ():
        other, has_marks = fit_number_form(values, *form)
        if has_marks and counts @ other > counts @ fits:
            (decimal, thousands), fits = form, other
    return decimal, thousands, pd.Series(fits.to_numpy(bool)[codes], present.index)


def have_decimal_commas(columns: Iterable[pd.Series]) -> bool:
    """Whether a column of strings has numbers with decimal commas, by its first cells."""
    for cells in columns:
        present = strip_cells(cells.head(_SAMPLED_ROWS)).dropna()
        decimal, _, fits = find_number_form(present)
        if decimal == "," and fits.all():
            return True
    return False


def are_grouped(strings: pa.Array | pa.ChunkedArray, has_commas: bool = False) -> bool:
    """Whether numbers, such as 900 and 1.200, have points between thousands for decimal points.

    Args:
        strings: Stripped cells, null where they are missing.
        has_commas: Whether other columns of the table have decimal commas. 1.234 is enough then.
    """
    sample = strings[:_FIRST_CELLS]  # most columns are told apart by it
    for cells in (sample, strings):
        if pc.all(pc.match_substring_regex(cells, _GROUPED_PATTERN)).as_py() is False:
            return False
    if has_commas:
        return bool(pc.any(pc.match_substring(strings, ".")).as_py())
    has_group = pc.any(pc.match_substring_regex(strings, _GROUP_OF_ZERO)).as_py()
    return bool(has_group) and not pc.all(pc.match_substring(strings, ".")).as_py()


def describe_number_form(decimal: str, thousands: str) -> str:
    """Returns how numbers are written if it is another way than 1234.5, or ""."""
    if (decimal, thousands) == (".", ""):
        return ""
    separates = f", {thousands!r} separates thousands" if thousands else ""
    return f"{decimal!r} is the decimal mark{separates}"


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
    has_marks = plain.str.contains("[.,]" if thousands == "." else ",").any()
    return plain.str.fullmatch(pattern).astype(bool), bool(has_marks)


def count_values(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Returns the different values that are not missing, in order, and how often each occurs."""
    counted = pc.value_counts(pa.array(cells.dropna(), from_pandas=True))
    values = pd.Series(counted.field("values"), dtype=cells.dtype)
    return values, counted.field("counts").to_numpy(zero_copy_only=False)


def find_unseen_values(values: pd.Series, known: Sequence[str], is_boolean: bool) -> np.ndarray:
    """Returns which values of a category, "" where missing, have no code of their own.

    Args:
        values: Stripped cells.
        known: The values that have one.
        is_boolean: Whether they are truths, whose case does not count.
    """
    if is_boolean:
        values, known = values.str.lower(), [value.lower() for value in known]
    return ~values.isin(known).to_numpy(bool)
