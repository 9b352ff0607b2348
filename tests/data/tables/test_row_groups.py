"""Groups of rows by the values of a column."""

import pandas as pd
import pytest

from zoo.data.tables.cells import STRING
from zoo.data.tables.row_groups import name_groups
from zoo.errors import UserError


def name(values):
    return name_groups(pd.Series(values, dtype=STRING, name="age")).tolist()


def test_values_are_groups_and_numbers_are_divided_at_their_quartiles():
    assert name(["f", None, "m"]) == ["f", "(missing)", "m"]
    assert name(["1", "2", "1"]) == ["1", "2", "1"]
    groups = name([*map(str, range(1, 41)), None])
    assert groups[:11] == ["1 to 10"] * 10 + ["11 to 20"] and groups[39:] == [
        "31 to 40",
        "(missing)",
    ]
    # more than half are equal, so that quartiles are
    groups = name(["0"] * 30 + [*map(str, range(1, 21))])
    assert sorted(set(groups)) == ["0 to 7", "8 to 20"]
    assert set(name([f"{i},5" for i in range(12)])) == {
        "0.5 to 2.5",
        "3.5 to 5.5",
        "6.5 to 8.5",
        "9.5 to 11.5",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([f"id{i}" for i in range(51)], "slices=age: this column has 51 different values"),
        ([None, None], "slices=age: all cells of this column are empty"),
    ],
)
def test_what_makes_no_groups_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        name(values)
