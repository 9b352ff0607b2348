"""Learns the tokenizers of the columns of texts of a table."""

import dataclasses

import numpy as np

from zoo.data.config import DataConfig, format_column_kinds
from zoo.data.splits import Arrays
from zoo.data.tables.column_cells import ColumnCells
from zoo.data.tables.columns import Column
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.row_texts import RowTexts
from zoo.data.texts.tokenizer_choice import make_tokenizer
from zoo.errors import UserError


def learn_column_tokenizers(
    columns: tuple[Column, ...], train: FrameRows, validation: FrameRows, config: DataConfig
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Gives each column of texts a tokenizer of its own, learned from the training split.

    Args:
        columns: The columns of a table.
        train: The cells of the training split.
        validation: The cells of a split whose unknown tokens are counted.
        config: Settings of the tokenizers.

    Returns:
        The columns; and notes on what was chosen, on texts that are cut, and on unknown tokens.

    Raises:
        UserError: if all texts of a column are empty.
    """
    learned, notes = [], []
    for column in columns:
        if column.kind == "text":
            texts, others = _read_texts(train, column), _read_texts(validation, column)
            if not len(texts):
                raise UserError(
                    f"columns={column.name}:text: all its cells in the training split are empty: "
                    f"leave the column out with {format_column_kinds([column.name], 'drop')}"
                )
            try:
                tokenizer, text_notes = make_tokenizer(texts, others, config)
            except UserError as error:
                raise UserError(f"column {column.name!r}: {error}") from error
            column = dataclasses.replace(column, tokenizer=tokenizer)
            notes += [f"column {column.name!r}: {note}" for note in text_notes]
        learned.append(column)
    return tuple(learned), tuple(notes)


def _read_texts(rows: FrameRows, column: Column) -> Arrays:
    """Returns the texts of a column that are not missing, with targets of no meaning."""
    rows = rows.select_columns([column.name])  # else each block of texts has all of them
    is_present = [cells.notna().to_numpy(bool) for cells in ColumnCells(rows, column.name)]
    present = rows[np.concatenate(is_present)]
    return Arrays(RowTexts(present, (column.name,), strips=True), np.zeros(len(present)))
