"""The cells of a column, read block by block: how its numbers and dates are written."""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from zoo.data.tables.cells import (
    OTHER_NUMBER_FORMS,
    are_grouped,
    are_plain_numbers,
    clean_cells,
    count_values,
    fit_number_form,
    has_numbers,
    may_be_numbers,
    parse_numbers,
    strip_cells,
    strip_units,
)
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import DATE_FORMATS, match_date_pattern
from zoo.data.tables.dates import parse_dates
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.number_units import SIGNS, count_units, find_common_unit

_KEPT_ROWS = 1 << 20
_DATE_SAMPLE = 20  # cells, by which most columns of texts are refused


class ColumnCells:
    """The stripped cells of a column, null where they are missing.

    They can be iterated again and again, in blocks.

    Args:
        rows: The rows.
        name: Name of the column.
        has_commas: Whether other columns have decimal commas.
        unit: Unit of numbers that is removed.
    """

    def __init__(self, rows: FrameRows, name: str, has_commas: bool = False, unit: str = ""):
        self.name, self.has_commas, self.unit = name, has_commas, unit
        self._rows = rows
        # they are not stripped again and again
        is_small = len(rows) <= _KEPT_ROWS and not rows.has_numbers(name)
        self._kept = [*self._read()] if is_small else None
        self._counted: list[tuple[pd.Series, np.ndarray]] | None = None

    @functools.cached_property
    def numbers(self) -> np.ndarray | None:
        """The numbers of a column that has nothing else, float64 (n,), NaN where missing."""
        return self._rows.read_numbers(self.name) if self._rows.has_numbers(self.name) else None

    @functools.cached_property
    def units(self) -> dict[str, int] | None:
        """How many numbers have each unit; see `zoo.data.tables.number_units.count_units`."""
        is_plain = self.numbers is not None or all(map(are_plain_numbers, self.iterate_present()))
        if is_plain or self.unit:
            return None
        return count_units(
            (pa.array(values, pa.string()), counts) for values, counts in self.iterate_counted()
        )

    @property
    def have_signs(self) -> bool:
        """Whether a cell has the sign of a currency, or percent."""
        return any(block.str.contains(SIGNS).any() for block in self.iterate_present())

    def without_unit(self) -> "ColumnCells":
        """Returns the cells without the unit that most numbers have, if one of letters has."""
        unit = find_common_unit(self.units)
        return ColumnCells(self._rows, self.name, self.has_commas, unit) if unit else self

    @property
    def are_integers(self) -> bool:
        """Whether the numbers are written without decimals or exponents."""
        types = [part.numbers[self.name].type for part in self._rows.parts]
        return all(map(pa.types.is_integer, types))

    def __iter__(self) -> Iterator[pd.Series]:
        return iter(self._kept) if self._kept is not None else self._read()

    def __len__(self) -> int:
        return len(self._rows)

    def iterate_present(self) -> Iterator[pd.Series]:
        """Yields blocks of the cells that are not missing."""
        return (cells.dropna() for cells in self)

    def iterate_counted(self) -> Iterator[tuple[pd.Series, np.ndarray]]:
        """Yields the different cells of each block, none missing, and how often each occurs."""
        if self._kept is not None and self._counted is None:
            self._counted = [count_values(block) for block in self._kept]
        return iter(self._counted or map(count_values, self))

    def iterate_strings(self) -> Iterator[pd.Series]:
        """Yields blocks of the cells as strings, numbers too."""
        return (strip_cells(cells) if has_numbers(cells) else cells for cells in self)

    def _read(self) -> Iterator[pd.Series]:
        blocks = (clean_cells(cells) for cells in self._rows.iterate_cells(self.name))
        return (strip_units(cells, self.unit) for cells in blocks)


def choose_number_form(cells: ColumnCells) -> tuple[str, str, int]:
    """Returns the decimal mark and thousands separator that fit most cells, and how many fit."""
    if cells.numbers is not None:
        return ".", "", int(np.isfinite(cells.numbers).sum())
    forms = [(".", ""), *OTHER_NUMBER_FORMS]
    blocks = (pa.array(block, pa.string()) for block in cells.iterate_present())
    if all(are_grouped(block, cells.has_commas) for block in blocks):
        forms.remove((".", ""))
    if cells.has_commas:  # 1,234 is no more than 2
        forms.remove((".", ","))
    fitting, marked = dict.fromkeys(forms, 0), dict.fromkeys(forms, False)
    for values, counts in cells.iterate_counted():
        may_fit = may_be_numbers(values)
        values, counts = values[may_fit], counts[may_fit]
        for form in forms:
            fits, has_marks = fit_number_form(values, *form)
            fitting[form] += int(counts[fits.to_numpy(bool)].sum())
            marked[form] |= has_marks
    best = forms[0]
    for form in forms[1:]:
        if marked[form] and fitting[form] > fitting[best]:
            best = form
    return *best, fitting[best]


def iterate_misfits(cells: ColumnCells, decimal: str, thousands: str) -> Iterator[pd.Series]:
    """Yields blocks of the cells that are no numbers of a form, and not missing."""
    if cells.numbers is not None:
        return
    for block in cells.iterate_present():
        fits, _ = fit_number_form(block, decimal, thousands)
        yield block[~fits.to_numpy(bool)]


def choose_date_format(
    blocks: Iterable[tuple[pd.Series, np.ndarray]],
) -> tuple[str, int, tuple[str, ...]]:
    """Returns the form of dates that most cells have, how many, and the forms that fit as many.

    Args:
        blocks: The different strings of blocks, none missing, and how often each occurs; see
            `zoo.data.tables.cells.count_values`.

    Returns:
        The form, which is "" unless one of the first values of each block has it; the number of
        cells that have it; and other forms that as many cells have.
    """
    fitting = dict.fromkeys(DATE_FORMATS, 0)
    for values, counts in blocks:
        first = values[:_DATE_SAMPLE]
        for form in list(fitting):
            if len(first) and not (
                match_date_pattern(first, form) and _are_dates(first, form).any()
            ):
                del fitting[form]
            else:
                fitting[form] += int(counts @ _are_dates(values, form))
    best = max(fitting, key=lambda form: fitting[form], default="")
    if not fitting.get(best):
        return "", 0, ()
    rivals = (form for form in fitting if form != best and fitting[form] == fitting[best])
    return best, fitting[best], tuple(rivals)


def iterate_invalid_dates(cells: ColumnCells, date_format: str) -> Iterator[pd.Series]:
    """Yields blocks of the cells that are no dates of a form, and not missing."""
    for block in cells.iterate_strings():
        present = block.dropna()
        yield present[~_are_dates(present, date_format)]


def _are_dates(values: pd.Series, date_format: str) -> np.ndarray:
    days, _ = parse_dates(tf.constant(values.to_numpy(object), tf.string), date_format)
    return ~np.isnan(days)


def parse_cells(cells: pd.Series, column: Column) -> np.ndarray:
    """Returns stripped cells of numbers or dates as float64, NaN where they are neither."""
    if column.kind == "number":
        return parse_numbers(cells, column.decimal, column.thousands, column.unit)
    codes, values = pd.factorize(cells.fillna(""))
    days, _ = parse_dates(tf.constant(np.asarray(values, object), tf.string), column.date_format)
    return days.numpy()[codes]
