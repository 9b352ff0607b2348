"""Numbers and dates of a split that are written in another form than those of the training."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from zoo.data.config import format_column_kinds
from zoo.data.tables.cells import (
    OTHER_NUMBER_FORMS,
    are_grouped,
    count_values,
    describe_number_form,
    fit_number_form,
    parse_numbers,
)
from zoo.data.tables.column_cells import ColumnCells, choose_date_format, parse_cells
from zoo.data.tables.columns import DROP, Column
from zoo.data.tables.frame_rows import FrameRows
from zoo.errors import UserError

_MOST = 0.95  # of the cells of a split have its form

NumberForm = tuple[str, str]


def adapt_columns(
    rows: FrameRows, columns: tuple[Column, ...], split_name: str
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Returns the columns with the forms that the numbers of a split have, and notes on others.

    Args:
        rows: A split that nothing was learned from.
        columns: The columns, as they were learned.
        split_name: Name of the split.

    Raises:
        UserError: if the form of the numbers is ambiguous, or dates have another form.
    """
    adapted, notes = [], []
    for column in columns:
        if column.kind in ("number", "date") and not rows.has_numbers(column.name):
            cells = ColumnCells(rows, column.name, unit=column.unit)
            if not _have_form(cells, column):
                if column.kind == "date":
                    _reject_dates(cells, column, split_name)
                elif form := _choose_number_form(cells, column, split_name):
                    column = dataclasses.replace(column, decimal=form[0], thousands=form[1])
                    told = describe_number_form(*form) or "'.' is the decimal mark"
                    notes.append(f"column {column.name!r}: in the {split_name} split, {told}")
        adapted.append(column)
    return tuple(adapted), tuple(notes)


def _have_form(cells: ColumnCells, column: Column) -> bool:
    """Whether most cells are numbers or dates of the form of the column."""
    blocks = [parse_cells(block, column) for block in _iterate_present(cells, column)]
    return not blocks or bool(np.isfinite(np.concatenate(blocks)).mean() >= _MOST)


def _iterate_present(cells: ColumnCells, column: Column) -> Iterator:
    for block in cells.iterate_strings():
        present = block[block.notna() & ~block.isin(column.missing_marks)]
        if len(present):
            yield present


def _choose_number_form(cells: ColumnCells, column: Column, split_name: str) -> NumberForm | None:
    """Returns the form that most cells have, or None."""
    found: dict[NumberForm, np.ndarray] = {}
    blocks = [*_iterate_present(cells, column)]
    for form in [(".", ""), *OTHER_NUMBER_FORMS]:
        fits = [fit_number_form(block, *form)[0].to_numpy(bool) for block in blocks]
        grouped = form == (".", "") and all(are_grouped(pa.array(x, pa.string())) for x in blocks)
        if np.concatenate(fits).mean() >= _MOST and not grouped:
            found[form] = np.concatenate([parse_numbers(block, *form) for block in blocks])
    if not found:
        return None
    (form, numbers), *others = found.items()
    for other, values in others:
        differs = np.flatnonzero((values != numbers) & ~(np.isnan(values) & np.isnan(numbers)))
        if len(differs):
            row = differs[0]
            cell = np.concatenate([block.to_numpy(object) for block in blocks])[row]
            raise UserError(
                f"column {column.name!r}: {cell[:20]!r} of the {split_name} split may be "
                f"{numbers[row]:.15g} or {values[row]:.15g}, and the training split is written in "
                f"neither form ({other[0]!r} or {form[0]!r} as the decimal mark): write both files "
                "in one form"
            )
    return form


def _reject_dates(cells: ColumnCells, column: Column, split_name: str) -> None:
    """Raises a UserError if the dates of a split have another form."""
    blocks = [*_iterate_present(cells, column)]
    date_format, dates, _ = choose_date_format(map(count_values, blocks))
    if date_format and dates >= _MOST * sum(map(len, blocks)):
        raise UserError(
            f"column {column.name!r}: the dates of the {split_name} split, such as "
            f"{str(blocks[0].iloc[0])[:30]!r}, are written as {date_format}, and those of the "
            f"training split as {column.date_format}: write both files in one form, or train "
            f"with {format_column_kinds([column.name], DROP)}"
        )
