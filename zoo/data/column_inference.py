"""Finds out what the columns of a table hold, and learns how to encode them.

| kind | when |
|---|---|
| number | all cells but a few are numbers, and none has a leading zero |
| date | all cells are dates of one form |
| text | most cells differ, and have more than three words on average |
| category | anything else with values that occur again |
| dropped | a single value; numbers of the rows; a different value in (almost) each row |
"""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.data.cells import (
    DECORATION,
    are_plain_numbers,
    find_case_variants,
    find_number_form,
    parse_numbers,
    strip_cells,
)
from zoo.data.column_encoding import measure_spread, parse_dates
from zoo.data.columns import DATE_FORMATS, DROP, KINDS, Column
from zoo.data.text_normalization import UNSPACED_LETTER
from zoo.data.tokenizer_settings import format_tokenizer
from zoo.errors import UserError
from zoo.schema import suggest_closest

_MAX_VALUES = 1_000  # of a category; the rest shares a code
_MIN_COUNT = 3  # of a category's value in a training split of a hundred rows or more
_MIN_WORDS = 3  # words of a text, on average
_MIN_DISTINCT = 0.5  # share of different values among texts
_MANY_CELLS = 20  # that may tell texts and ids from categories
_INVALID_SHARE = 0.05  # of cells that are no numbers, in a column of numbers
_ID_NAME = re.compile(r"(?i:unnamed_\d+|unnamed: \d+|index|idx|id|row|rownames|.*_id)|.*[a-z]I[dD]")


def infer_columns(
    frame: pd.DataFrame, kinds: Mapping[str, str] | None = None
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Returns the columns of a training split that a model can learn from, and notes on them.

    Args:
        frame: The training split: strings, null where a row has no cell.
        kinds: Kinds that the user set, by column: "number", "category", "date", "text" or "drop".

    Returns:
        The columns, and notes on what was decided. Those of texts have no tokenizer yet.

    Raises:
        UserError: if a column that was named does not exist or is not of that kind, or no column
            is left.
    """
    kinds = dict(kinds or {})
    names = list(frame.columns)
    for name, kind in kinds.items():
        if name not in names:
            raise UserError(
                f"columns={name}:{kind}: there is no such column.{suggest_closest(name, names)} "
                f"The columns are {', '.join(names)}"
            )
        if kind not in (*KINDS, DROP):
            raise UserError(
                f"columns={name}:{kind}: expected {', '.join(KINDS)} or {DROP} after the colon"
            )
    columns, notes = [], []
    for name in names:
        cells = strip_cells(frame[name])
        kind, reason = kinds.get(name, ""), "as --columns asks"
        if not kind:
            kind, reason = _infer_kind(name, cells)
        if kind == DROP:
            notes.append(f"column {name!r} is left out: {reason}")
            continue
        column, note = _LEARNERS[kind](name, cells)
        columns.append(column)
        notes += [f"column {name!r}: {note}"] if note else []
    if not columns:
        raise UserError("no column is left to learn from: " + "; ".join(notes))
    return tuple(columns), tuple(notes)


def format_columns(columns: tuple[Column, ...]) -> str:
    """Formats the columns as a table for the headline of a run."""
    rows = []
    for column in columns:
        if column.kind == "category":
            shown = ", ".join(value or "(missing)" for value in column.values[:4])
            more = ", ..." if len(column.values) > 4 else ""
            rare = ", rare values together" if column.has_rare else ""
            detail = f"{len(column.values)} values: {shown}{more}{rare}"
        elif column.tokenizer:
            detail = format_tokenizer(column.tokenizer)
        elif column.kind == "date":
            median = np.datetime64(0, "D") + np.timedelta64(round(column.center), "D")
            detail = f"median {median}, written as {column.date_format}"
        else:
            detail = f"median {column.center:.6g}, spread {column.scale:.4g}"
        rows.append((column.name, column.kind, detail + ", some missing" * column.has_missing))
    width = min(30, max(len(name) for name, *_ in rows))
    return "\n".join(f"  {name:{width}}  {kind:8}  {detail}" for name, kind, detail in rows)


def describe_unreadable_cells(
    frame: pd.DataFrame, columns: tuple[Column, ...], split_name: str
) -> tuple[str, ...]:
    """Returns notes on cells of numbers and dates that are neither, and on missing ones.

    Those of the training split are described by `infer_columns`.

    Args:
        frame: A split that nothing was learned from.
        columns: The columns.
        split_name: Name of the split.
    """
    notes = []
    for column in columns:
        if column.kind not in ("number", "date"):
            continue
        cells = strip_cells(frame[column.name])
        values = parse_cells(cells, column)
        missing = cells.isna() | cells.isin(column.missing_marks)
        invalid = cells[np.isnan(values) & ~missing]
        if len(invalid):
            notes.append(
                f"column {column.name!r}: {invalid.iloc[0][:20]!r} is no {column.kind} and counts "
                f"as missing ({len(invalid)} rows of the {split_name} split)"
            )
        if missing.any() and not column.has_missing:
            notes.append(
                f"column {column.name!r}: {missing.sum():,} rows of the {split_name} split have no "
                "cell, and none of the training split: they count as the median"
            )
    return tuple(notes)


def parse_cells(cells: pd.Series, column: Column) -> np.ndarray:
    """Returns stripped cells of numbers or dates as float64, NaN where they are neither."""
    if column.kind == "number":
        return parse_numbers(cells, column.decimal, column.thousands)
    texts = tf.constant(cells.fillna("").to_numpy(object))
    return parse_dates(texts, column.date_format)[0].numpy()


def _infer_kind(name: str, cells: pd.Series) -> tuple[str, str]:
    """Returns the kind of a column and, for one to drop, the reason."""
    present = cells.dropna()
    if present.empty:
        return DROP, "all its cells are empty"
    first = present.iloc[0]
    if len(present) == len(cells) and (present == first).all():
        return DROP, f"all its cells are {first[:40]!r}"
    *_, is_number = find_number_form(cells)
    few_invalid = (~is_number).mean() <= _INVALID_SHARE or present[~is_number].nunique() == 1
    if is_number.any() and few_invalid and not present.str.match(r"0\d").any():
        return (DROP, "it numbers the rows") if _numbers_rows(name, present) else ("number", "")
    if find_date_format(present):
        return "date", ""
    if 0.5 <= is_number.mean() < 1:
        other = present[~is_number].iloc[0][:20]
        return DROP, (
            f"{is_number.mean():.0%} of its cells are numbers, but not {other!r} (to count others "
            f"as missing, pass --columns={name}:number)"
        )
    distinct = present.nunique() / len(present) if len(present) >= _MANY_CELLS else 0
    if distinct > _MIN_DISTINCT and _count_words(present) > _MIN_WORDS:
        return "text", ""
    if distinct > 0.9:
        return DROP, "almost each row has a value of its own, as an id does"
    return "category", ""


def _count_words(present: pd.Series) -> float:
    """Returns the mean number of words; in scripts without spaces, a word has two letters."""
    words = 1 + present.str.count(r"\s+") + present.str.count(UNSPACED_LETTER) / 2
    return float(words.mean())


def _numbers_rows(name: str, present: pd.Series) -> bool:
    """Whether a column of numbers counts the rows or, by its name, identifies them."""
    if len(present) < _MANY_CELLS or not present.is_unique:
        return False
    if not present.str.fullmatch(r"\d+").all():
        return False
    numbers = pd.Series(parse_numbers(present))
    low, high = numbers.min(), numbers.max()
    may_be_years = low >= 1000 and high <= 2100
    # some rows are held out
    is_dense = high - low < 1.5 * len(numbers) and not may_be_years
    return bool(_ID_NAME.fullmatch(name)) or (is_dense and numbers.is_monotonic_increasing)


def find_date_format(present: pd.Series) -> str:
    """Returns the form of dates that all cells have, or ""."""
    for date_format in DATE_FORMATS:
        # most columns of texts are refused by their first cells
        for sample in (present[:20], present):
            days, _ = parse_dates(tf.constant(sample.to_numpy(object)), date_format)
            if np.isnan(days).any():
                break
        else:
            return date_format
    return ""


def _learn_number(name: str, cells: pd.Series) -> tuple[Column, str]:
    decimal, thousands, is_number = find_number_form(cells)
    if not is_number.any():
        raise UserError(f"columns={name}:number: the column has no numbers: choose another kind")
    numbers = parse_numbers(cells, decimal, thousands)
    center, scale = measure_spread(numbers)
    invalid = cells.dropna()[~is_number]
    column = Column(
        name,
        "number",
        center,
        scale,
        bool(np.isnan(numbers).any()),
        decimal=decimal,
        thousands=thousands,
        missing_marks=tuple(sorted(invalid.unique())),
    )
    examples = ", ".join(repr(value[:20]) for value in column.missing_marks[:3])
    notes = [f"{examples} is no number and counts as missing ({len(invalid)} rows)"] * (
        len(invalid) > 0
    )
    if not are_plain_numbers(cells):
        numbered = cells.dropna()[is_number]
        for cell in numbered[numbered.str.contains(DECORATION)].head(1):
            notes.append(f"{cell[:20]!r} counts as {numbers[cells == cell][0]:g}")
    if (decimal, thousands) != (".", ""):
        marks = f"{decimal!r} is the decimal mark"
        notes.append(marks + (f", {thousands!r} separates thousands" if thousands else ""))
    return column, "; ".join(notes)


def _learn_date(name: str, cells: pd.Series) -> tuple[Column, str]:
    present = cells.dropna()
    date_format = find_date_format(present)
    if not date_format:
        raise UserError(
            f"columns={name}:date: the cells are not dates of one form, such as "
            f"{present.iloc[0][:40]!r}: write them as 2026-01-31"
        )
    days = parse_cells(present, Column(name, "date", date_format=date_format))
    center, scale = measure_spread(days)
    column = Column(
        name,
        "date",
        center,
        scale,
        len(present) < len(cells),
        date_format=date_format,
        has_time=bool((days % 1 != 0).any()),
    )
    is_ambiguous = date_format in ("%d/%m/%Y", "%m/%d/%Y")
    return column, f"dates are read as {date_format}" if is_ambiguous else ""


def _learn_category(name: str, cells: pd.Series) -> tuple[Column, str]:
    counts = cells.fillna("").value_counts()
    counts = counts[sorted(counts.index, key=lambda value: (-counts[value], value))]
    min_count = _MIN_COUNT if len(cells) >= 100 else 1
    known = counts[counts >= min_count][:_MAX_VALUES]
    if known.empty:
        known = counts[:_MAX_VALUES]
    column = Column(name, "category", values=tuple(known.index), has_rare=len(known) < len(counts))
    notes = [
        f"{variants} differ only in case" for variants in find_case_variants(column.values)[:3]
    ]
    if rare := len(counts) - len(known):
        notes.append(f"{rare} rare values share one code ({counts.sum() - known.sum()} rows)")
    return column, "; ".join(notes)


def _learn_text(name: str, cells: pd.Series) -> tuple[Column, str]:
    return Column(name, "text", has_missing=bool(cells.isna().any())), ""


_LEARNERS = {
    "number": _learn_number,
    "date": _learn_date,
    "category": _learn_category,
    "text": _learn_text,
}
