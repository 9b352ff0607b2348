"""Splits whose numbers and dates are written in another form than those of the training."""

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.tables.cells import STRING
from zoo.data.tables.columns import Column
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.split_forms import adapt_columns
from zoo.errors import UserError


def adapt(column, *cells):
    rows = FrameRows(pd.DataFrame({"x": cells}, dtype=STRING))
    (adapted,), notes = adapt_columns(rows, (column,), "test")
    return (adapted.decimal, adapted.thousands), notes


def test_numbers_are_read_in_the_form_of_their_split():
    point, comma = Column("x", "number"), Column("x", "number", decimal=",", missing_marks=("?",))
    assert adapt(point, "1.5", "2", "x") == ((".", ""), ())
    note = "column 'x': in the test split, ',' is the decimal mark"
    assert adapt(point, "1,5", "2,25", "") == ((",", ""), (note,))
    note = "column 'x': in the test split, '.' is the decimal mark"
    assert adapt(comma, "1.5", "2.25", "?", "?") == ((".", ""), (note,))
    assert adapt(point, "a", "b") == ((".", ""), ())
    assert adapt(Column("x", "number", unit="kg"), "1,5 kg", "2,25 kg")[0] == (",", "")


def test_what_may_be_two_numbers_is_refused():
    message = "'1,234' of the test split may be 1234 or 1.234.* write both files in one form"
    with pytest.raises(UserError, match=message):
        adapt(Column("x", "number"), "1,234", "5,678")


def test_dates_of_another_form_are_refused():
    day = Column("x", "date", date_format="%Y-%m-%d")
    adapt(day, "2026-01-31", "soon")
    with pytest.raises(UserError, match=r"'31.01.2026', are written as %d.%m.%Y.*as %Y-%m-%d"):
        adapt(day, "31.01.2026", "01.02.2026")


def test_files_of_two_forms_give_the_same_features(tmp_path):
    for name, mark in (("train", "."), ("test", ",")):
        lines = [f"{i % 7}{mark}5;{'ab'[i % 2]}" for i in range(40)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x;y", *lines]))
    data = load_data(DataConfig(f"csv:{tmp_path}", label="y", holdout=0.1))
    assert any("in the test split, ',' is the decimal mark" in note for note in data.notes)
    column = data.spec.columns[0]
    expected = (np.arange(40) % 7 + 0.5 - column.center) / column.scale
    np.testing.assert_allclose(data.test.x[:, 0], expected, rtol=1e-5)
