"""Rows of tables for prediction."""

from zoo.data.columns import Column
from zoo.data.spec import Spec
from zoo.serving.row_log import RowLog
from zoo.serving.table_rows import read_table_rows

COLUMNS = (
    Column("city", "category", values=("Oslo", "Rome")),
    Column("open", "category", values=("False", "True", "")),
    Column("n", "number"),
)


def test_values_that_the_model_does_not_know_are_told(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("city,open,n\nOslo,true,1\nBonn,,2\nLima,FALSE,3\n")
    log = RowLog()
    rows = [
        *read_table_rows(
            file, Spec("features", (3,), ("no", "yes"), columns=COLUMNS), (), None, log
        )
    ]
    assert [inputs["city"] for _, _, inputs, _ in rows] == ["Oslo", "Bonn", "Lima"]
    assert log.notes == [
        f"{file}: column 'city': 2 of 3 rows have values that the model does not know, such as "
        "'Bonn'"
    ]
