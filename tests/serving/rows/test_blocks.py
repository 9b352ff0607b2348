"""Rows as places in blocks of columns."""

import math

import numpy as np

from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.serving.rows import table_rows
from zoo.serving.rows.blocks import group_rows, join_inputs, make_row
from zoo.serving.rows.row_log import RowLog

COLUMNS = (Column("n", "number"), Column("city", "category", values=("Oslo", "Rome")))


def test_rows_of_several_blocks_are_as_the_file_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "_BLOCK_CELLS", 6)  # two rows
    file, log = tmp_path / "t.csv", RowLog(skip_bad_rows=True)
    file.write_text("n,city,id\n1, Oslo ,01\n,,02\n\n\nx,Rome,03\n4.50,Rome,04\n1e3,Rome,05\n")
    spec = Spec("features", (3,), ("no", "yes"), columns=COLUMNS)
    rows = [*table_rows.read_table_rows(file, spec, (), None, log)]
    assert [[*numbers] for _, numbers in group_rows(rows)] == [[0, 1], [1], [0]]
    assert [row.shown for row in rows] == [
        {"n": 1.0, "city": "Oslo"},
        {"n": None, "city": None},
        {"n": 4.5, "city": "Rome"},
        {"n": 1000.0, "city": "Rome"},
    ]
    assert rows[0].columns == {"n": "1", "city": " Oslo ", "id": "01"}
    assert math.isnan(rows[1].example["n"]) and rows[1].example["city"] == ""
    assert [row.place.rpartition(" ")[2] for row in rows] == ["2", "3", "7", "8"]
    found = join_inputs([rows[3], rows[0], rows[2]])
    assert found["n"].dtype == np.float64 and found["n"].tolist() == [1000.0, 1.0, 4.5]
    assert found["city"].tolist() == ["Rome", "Oslo", "Rome"]
    assert log.bad_rows[0].startswith(f"{file}, line 6: column 'n' holds 'x'")
    assert f"{file}: 2 blank lines have no prediction (the first is line 4)" in log.notes


def test_a_row_alone_keeps_its_bytes():
    row = make_row("a.png", "a.png", {"image_bytes": b"\x89\0\0"}, {"tags": ["a", "b"]})
    assert join_inputs([row])["image_bytes"].tolist() == [b"\x89\0\0"]
    assert (row.shown, row.example, row.columns) == (
        "a.png",
        {"image_bytes": b"\x89\0\0"},
        {"tags": ["a", "b"]},
    )
