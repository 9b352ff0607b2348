"""Learns how to encode the columns of a table from its training split."""

import numpy as np
import pandas as pd

from zoo.data.config import format_column_kinds
from zoo.data.tables.cells import (
    are_plain_numbers,
    count_values,
    describe_decoration,
    describe_number_form,
    parse_numbers,
    strip_cells,
)
from zoo.data.tables.column_cells import (
    ColumnCells,
    choose_date_format,
    choose_number_form,
    iterate_invalid_dates,
    iterate_misfits,
    parse_cells,
)
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import describe_date_format
from zoo.data.tables.number_units import find_mixed_units
from zoo.data.tables.value_variants import find_variants
from zoo.errors import UserError, format_count

_NORMAL_RANGE = 1.349  # interquartile range of a normal distribution, in standard deviations
# what people write for a missing number, and its least distance from the others in spreads
_MISSING_CODES = {sign * float(nines) for sign in (-1, 1) for nines in (99, 999, 9999, 99999)}
_FAR = 20
_EXACT_NUMBERS = 2**53  # float64 has all whole numbers up to it
_MAX_VALUES = 1_000  # of a category; the rest shares a code
_OFFSET = (
    r"(?::\d\d(?:[.,]\d+)?|[AaPp]\.?[Mm]\.?) ?[+-]\d\d"  # of a time zone, after the time of the day
)
_MIN_COUNT = 3  # of a category's value in a training split of a hundred rows or more


def learn_column(cells: ColumnCells, kind: str) -> tuple[Column, str]:
    """Returns the column and a note, which may be "". A text has no tokenizer yet.

    Args:
        cells: The cells of the training split.
        kind: Kind of the column: "number", "category", "date" or "text".

    Raises:
        UserError: if the cells are not of the kind.
    """
    return _LEARNERS[kind](cells)


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
    # what rounding leaves of equal numbers; nanoseconds since 1970 may differ by a few thousand
    is_constant = scale <= 16 * np.spacing(abs(center))
    return float(center), 1.0 if is_constant else float(scale)


def read_numbers(cells: ColumnCells, decimal: str, thousands: str) -> np.ndarray:
    """Returns the numbers of a form as float64 (n,), NaN where they are missing or none."""
    if cells.numbers is not None:
        return cells.numbers
    return np.concatenate([parse_numbers(block, decimal, thousands) for block in cells])


def _learn_number(cells: ColumnCells) -> tuple[Column, str]:
    written, cells = cells, cells.without_unit()
    decimal, thousands, fitting = choose_number_form(cells)
    if not fitting:
        raise UserError(
            f"columns={cells.name}:number: the column has no numbers: choose another kind"
        )
    numbers = read_numbers(cells, decimal, thousands)
    center, scale = measure_spread(numbers)
    invalid, marks = 0, set[str]()
    for block in iterate_misfits(cells, decimal, thousands):
        invalid += len(block)
        marks.update(block.unique())
    column = Column(
        cells.name,
        "number",
        center,
        scale,
        bool(np.isnan(numbers).any()),
        decimal=decimal,
        thousands=thousands,
        missing_marks=tuple(sorted(marks)),
        unit=cells.unit,
    )
    notes = _describe_misfits(column, invalid)
    notes += _describe_decoration(written, column)
    if form := describe_number_form(decimal, thousands):
        notes.append(form)
    notes += _describe_code(numbers, column)
    if _are_rounded_alike(numbers):
        notes.append(
            "its numbers are so large that their differences are lost: subtract a constant, or "
            "read them as names with " + format_column_kinds([cells.name], "category")
        )
    return column, "; ".join(notes)


def _describe_code(numbers: np.ndarray, column: Column) -> list[str]:
    """Returns a note on a number such as -999 that may stand for a missing one.

    It is the least or the greatest, is there several times, and is far from all others.
    """
    finite = numbers[np.isfinite(numbers)]
    for code in {finite.min(initial=0), finite.max(initial=0)} & _MISSING_CODES:
        others = finite[finite != code]
        count = len(finite) - len(others)
        is_far = len(others) and np.abs(others - code).min() > _FAR * column.scale
        if is_far and count >= _MIN_COUNT:
            return [
                f"{code:g} is there {count:,} times, far from the other numbers: if it stands for "
                "a missing one, leave these cells empty"
            ]
    return []


def _are_rounded_alike(numbers: np.ndarray) -> bool:
    """Whether float64 leaves little of the differences of numbers, as of those of 18 digits."""
    finite = numbers[np.isfinite(numbers)]
    largest = np.abs(finite).max(initial=0)
    return bool(largest > _EXACT_NUMBERS and np.ptp(finite) <= 16 * np.spacing(largest))


def _describe_decoration(cells: ColumnCells, column: Column) -> list[str]:
    """Returns notes on the first number with other marks, such as a unit, and on those without."""
    notes: list[str] = []
    for block in cells.iterate_present() if cells.numbers is None else ():
        if are_plain_numbers(block):
            continue
        if note := describe_decoration(block, parse_cells(block, column), column.unit):
            notes.append(note)
            break
    units = cells.units if notes else None
    if units and (bare := units.get("")) and len(units) > 1:
        notes.append(f"{format_count(bare, 'number')} without a unit are read as they are")
    if not column.unit and (mixed := find_mixed_units(units)):
        notes.append(f"the units {' and '.join(map(repr, mixed))} count alike")
    return notes


def _learn_date(cells: ColumnCells) -> tuple[Column, str]:
    date_format, _, rivals = choose_date_format(map(count_values, cells.iterate_strings()))
    if not date_format:
        first = next((block.iloc[0] for block in cells.iterate_present() if len(block)), "")
        raise UserError(
            f"columns={cells.name}:date: the cells are not dates of one form, such as "
            f"{str(first)[:40]!r}: write them as 2026-01-31"
        )
    draft = Column(cells.name, "date", date_format=date_format)
    days = np.concatenate([parse_cells(block, draft) for block in cells.iterate_strings()])
    center, scale = measure_spread(days)
    is_missing = np.isnan(days)
    invalid = pd.concat(iterate_invalid_dates(cells, date_format))
    column = Column(
        cells.name,
        "date",
        center,
        scale,
        bool(is_missing.any()),
        date_format=date_format,
        has_time=bool((days[~is_missing] % 1 != 0).any()),
        missing_marks=tuple(sorted(invalid.unique())),
    )
    notes = _describe_misfits(column, len(invalid))
    notes += [describe_date_format(date_format, rivals), *_describe_offsets(cells)]
    return column, "; ".join(filter(None, notes))


def _describe_offsets(cells: ColumnCells) -> list[str]:
    """Returns a note on times with the offset of a time zone."""
    offsets, zones, times = 0, 0, 0
    for block in cells.iterate_strings():
        offsets += int(block.str.contains(_OFFSET).sum())
        zones += int(block.str.contains(r"(?:Z|UTC|GMT)$").sum())
        times += int(block.str.contains(":").sum())
    if not offsets:
        return []
    others = ", and those without one count as UTC" * (offsets + zones < times)
    return [f"times with an offset are converted to UTC{others}"]


def _describe_misfits(column: Column, count: int) -> list[str]:
    """Returns a note on cells that are not of the kind of their column."""
    examples = ", ".join(repr(value[:20]) for value in column.missing_marks[:3])
    return [
        f"{examples} is no {column.kind} and counts as missing ({format_count(count, 'row')})"
    ] * (count > 0)


def _learn_category(cells: ColumnCells) -> tuple[Column, str]:
    counts: dict[str, int] = {}
    for block in cells:
        values, numbers = count_values(strip_cells(block).fillna(""))
        for value, number in zip(values, numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    min_count = _MIN_COUNT if len(cells) >= 100 else 1
    known = [value for value in ordered if counts[value] >= min_count] or ordered
    known = known[:_MAX_VALUES]
    has_rare = len(known) < len(ordered)
    column = Column(cells.name, "category", values=tuple(known), has_rare=has_rare)
    notes = [
        f"{shown} {relation} and are different values"
        for relation, shown in find_variants(column.values).items()
    ]
    if rare := len(ordered) - len(known):
        rows = len(cells) - sum(counts[value] for value in known)
        notes.append(f"{rare:,} rare values share one code ({format_count(rows, 'row')})")
    return column, "; ".join(notes)


def _learn_text(cells: ColumnCells) -> tuple[Column, str]:
    return Column(cells.name, "text", has_missing=any(block.hasnans for block in cells)), ""


_LEARNERS = {
    "number": _learn_number,
    "date": _learn_date,
    "category": _learn_category,
    "text": _learn_text,
}
