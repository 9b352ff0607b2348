"""Encodes the splits of a table as features."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from zoo.data.cells import find_number_form, parse_numbers, strip_cells
from zoo.data.column_encoding import encode_records, make_records
from zoo.data.column_inference import describe_unreadable_cells, infer_columns
from zoo.data.column_texts import learn_column_tokenizers
from zoo.data.columns import count_features
from zoo.data.config import DataConfig
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split
from zoo.errors import UserError
from zoo.schema import suggest_closest

Splits = dict[str, Split]


def is_table(split: Split) -> bool:
    """Whether the inputs of a split are the cells of a table, which are not encoded yet."""
    return isinstance(split, Arrays) and isinstance(split.x, pd.DataFrame)


def parse_plain_numbers(split: Split, names: tuple[str, ...]) -> Arrays:
    """Returns the numbers of a table for a model that was trained on features without columns.

    Args:
        split: A split of a table.
        names: Names of the features.

    Raises:
        UserError: if a column is missing, or a cell is no number.
    """
    assert isinstance(split, Arrays)
    features = []
    for name in names:
        if name not in split.x:
            known = list(split.x.columns)
            raise UserError(f"there is no column {name!r}.{suggest_closest(name, known)}")
        cells = strip_cells(split.x[name])
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
        splits: Splits whose inputs are DataFrames of strings.
        spec: Spec of the splits.
        config: Columns of a trained model, or else the kinds of columns that the user set and the
            settings of the tokenizers; the columns are then learned from the split "train".

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
        notes += text_notes
    for name, table in tables.items():
        if config.known_columns or name != "train":
            notes = (*notes, *describe_unreadable_cells(table.x, columns, name))
    records: Splits = {}
    encoded: Splits = {}
    for name, table in tables.items():
        rows = make_records(table.x, columns)
        records[name] = Arrays(rows, table.y)
        encoded[name] = Arrays(encode_records(rows, columns), table.y, weights=table.weights)
    names = tuple(column.name for column in columns)
    shape = (count_features(columns),)
    spec = dataclasses.replace(spec, shape=shape, feature_names=names, columns=columns)
    return encoded, records, spec, notes
