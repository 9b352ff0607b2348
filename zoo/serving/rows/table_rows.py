"""Reads the rows of tables for prediction."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.sources.arrow_files import ARROW_KINDS
from zoo.data.sources.table_files import TABLE_KINDS, StorageOptions, Table, read_table
from zoo.data.spec import Spec
from zoo.data.tables.cells import (
    are_plain_numbers,
    describe_number_form,
    find_number_form,
    find_unseen_values,
    fit_number_form,
    parse_raw_numbers,
    strip_cells,
    strip_units,
)
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import are_dates
from zoo.errors import UserError, format_count, shorten_names
from zoo.schema import is_text, suggest_closest
from zoo.serving.rows.blocks import Row, RowBlock
from zoo.serving.rows.row_log import RowLog

_BLOCK_CELLS = 1 << 18  # of a table that are read together
_MEMORY_BUDGET = 1 << 28  # bytes; what is more of a table is mapped from a file


def find_table_kind(file: Path) -> str:
    """Returns the kind of a table file by its name, such as "csv" for x.csv.gz, or ""."""
    suffixes = [suffix.lower().removeprefix(".") for suffix in file.suffixes]
    return next((kind for kind in TABLE_KINDS if kind in suffixes[-2:]), "")


def read_table_rows(
    file: Path,
    spec: Spec,
    text: Sequence[str],
    separator: str | None,
    log: RowLog,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Yields the rows of a file.

    Args:
        file: The file.
        spec: Spec of the data that the model reads.
        text: Names of the columns of texts; empty for those of the training.
        separator: What separates the fields of a CSV file; None to find out.
        log: Takes notes on the file, and rows with an invalid cell.
        encoding: Encoding of the file; None to find out.

    Raises:
        UserError: if the file cannot be read, lacks a column or has an invalid cell.
    """
    report = log.report_bad_row
    storage = StorageOptions(budget=_MEMORY_BUDGET)
    table = read_table(find_table_kind(file), file, separator, report, storage, encoding)
    log.notes += table.notes
    faults: dict[int, str] = {}
    if spec.is_text:
        columns = _read_text_columns(table, spec, text, faults)
    elif spec.columns:
        columns = {c.name: _read_column(table, c, faults, log) for c in spec.columns}
        unseen = (_describe_unseen_values(columns[c.name], c) for c in spec.columns)
        log.notes += tuple(f"{file}: {note}" for note in unseen if note)
    else:
        columns = _read_features(table, spec, faults, log)
    if not columns:
        raise UserError(f"{file}: no column has numbers; expected the features of the model")
    if faults and not log.skip_bad_rows:  # before the first row is predicted
        raise UserError(f"{table.find_line(min(faults))}: {faults[min(faults)]}")
    start = 0
    for lines in _iterate_lines(table, log):
        block = _make_block(table, columns, start, lines)
        for number in range(len(lines)):
            if start + number in faults:
                log.report_bad_row(f"{block.find_place(number)}: {faults[start + number]}")
            else:
                yield Row(block, number)
        start += len(lines)


def _make_block(
    table: Table, columns: dict[str, pd.Series], start: int, lines: np.ndarray
) -> RowBlock:
    """Returns the block of the rows that begin at `start` and have these line numbers."""
    rows = slice(start, start + len(lines))
    frame = table.frame.iloc[rows]
    inputs = {name: _make_array(cells.iloc[rows]) for name, cells in columns.items()}
    return RowBlock(
        inputs,
        inputs["text"] if [*inputs] == ["text"] else {n: _show_missing(inputs[n]) for n in inputs},
        lambda: {name: cells.to_numpy(object).tolist() for name, cells in frame.items()},
        lambda number: table.format_place(lines[number]),
    )


def _make_array(cells: pd.Series) -> np.ndarray:
    """Returns cells as float64, or as Python objects."""
    return cells.to_numpy() if cells.dtype == np.float64 else cells.to_numpy(object, na_value=None)


def _show_missing(cells: np.ndarray) -> np.ndarray:
    """Returns cells for JSON, None where they are missing."""
    is_missing = np.isnan(cells) if cells.dtype == np.float64 else cells == ""
    if not is_missing.any():
        return cells
    shown = cells.astype(object)
    shown[is_missing] = None
    return shown


def _iterate_lines(table: Table, log: RowLog) -> Iterator[np.ndarray]:
    """Yields the line numbers of blocks of rows, and notes how many blank lines are in between."""
    numbers, size = table.iterate_numbers(), max(_BLOCK_CELLS // len(table.frame.columns), 1)
    start, previous, blank, first = 0, 0, 0, 0
    while len(lines := np.fromiter(itertools.islice(numbers, size), np.int64)):
        before = np.concatenate([[previous or lines[0] - 1], lines[:-1]])
        rows = np.flatnonzero(lines > before + 1)
        below = table.frame.iloc[start + rows].to_numpy(object)  # much faster than one by one
        for row, cells in zip(rows, below, strict=True):
            if not any(isinstance(cell, str) and "\n" in cell for cell in cells):
                between = [
                    n for n in range(before[row] + 1, lines[row]) if n not in table.bad_lines
                ]
                first = first or (between[0] if between else 0)
                blank += len(between)
        start, previous = start + len(lines), lines[-1]
        yield lines
    if blank:
        note = format_count(blank, "blank line has", "blank lines have")
        log.notes.append(f"{table.path}: {note} no prediction (the first is line {first})")


def _read_text_columns(
    table: Table, spec: Spec, text: Sequence[str], faults: dict[int, str]
) -> dict[str, pd.Series]:
    """Returns the texts by the names of the model's inputs; adds to `faults` by row."""
    inputs = ["text"] if spec.kind == "text" else ["text_a", "text_b"]
    names = list(text or spec.feature_names or inputs)
    if len(names) != len(inputs):
        raise UserError(
            f"--text={','.join(text)}: the model reads {len(inputs)} column(s) of texts"
        )
    columns = {}
    for key, name in zip(inputs, names, strict=True):
        cells = _find_column(table, name, "name it with --text")
        for row in np.flatnonzero(~cells.map(is_text).to_numpy(bool)):
            faults[int(row)] = f"column {name!r} holds {cells.iloc[row]!r:.50}; expected a text"
        columns[key] = cells
    return columns


def _read_features(
    table: Table, spec: Spec, faults: dict[int, str], log: RowLog
) -> dict[str, pd.Series]:
    """Returns the features of a model without columns; those of a server have no known names."""
    columns = {}
    for name in spec.feature_names or table.frame.columns:
        if not spec.feature_names and not find_number_form(strip_cells(table.frame[name]))[2].any():
            continue  # a server ignores it
        columns[name] = _read_column(table, Column(name, "number"), faults, log)
        for row in np.flatnonzero(np.isnan(columns[name])):
            faults.setdefault(int(row), f"column {name!r} is empty; expected a finite number")
    return columns


def _read_column(table: Table, column: Column, faults: dict[int, str], log: RowLog) -> pd.Series:
    """Returns the cells of a column: float64, NaN where missing, or strings, "" where missing."""
    raw = _find_column(table, column.name, "expected those of the training")
    if column.kind == "number":
        return pd.Series(_read_numbers(table, column, raw, faults, log))
    cells = strip_cells(raw)
    if column.date_format:
        invalid = ~are_dates(cells, column.date_format)
        _add_faults(cells, invalid, column, f"a date as {column.date_format}", faults)
    return cells.fillna("")


def _read_numbers(
    table: Table, column: Column, raw: pd.Series, faults: dict[int, str], log: RowLog
) -> np.ndarray:
    """Returns the cells of a column as float64, NaN where they are missing."""
    form = (column.decimal, column.thousands)
    numbers = parse_raw_numbers(raw, *form, column.unit)
    may_be_plain = table.kind in ARROW_KINDS and form != (".", "")
    if not np.isnan(numbers).any() and not may_be_plain:
        return numbers
    cells = strip_cells(raw)
    if (found := _choose_number_form(table, column, raw, cells)) != form:
        if table.kind not in ARROW_KINDS:
            written = describe_number_form(*found) or "'.' is the decimal mark"
            log.notes.append(f"{table.path}: column {column.name!r}: {written}")
        numbers = parse_raw_numbers(raw, *found, column.unit)
    _add_faults(cells, np.isnan(numbers), column, "a number", faults)
    return numbers


def _choose_number_form(
    table: Table, column: Column, raw: pd.Series, cells: pd.Series
) -> tuple[str, str]:
    """Returns the decimal mark and thousands separator: those of the training, or a better fit."""
    form, cells = (column.decimal, column.thousands), strip_units(cells, column.unit)
    if table.kind in ARROW_KINDS and are_plain_numbers(cells):
        return ".", ""
    if raw.dtype == object:  # what is a number in JSON has no form
        cells = cells[[isinstance(cell, str) for cell in raw]]
    written = cells.dropna()
    fits, _ = fit_number_form(written, *form)
    if fits.all():
        return form
    decimal, thousands, others = find_number_form(written)
    return (decimal, thousands) if others.sum() > fits.sum() else form


def _add_faults(
    cells: pd.Series, invalid: np.ndarray, column: Column, expected: str, faults: dict[int, str]
) -> None:
    """Adds to `faults` the invalid cells that are not missing."""
    is_missing = cells.isna() | cells.isin(column.missing_marks)
    for row in np.flatnonzero(invalid & ~is_missing.to_numpy(bool)):
        faults[int(row)] = (
            f"column {column.name!r} holds {cells.iloc[row][:50]!r}; expected {expected}, or an "
            "empty cell if it is missing"
        )


def _describe_unseen_values(cells: pd.Series, column: Column) -> str:
    """Returns a note on values of a category that the training split lacks, or ""."""
    if not column.values:  # of a server, they are not known
        return ""
    is_unseen = find_unseen_values(cells, column.values, column.is_boolean)
    if not is_unseen.any():
        return ""
    example = cells.iloc[int(np.argmax(is_unseen))]
    return (
        f"column {column.name!r}: {is_unseen.sum():,} of {len(cells):,} rows have values that the "
        f"model does not know, such as {example[:40] or '(missing)'!r}"
    )


def _find_column(table: Table, name: str, advice: str) -> pd.Series:
    if name not in table.frame:
        columns = list(table.frame.columns)
        raise UserError(
            f"{table.path}: no column {name!r}.{suggest_closest(name, columns)} The columns are "
            f"{shorten_names(columns)}: {advice}"
        )
    return table.frame[name]
