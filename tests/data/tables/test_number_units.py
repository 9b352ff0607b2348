"""Numbers with a unit."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from zoo.data.tables.cells import STRING, parse_numbers, parse_raw_numbers
from zoo.data.tables.column_encoding import parse_number_strings
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.column_notes import describe_unreadable_cells
from zoo.data.tables.columns import Column, column_to_record, columns_from_record
from zoo.data.tables.frame_rows import FrameRows


def infer(*cells, **kinds):
    """The column, or None if it was dropped, and the note on it."""
    table = pd.DataFrame({"x": [cells[i % len(cells)] for i in range(60)], "y": ["p", "q"] * 30})
    columns, notes = infer_columns(FrameRows(table.astype(STRING)), kinds)
    return next((c for c in columns if c.name == "x"), None), "; ".join(notes)


@pytest.mark.parametrize(
    ("cells", "unit", "numbers"),
    [
        (["12 kg", "3.5 kg", "-1 kg"], "kg", [12, 3.5, -1]),
        (["3.5cm", "12cm"], "cm", [3.5, 12]),
        (["1 year", "12 years"], "years", [1, 12]),
        (["USD 1,200", "USD 7", "-USD 5"], "USD", [1200, 7, -5]),
        (["1,5 z\u0142", "-2,25 z\u0142"], "z\u0142", [1.5, -2.25]),
        (["20 \u00b0C", "\u22123.5 \u00b0C"], "\u00b0C", [20, -3.5]),
        (["15 sq ft", "1 200 sq ft"], "sq ft", [15, 1200]),
        (["7.5 m2", "12 m2"], "m2", [7.5, 12]),
        (["1.5k", "2k"], "k", [1.5, 2]),
        (["R$ 5", "R$ 12.50"], "R$", [5, 12.5]),
        (["\u20bd 5", "1 200 \u20bd"], "", [5, 1200]),
        (["45%", "7.5 %"], "", [45, 7.5]),
    ],
)
def test_a_unit_is_removed_and_told(cells, unit, numbers):
    column, note = infer(*cells)
    assert (column.kind, column.unit) == ("number", unit)
    assert f"{cells[0]!r} counts as {numbers[0]:g}" in note
    series = pd.Series(cells, dtype=STRING)
    parsed = parse_numbers(series, column.decimal, column.thousands, column.unit)
    assert parsed.tolist() == numbers
    if (column.decimal, column.thousands) == (".", ""):  # a graph knows no other form
        assert parse_number_strings(tf.constant(cells), column.unit).numpy().tolist() == numbers
    # a number in JSON has no unit
    raw = pd.Series([12.5, *cells], dtype=object)
    read = parse_raw_numbers(raw, column.decimal, column.thousands, column.unit)
    assert read.tolist() == [12.5, *numbers]


@pytest.mark.parametrize("cells", [["12 kg", "3 lb"], ["$5", "\u20ac7"], ["1.5k", "2M", "900k"]])
def test_different_units_are_told_and_make_no_number(cells):
    column, note = infer(*cells)
    assert column.kind == "category"
    assert "its numbers have different units, " in note and "convert them to one unit" in note
    column, note = infer(*cells, x="number")
    assert column.kind == "number"
    assert "count alike" in note or "counts as missing" in note


@pytest.mark.parametrize(
    "cells", [["A12", "A13"], ["12A", "13B", "1C", "2D", "5E"], ["007 kg", "008 kg"]]
)
def test_parts_of_names_are_no_units(cells):
    column, note = infer(*cells)
    assert column.kind == "category" and not note


def test_numbers_without_the_unit_are_told():
    column, note = infer("5 kg", "7")
    assert column.unit == "kg" and not column.has_missing
    assert "30 numbers without a unit are read as they are" in note


def test_another_unit_in_the_test_split_is_missing_and_told():
    column = Column("x", "number", unit="kg")
    rows = FrameRows(pd.DataFrame({"x": ["5 kg", "5 lb"]}, dtype=STRING))
    (note, *_) = describe_unreadable_cells(rows, (column,), "test")
    assert "'5 lb' is no number and counts as missing (1 row of the test split)" in note


def test_a_unit_survives_a_record_and_columns_without_have_the_old_one():
    column = Column("x", "number", unit="kg")
    record = json.loads(json.dumps(column_to_record(column)))
    assert columns_from_record([record]) == (column,)
    assert "unit" not in column_to_record(dataclasses.replace(column, unit=""))
    assert repr(column) == repr(dataclasses.replace(column, unit=""))
    assert np.isnan(parse_number_strings(tf.constant(["kg", "5 lb"]), "kg")).all()
