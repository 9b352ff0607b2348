"""Rows of tables for prediction."""

import pandas as pd

from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.serving.rows.reading import read_rows
from zoo.serving.rows.row_log import RowLog
from zoo.serving.rows.table_rows import read_table_rows

COLUMNS = (
    Column("city", "category", values=("Oslo", "Rome")),
    Column("open", "category", values=("False", "True", "")),
    Column("n", "number"),
)


def test_cells_that_are_no_dates_are_told(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("d,n\n2026-01-31 05:00+02:00,1\nsoon,2\n,3\n?,4\n31.01.2026,5\n")
    day = Column("d", "date", date_format="%Y-%m-%d", missing_marks=("?",))
    spec, log = Spec("features", (6,), ("no", "yes"), columns=(day,)), RowLog(skip_bad_rows=True)
    rows = [*read_table_rows(file, spec, (), None, log)]
    assert [row.example["d"] for row in rows] == ["2026-01-31 05:00+02:00", "", "?"]
    assert [fault.partition(": ")[2] for fault in log.bad_rows] == [
        f"column 'd' holds {cell!r}; expected a date as %Y-%m-%d, or an empty cell if it is missing"
        for cell in ("soon", "31.01.2026")
    ]


def test_values_that_the_model_does_not_know_are_told(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("city,open,n\nOslo,true,1\nBonn,,2\nLima,FALSE,3\n")
    log = RowLog()
    rows = [
        *read_table_rows(
            file, Spec("features", (3,), ("no", "yes"), columns=COLUMNS), (), None, log
        )
    ]
    assert [row.example["city"] for row in rows] == ["Oslo", "Bonn", "Lima"]
    assert log.notes == [
        f"{file}: column 'city': 2 of 3 rows have values that the model does not know, such as "
        "'Bonn'"
    ]


def test_numbers_are_read_in_the_form_of_the_training_where_it_fits(tmp_path):
    price = Column("price", "number", decimal=",", thousands=".")
    spec = Spec("features", (1,), ("no", "yes"), columns=(price,))

    def read(name, write):
        write(tmp_path / name)
        rows = read_table_rows(tmp_path / name, spec, (), None, log)
        return [float(row.example["price"]) for row in rows]

    def write(*cells):
        return lambda path: path.write_text("price;a\n" + "".join(f"{x};1\n" for x in cells))

    log, frame = RowLog(skip_bad_rows=True), pd.DataFrame({"price": [1.234, 12.5]})
    assert read("g.csv", write("1.234", "abc", "900")) == [1234, 900]
    assert read("a.csv", write("1.234", "900", "1.200,5")) == [1234, 900, 1200.5]
    assert read("b.csv", write("1234.5", "12.5")) == [1234.5, 12.5]
    assert read("c.csv", write("1.234,5", "1234.5")) == [1234.5]
    lines = {"orient": "records", "lines": True}
    rows = '{"price": 1.234}\n{"price": "1.234"}\n{"price": null}\n{"price": "12,5"}\n'
    assert str(read("f.jsonl", lambda path: path.write_text(rows))) == "[1.234, 1234.0, nan, 12.5]"
    assert read("d.jsonl", lambda path: frame.to_json(path, **lines)) == [1.234, 12.5]
    assert read("e.parquet", frame.to_parquet) == [1.234, 12.5]
    assert [note for note in log.notes if "column" in note] == [
        f"{tmp_path}/b.csv: column 'price': '.' is the decimal mark"
    ]


def test_an_image_that_is_not_there_is_a_bad_row(tmp_path):
    (tmp_path / "gone.png").symlink_to("nowhere")
    log = RowLog(skip_bad_rows=True)
    rows = read_rows([f"{tmp_path}/gone.png"], Spec("image", (4, 4, 1), ("a", "b")), "cnn", log=log)
    assert not [*rows] and log.bad_rows == [f"{tmp_path}/gone.png: No such file or directory"]


def test_blank_lines_are_told(tmp_path):
    spec = Spec("features", (3,), ("no", "yes"), columns=COLUMNS)
    contents = {
        "csv": 'city,open,n\n"Os\nlo",,1\n\n\nRome,,2\nRome,,3\n',
        "jsonl": '{"city":"Oslo","open":null,"n":1}\n\n \n{"city":"Rome","open":null,"n":2}\n',
    }
    for kind, line in (("csv", 4), ("jsonl", 2)):
        file, log = tmp_path / f"t.{kind}", RowLog()
        file.write_text(contents[kind])
        rows = [*read_table_rows(file, spec, (), None, log)]
        assert len(rows) == 3 - (kind == "jsonl")
        assert f"{file}: 2 blank lines have no prediction (the first is line {line})" in log.notes
    file, log = tmp_path / "t.txt", RowLog()
    file.write_text("good\n\n bad\n\t\n")
    assert len([*read_rows([str(file)], Spec("text", (), ("n", "p")), "m", log=log)]) == 4
    assert log.notes == [
        f"{file}: 2 lines are blank and predicted as a text without words (the first is line 2)"
    ]


def test_a_key_that_is_there_twice_is_named(tmp_path):
    file, log = tmp_path / "t.jsonl", RowLog(skip_bad_rows=True)
    good = '{"city":"Oslo","open":null,"n":1}'
    file.write_text(f'{good}\n{{"city":"Oslo","open":null,"n":1,"n":2}}\n{good}\n')
    spec = Spec("features", (3,), ("no", "yes"), columns=COLUMNS)
    assert len([*read_table_rows(file, spec, (), None, log)]) == 2
    assert log.bad_rows == [f"{file}, line 2: the key 'n' is there twice"]
    assert not log.notes
