"""Reads the rows of tables for prediction."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.cells import (
    are_plain_numbers,
    describe_number_form,
    find_number_form,
    find_unseen_values,
    fit_number_form,
    parse_raw_numbers,
    strip_cells,
    strip_units,
)
from zoo.data.columns import Column
from zoo.data.date_forms import are_dates
from zoo.data.sources.arrow_files import ARROW_KINDS
from zoo.data.sources.table_files import TABLE_KINDS, Table, read_table
from zoo.data.spec import Spec
from zoo.errors import UserError, format_count
from zoo.schema import is_text, suggest_closest
from zoo.serving.row_log import RowLog


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
) -> Iterator[tuple[str, Any, dict[str, Any], dict[str, Any]]]:
    """Yields the place, what to show, the inputs and all columns of each row of a file.

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
    table = read_table(find_table_kind(file), file, separator, report, encoding=encoding)
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
    all_names = list(table.frame.columns)
    all_cells = table.frame.itertuples(index=False, name=None)
    inputs_by_row = zip(*columns.values(), strict=True)
    rows = zip(table.iterate_places(), all_cells, inputs_by_row, strict=True)
    for row, (place, cells, values) in enumerate(_watch_blank_lines(rows, table, log)):
        if row in faults:
            log.report_bad_row(f"{place}: {faults[row]}")
            continue
        inputs = dict(zip(columns, values, strict=True))
        shown = inputs["text"] if [*inputs] == ["text"] else _format_cells(inputs)
        yield place, shown, inputs, dict(zip(all_names, cells, strict=True))


def _watch_blank_lines(rows: Iterable[Any], table: Table, log: RowLog) -> Iterator[Any]:
    """Yields the rows of a table, and notes how many blank lines between them there are."""
    previous, blank, first = 0, 0, 0
    for place, cells, values in rows:
        number = int(place.rpartition(" ")[2])
        has_breaks = any(isinstance(cell, str) and "\n" in cell for cell in cells)
        if previous and not has_breaks and table.kind not in ARROW_KINDS:
            between = [n for n in range(previous + 1, number) if n not in table.bad_lines]
            first = first or (between[0] if between else 0)
            blank += len(between)
        previous = number
        yield place, cells, values
    if blank:
        lines = format_count(blank, "blank line has", "blank lines have")
        log.notes.append(f"{table.path}: {lines} no prediction (the first is line {first})")


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
) -> dict[str, np.ndarray]:
    """Returns the features of a model without columns; those of a server have no known names."""
    columns = {}
    for name in spec.feature_names or table.frame.columns:
        if not spec.feature_names and not find_number_form(strip_cells(table.frame[name]))[2].any():
            continue  # a server ignores it
        columns[name] = _read_column(table, Column(name, "number"), faults, log)
        for row in np.flatnonzero(np.isnan(columns[name])):
            faults.setdefault(int(row), f"column {name!r} is empty; expected a finite number")
    return columns


def _read_column(table: Table, column: Column, faults: dict[int, str], log: RowLog) -> np.ndarray:
    """Returns the cells of a column: float64, NaN where missing, or strings, "" where missing."""
    raw = _find_column(table, column.name, "expected those of the training")
    cells = strip_cells(raw)
    if column.date_format:
        invalid = ~are_dates(cells, column.date_format)
        _add_faults(cells, invalid, column, f"a date as {column.date_format}", faults)
    if column.kind != "number":
        return cells.fillna("").to_numpy(object)
    decimal, thousands = _choose_number_form(table, column, raw)
    if (decimal, thousands) != (column.decimal, column.thousands) and table.kind not in ARROW_KINDS:
        written = describe_number_form(decimal, thousands) or "'.' is the decimal mark"
        log.notes.append(f"{table.path}: column {column.name!r}: {written}")
    numbers = parse_raw_numbers(raw, decimal, thousands, column.unit)
    _add_faults(cells, np.isnan(numbers), column, "a number", faults)
    return numbers


def _choose_number_form(table: Table, column: Column, raw: pd.Series) -> tuple[str, str]:
    """Returns the decimal mark and thousands separator: those of the training, or a better fit."""
    form, cells = (column.decimal, column.thousands), strip_units(strip_cells(raw), column.unit)
    if table.kind in ARROW_KINDS and are_plain_numbers(cells):
        return ".", ""
    if raw.dtype == object:  # what is a number in JSON has no form
        cells = cells[[isinstance(cell, str) for cell in raw]]
    written = cells.dropna()
    fits, _ = fit_number_form(written, *form)
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


def _describe_unseen_values(cells: np.ndarray, column: Column) -> str:
    """Returns a note on values of a category that the training split lacks, or ""."""
    if not column.values:  # of a server, they are not known
        return ""
    is_unseen = find_unseen_values(pd.Series(cells), column.values, column.is_boolean)
    if not is_unseen.any():
        return ""
    example = cells[int(np.argmax(is_unseen))]
    return (
        f"column {column.name!r}: {is_unseen.sum():,} of {len(cells):,} rows have values that the "
        f"model does not know, such as {example[:40] or '(missing)'!r}"
    )


def _find_column(table: Table, name: str, advice: str) -> pd.Series:
    if name not in table.frame:
        columns = list(table.frame.columns)
        raise UserError(
            f"{table.path}: no column {name!r}.{suggest_closest(name, columns)} The columns are "
            f"{', '.join(columns)}: {advice}"
        )
    return table.frame[name]


def _format_cells(inputs: dict[str, Any]) -> dict[str, Any]:
    """Returns the cells for JSON, None where they are missing."""
    return {
        name: None if value == "" or value != value else value for name, value in inputs.items()
    }
