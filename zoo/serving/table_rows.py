"""Reads the rows of tables for prediction."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.cells import find_number_form, parse_numbers, strip_cells
from zoo.data.columns import Column
from zoo.data.sources.table_files import TABLE_KINDS, Table, read_table
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.schema import is_text, suggest_closest


def find_table_kind(file: Path) -> str:
    """Returns the kind of a table file by its name, such as "csv" for x.csv.gz, or ""."""
    suffixes = [suffix.lower().removeprefix(".") for suffix in file.suffixes]
    return next((kind for kind in TABLE_KINDS if kind in suffixes[-2:]), "")


def read_table_rows(
    file: Path, spec: Spec, text: Sequence[str]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yields the place, the cells and the inputs of each row of a file.

    Args:
        file: The file.
        spec: Spec of the data that the model reads.
        text: Names of the columns of texts; empty for those of the training.

    Raises:
        UserError: if the file cannot be read, lacks a column or has an invalid cell.
    """
    table = read_table(find_table_kind(file), file)
    if spec.is_text:
        columns = _read_text_columns(table, spec, text)
    elif spec.columns:
        columns = {column.name: _read_column(table, column) for column in spec.columns}
    else:
        columns = _read_features(table, spec)
    names = list(columns)
    for place, *values in zip(table.iterate_places(), *columns.values(), strict=True):
        inputs = dict(zip(names, values, strict=True))
        yield place, inputs["text"] if names == ["text"] else _format_cells(inputs), inputs


def _read_text_columns(table: Table, spec: Spec, text: Sequence[str]) -> dict[str, pd.Series]:
    """Returns the texts by the names of the model's inputs."""
    inputs = ["text"] if spec.kind == "text" else ["text_a", "text_b"]
    names = list(text or spec.feature_names or inputs)
    if len(names) != len(inputs):
        raise UserError(
            f"--text={','.join(text)}: the model reads {len(inputs)} column(s) of texts"
        )
    columns = {}
    for key, name in zip(inputs, names, strict=True):
        cells = _find_column(table, name, "name it with --text")
        invalid = np.flatnonzero(~cells.map(is_text).to_numpy(bool))
        if len(invalid):
            raise UserError(
                f"{table.find_line(invalid[0])}: column {name!r} holds "
                f"{cells.iloc[invalid[0]]!r:.50}; expected a text"
            )
        columns[key] = cells
    return columns


def _read_features(table: Table, spec: Spec) -> dict[str, np.ndarray]:
    """Returns the features of a model without columns; those of a server have no known names."""
    columns = {}
    for name in spec.feature_names or table.frame.columns:
        if not spec.feature_names and not find_number_form(strip_cells(table.frame[name]))[2].any():
            continue  # a server ignores it
        columns[name] = _read_column(table, Column(name, "number"))
        rows = np.flatnonzero(np.isnan(columns[name]))
        if len(rows):
            raise UserError(
                f"{table.find_line(rows[0])}: column {name!r} is empty; expected a finite number"
            )
    return columns


def _read_column(table: Table, column: Column) -> np.ndarray:
    """Returns the cells of a column: float64, NaN where missing, or strings, "" where missing."""
    raw = _find_column(table, column.name, "the columns are those of the training")
    cells = strip_cells(raw)
    if column.kind != "number":
        return cells.fillna("").to_numpy(object)
    decimal, thousands = column.decimal, column.thousands
    if (decimal, thousands) == (".", ""):
        decimal, thousands, _ = find_number_form(cells)
    numbers = parse_numbers(cells, decimal, thousands)
    invalid = np.isnan(numbers) & cells.notna() & ~cells.isin(column.missing_marks)
    rows = np.flatnonzero(invalid)
    if len(rows):
        raise UserError(
            f"{table.find_line(rows[0])}: column {column.name!r} holds "
            f"{cells.iloc[rows[0]][:50]!r}; expected a number, or an empty cell if it is missing"
        )
    return numbers


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
