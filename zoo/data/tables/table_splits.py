"""Encodes the splits of a table as features."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.memory import choose_budget
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split
from zoo.data.tables.cells import clean_cells, find_number_form, parse_numbers
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.column_notes import (
    describe_unreadable_cells,
    describe_unseen_values,
    merge_notes,
)
from zoo.data.tables.column_texts import learn_column_tokenizers
from zoo.data.tables.columns import Column, count_features
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.label_copies import describe_label_copies
from zoo.data.tables.split_forms import adapt_columns
from zoo.data.tables.split_ranges import describe_other_sizes
from zoo.data.tables.table_encoding import TableRecords, encode_rows
from zoo.errors import UserError
from zoo.schema import suggest_closest

Splits = dict[str, Split]


def is_table(split: Split) -> bool:
    """Whether the inputs of a split are the cells of a table, which are not encoded yet."""
    return isinstance(split, Arrays) and isinstance(split.x, FrameRows)


def parse_number_columns(split: Split, names: tuple[str, ...]) -> Arrays:
    """Returns the numbers of a table for a model that was trained on features without columns.

    Args:
        split: A split of a table.
        names: Names of the features.

    Raises:
        UserError: if a column is missing, or a cell is no number.
    """
    assert isinstance(split, Arrays)
    frame, features = split.x.to_frame(), []
    for name in names:
        if name not in frame:
            known = list(frame.columns)
            raise UserError(f"there is no column {name!r}.{suggest_closest(name, known)}")
        cells = clean_cells(frame[name])
        decimal, thousands, _ = find_number_form(cells)
        numbers = parse_numbers(cells, decimal, thousands)
        rows = np.flatnonzero(np.isnan(numbers))
        if len(rows):
            raise UserError(
                f"column {name!r} holds {str(cells.iloc[rows[0]])[:40]!r} ({len(rows)} such rows); "
                "expected a finite number"
            )
        features.append(numbers.astype("float32"))
    return Arrays(np.stack(features, axis=1), split.y)


def encode_table(
    splits: Mapping[str, Split],
    spec: Spec,
    config: DataConfig,
) -> tuple[Splits, Splits, Spec, tuple[str, ...]]:
    """Encodes the cells of a table.

    Args:
        splits: Splits whose inputs are `FrameRows`.
        spec: Spec of the splits.
        config: The memory budget; the columns of a trained model, or else the kinds of columns
            that the user set and the settings of the tokenizers: the columns are then learned from
            the split "train".

    Returns:
        The splits with features, the splits with records, the spec of the features, and notes.

    Raises:
        UserError: as in `infer_columns` and `learn_column_tokenizers`.
    """
    tables = {name: split for name, split in splits.items() if isinstance(split, Arrays)}
    columns, notes = config.known_columns, tuple[str, ...]()
    if not columns:
        train = tables["train"].x
        columns, notes = infer_columns(train, dict(config.columns))
        columns, text_notes = learn_column_tokenizers(
            columns, train, tables["validation"].x, config
        )
        notes += text_notes + describe_label_copies(train, columns, tables["train"].y)
    written = dict.fromkeys(tables, columns)
    for name, table in tables.items():
        if config.known_columns or name != "train":
            written[name], split_notes = _adapt_to_split(table, columns, name)
            train = None if config.known_columns else tables["train"].x
            notes += split_notes + describe_other_sizes(table.x, written[name], name, train)
    width = count_features(columns)
    # one limit for all splits: either all of them are in memory, or none is
    size = 4 * width * sum(map(len, tables.values()))
    budget = size if size <= choose_budget(config.memory_budget) else 0
    records: Splits = {}
    encoded: Splits = {}
    for name, table in tables.items():
        records[name] = Arrays(TableRecords(table.x, written[name]), table.y)
        features = encode_rows(table.x, written[name], budget, config.mapped_dir)
        encoded[name] = Arrays(features, table.y, weights=table.weights)
    names = tuple(column.name for column in columns)
    spec = dataclasses.replace(spec, shape=(width,), feature_names=names, columns=columns)
    return encoded, records, spec, merge_notes(notes)


def make_table_records(
    split: Split, columns: tuple[Column, ...], split_name: str
) -> tuple[Arrays, tuple[str, ...]]:
    """Returns a split of a table as clients send it, and notes on its cells.

    Args:
        split: A split of a table, from which nothing was learned.
        columns: The columns, of which no more than name and kind need be known.
        split_name: Name of the split.

    Raises:
        UserError: as in `adapt_columns`.
    """
    assert isinstance(split, Arrays)
    # whether cells were missing in the training is not known
    columns = tuple(dataclasses.replace(column, has_missing=True) for column in columns)
    written, notes = _adapt_to_split(split, columns, split_name)
    return Arrays(TableRecords(split.x, written), split.y, slices=split.slices), notes


def _adapt_to_split(
    table: Arrays, columns: tuple[Column, ...], name: str
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Returns the columns as a split writes them, and notes on its cells."""
    written, form_notes = adapt_columns(table.x, columns, name)
    unreadable = describe_unreadable_cells(table.x, written, name)
    return written, (*form_notes, *unreadable, *describe_unseen_values(table.x, columns, name))
