"""Finds out what the columns of a table hold.

| kind | when |
|---|---|
| number | all cells but a few are numbers, and none has a leading zero |
| date | all cells are dates of one form |
| text | most cells differ, and have more than three words on average |
| category | anything else with values that occur again |
| dropped | a single value; numbers of the rows; a different value in (almost) each row |
"""

import os
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from zoo.data.config import format_column_kinds
from zoo.data.tables.cells import have_decimal_commas
from zoo.data.tables.column_cells import (
    ColumnCells,
    choose_date_format,
    choose_number_form,
    iterate_invalid_dates,
    iterate_misfits,
)
from zoo.data.tables.column_learning import learn_column, read_numbers
from zoo.data.tables.column_notes import merge_notes
from zoo.data.tables.columns import DROP, KINDS, MISSING_MARKS, Column
from zoo.data.tables.date_forms import (
    COMPACT_FORMAT,
    are_dates,
    look_like_dates,
    look_like_durations,
)
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.number_units import find_mixed_units
from zoo.data.texts.text_normalization import UNSPACED_LETTER
from zoo.errors import UserError, shorten_names
from zoo.schema import suggest_closest

_MIN_WORDS = 3  # words of a text, on average
_MIN_DISTINCT = 0.5  # share of different values among texts
_ID_DISTINCT = 0.9  # share of different values among ids
_MANY_CELLS = 20  # that may tell texts and ids from categories
_MANY_DATES = 1_000  # that are looked at
_COUNTED_CELLS = 1 << 13  # whose words are counted together
_DATE_NAME = re.compile(r"(?i)date|datum|fecha|ymd|dob|\u65e5\u671f|\u65e5\u4ed8|(?:^|_)da[ty]$")
_INVALID_SHARE = 0.05  # of cells that are no numbers, in a column of numbers
# of a first column without a name: pandas' row numbers, which repeat where tables were joined
_INDEX_NAME = re.compile(r"unnamed_1|Unnamed: 0(?:\.\d+)?")
_ID_NAME = re.compile(r"(?i:unnamed_\d+|unnamed: \d+|index|idx|id|row|rownames|.*_id)|.*[a-z]I[dD]")


def infer_columns(
    rows: FrameRows, kinds: Mapping[str, str] | None = None
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Returns the columns of a training split that a model can learn from, and notes on them.

    Args:
        rows: The training split: strings or numbers, null where a row has no cell.
        kinds: Kinds that the user set, by column: "number", "category", "date", "text" or "drop".

    Returns:
        The columns, and notes on what was decided. Those of texts have no tokenizer yet.

    Raises:
        UserError: if a column that was named does not exist or is not of that kind, or no column
            is left.
    """
    kinds = dict(kinds or {})
    names = rows.columns
    for name, kind in kinds.items():
        if name not in names:
            raise UserError(
                f"columns={name}:{kind}: there is no such column.{suggest_closest(name, names)} "
                f"The columns are {shorten_names(names)}"
            )
        if kind not in (*KINDS, DROP):
            raise UserError(
                f"columns={name}:{kind}: expected {', '.join(KINDS)} or {DROP} after the colon"
            )
    written = (name for name in names if not rows.has_numbers(name))
    has_commas = have_decimal_commas(next(rows.iterate_cells(name)) for name in written)

    def learn(name: str) -> tuple[Column | None, str]:
        cells = ColumnCells(rows, name, has_commas)
        kind, reason = (kinds[name], "") if name in kinds else infer_kind(cells)
        if kind == DROP:
            return None, f"column {name!r} is left out: {reason or 'as --columns asks'}"
        column, note = learn_column(cells, kind)
        if kind == "category" and rows.has_lists(name):
            reason = "each different list is a value of its own"
        note = "; ".join(filter(None, [reason, note]))
        return column, f"column {name!r}: {note}" if note else ""

    # NumPy and Arrow work without Python's lock
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        learned = [*pool.map(learn, names)]
    columns = [column for column, _ in learned if column]
    notes = [note for _, note in learned if note]
    if not columns:
        raise UserError("no column is left to learn from: " + "; ".join(merge_notes(notes)))
    return tuple(columns), tuple(notes)


def infer_kind(cells: ColumnCells) -> tuple[str, str]:
    """Returns the kind of a column, and the reason for one to drop or a note on another."""
    if cells.numbers is not None:
        return _infer_kind_of_numbers(cells, cells.numbers)
    first, is_constant, present = None, True, 0
    for block in cells.iterate_present():
        if len(block):
            first = block.iloc[0] if first is None else first
            is_constant = is_constant and bool((block == first).all())
            present += len(block)
    if first is None:
        return DROP, "all cells are empty"
    if is_constant and present == len(cells):
        return DROP, f"all cells are {str(first)[:40]!r}"
    return _infer_kind_of_strings(cells, present)


def _infer_kind_of_strings(cells: ColumnCells, present: int) -> tuple[str, str]:
    """Returns the kind of a column of strings, not all of them equal; see `infer_kind`."""
    is_number, misfits, fitting = _find_misfits(cells, present)
    if is_number:
        mixed = find_mixed_units(cells.units) if cells.have_signs else []
        return _infer_mixed(cells, present, mixed) if mixed else _infer_digits(cells, present)
    date_format, dates, _ = choose_date_format(cells.iterate_counted())
    if date_format:
        others = pd.concat(iterate_invalid_dates(cells, date_format)).unique()
        if _are_few(present - dates, present, others):
            return "date", ""
    if mixed := find_mixed_units(cells.units):
        return _infer_mixed(cells, present, mixed)
    if (bare := cells.without_unit()) is not cells and _find_misfits(bare, present)[0]:
        return _infer_digits(bare, present)
    if 0.5 * present <= fitting < present:
        return DROP, (
            f"{fitting / present:.0%} of its cells are numbers, but not {misfits[0][:20]!r} (to "
            f"count others as missing, pass {format_column_kinds([cells.name], 'number')})"
        )
    return _infer_text(cells, present)


def _find_misfits(cells: ColumnCells, present: int) -> tuple[bool, list[str], int]:
    """Returns whether a column has numbers, the other values in it, and how many numbers."""
    decimal, thousands, fitting = choose_number_form(cells)
    misfits: dict[str, None] = {}
    if 0 < fitting < present:
        for block in iterate_misfits(cells, decimal, thousands):
            misfits |= dict.fromkeys(block.unique())
    is_number = bool(fitting) and _are_few(present - fitting, present, misfits)
    return is_number and not _have_leading_zeros(cells), list(misfits), fitting


def _infer_mixed(cells: ColumnCells, present: int, units: list[str]) -> tuple[str, str]:
    """Returns the kind of a column of numbers with several units, and a note on them."""
    return _infer_text(cells, present)[0], (
        f"its numbers have different units, {' and '.join(map(repr, units))}: convert them to one "
        "unit to have them read as numbers"
    )


def _are_few(invalid: int, present: int, values: Collection[str]) -> bool:
    """Whether cells of another kind may count as missing: a few, one sign, or those that do so."""
    is_rare = invalid <= _INVALID_SHARE * present
    return is_rare or len(values) == 1 or {*values} <= {*MISSING_MARKS}


def _infer_kind_of_numbers(cells: ColumnCells, numbers: np.ndarray) -> tuple[str, str]:
    """Returns the kind of a column that has nothing but numbers; see `infer_kind`."""
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return DROP, "all cells are empty"
    if len(present) == len(cells) and (present == present[0]).all():
        digits = " in the first 15 digits" * bool(abs(present[0]) > 2**53)
        return DROP, f"all cells are '{present[0]:.15g}'{digits}"
    if not cells.are_integers:
        return "number", ""
    if _are_compact_dates(cells.name, present):
        return "date", ""
    return (DROP, "it numbers the rows") if _count_rows(cells.name, present) else ("number", "")


def _infer_digits(cells: ColumnCells, present: int) -> tuple[str, str]:
    """Returns the kind of a column of strings, of which all but a few are numbers."""
    if not all(block.str.fullmatch(r"\d+|\D*").all() for block in cells.iterate_present()):
        return "number", ""
    numbers = read_numbers(cells, ".", "")
    numbers = numbers[~np.isnan(numbers)]
    if _are_compact_dates(cells.name, numbers):
        return "date", ""
    is_whole = len(numbers) == present >= _MANY_CELLS
    if is_whole and _count_rows(cells.name, numbers):
        return DROP, "it numbers the rows"
    return "number", ""


def _are_compact_dates(name: str, numbers: np.ndarray) -> bool:
    """Whether whole numbers are dates such as 20260131: all of them, by name or by their months.

    Of numbers that count something, such as invoices of a year, some would be no date.
    """
    if not len(numbers) or numbers.min() < 19_000_101 or numbers.max() > 21_001_231:
        return False
    values = np.unique(numbers.astype("int64"))
    if not are_dates(pd.Series(values.astype(str)), COMPACT_FORMAT).all():
        return False
    has_months = len(values) >= _MANY_CELLS and len(np.unique(values // 100)) > 1
    return has_months or bool(_DATE_NAME.search(name))


def _have_leading_zeros(cells: ColumnCells) -> bool:
    return any(block.str.match(r"0\d").any() for block in cells.iterate_present())


def _infer_text(cells: ColumnCells, present: int) -> tuple[str, str]:
    """Returns whether a column holds categories, texts or, to be dropped, ids."""
    if present < _MANY_CELLS:
        return "category", ""
    hashes = [
        pd.util.hash_array(values.to_numpy(object), categorize=False)
        for values, _ in cells.iterate_counted()
    ]
    distinct = len(pd.unique(np.concatenate(hashes))) / present
    names_rows = distinct > _ID_DISTINCT and _ID_NAME.fullmatch(cells.name)
    odd_dates = _describe_odd_dates(cells)
    if distinct > _MIN_DISTINCT and not names_rows and _have_many_words(cells, present):
        return "text", odd_dates
    if distinct > _ID_DISTINCT:
        return DROP, odd_dates or "almost each row has a value of its own, as an id does"
    return "category", odd_dates


def _describe_odd_dates(cells: ColumnCells) -> str:
    """Returns a note on cells that look like dates or durations of no form that is read, or ""."""
    block = next(block for block in cells.iterate_present() if len(block))
    if look_like_durations(block[:_MANY_DATES]):
        return (
            f"its cells, such as {block.iloc[0][:40]!r}, look like durations, which are not read: "
            "write them as numbers, such as seconds"
        )
    if not look_like_dates(block[:_MANY_DATES]):
        return ""
    return (
        f"its cells, such as {block.iloc[0][:40]!r}, look like dates, but are not of one form that "
        "is read: write them as 2026-01-31 or 2026-01-31 23:59"
    )


def _have_many_words(cells: ColumnCells, present: int) -> bool:
    """Whether the cells have more words than categories; of long ones not all are counted."""
    words = 0.0
    for values, counts in cells.iterate_counted():
        for start in range(0, len(values), _COUNTED_CELLS):
            rows = slice(start, start + _COUNTED_CELLS)
            words += float(_count_words(values.iloc[rows]) @ counts[rows])
            if words / present > _MIN_WORDS:
                return True
    return False


def _count_words(values: pd.Series) -> np.ndarray:
    """Returns the number of words; in scripts without spaces, a word has two letters."""
    words = 1 + values.str.count(r"\s+") + values.str.count(UNSPACED_LETTER) / 2
    return words.to_numpy("float64")


def _count_rows(name: str, numbers: np.ndarray) -> bool:
    """Whether whole numbers count the rows or, by the name of the column, identify them."""
    low, high = numbers.min(), numbers.max()
    may_be_years = low >= 1000 and high <= 2100
    # some rows are held out
    is_dense = high - low < 1.5 * len(numbers) and not may_be_years
    is_rising = np.diff(numbers) > 0
    is_ordered = is_dense and bool(is_rising.all())
    distinct = len(np.unique(numbers)) / len(numbers)
    is_identifier = bool(_ID_NAME.fullmatch(name)) and distinct == 1
    if _INDEX_NAME.fullmatch(name) and not may_be_years:
        is_identifier |= distinct > _MIN_DISTINCT or is_rising.mean() > _ID_DISTINCT
    return len(numbers) >= _MANY_CELLS and low >= 0 and (is_ordered or is_identifier)
