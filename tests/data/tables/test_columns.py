"""Columns of tables: their kinds, what is learned of them, and their encoding."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoo.data.config import DataConfig, format_column_kinds, parse_column_kinds
from zoo.data.loading import load_data
from zoo.data.spec import Spec, spec_from_record, spec_to_record
from zoo.data.tables.cells import STRING, find_number_form, parse_numbers, strip_cells
from zoo.data.tables.column_encoding import make_column_encoder, parse_number_strings
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.column_learning import measure_spread
from zoo.data.tables.column_notes import describe_unseen_values, format_columns, merge_notes
from zoo.data.tables.columns import MISSING, Column, columns_from_record
from zoo.data.tables.dates import parse_dates
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.table_encoding import encode_rows, make_random_records
from zoo.errors import UserError

ROWS = 200
CITIES = ["Oslo", "Rome", "Paris", "Bonn"]


def frame(**columns):
    return pd.DataFrame(columns).astype(str).astype(STRING)


def encode(table, columns):
    return encode_rows(FrameRows(table), columns, budget=1 << 30)


def repeat(*cells):
    return [cells[i % len(cells)] for i in range(ROWS)]


def infer(cells, name="x", kinds=None):
    """The column, or None if it was dropped, and the notes."""
    table = frame(**{name: cells, "other": ["p", "q"] * (len(cells) // 2)})
    columns, notes = infer_columns(FrameRows(table), kinds)
    return next((c for c in columns if c.name == name), None), notes


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (repeat("1", "2.5", "-3e2"), "number"),
        (repeat("1", "", "NaN", "2"), "number"),
        (repeat("1,234.50", "12", "1,000"), "number"),
        (repeat("1,5", "-2,25"), "number"),
        (repeat("1.234,5", "12"), "number"),
        (repeat("2019", "2020", "2021"), "number"),
        ([*repeat("1", "2")[:-4], "?", "?", "?", "?"], "number"),
        (repeat("true", "false"), "category"),
        (repeat(*CITIES), "category"),
        (repeat("01234", "00512", "99999"), "category"),
        (repeat("1-2", "3-4", "5"), "category"),
        (repeat("2020-01-31", "2021-12-01"), "date"),
        (repeat("31.01.2020 07:30", "1.2.2021 12:00:59"), "date"),
        (repeat("2020-01-31T07:30:00Z", "2021-02-01T00:00:00.123+02:00"), "date"),
        (repeat("31/01/2020", "01/02/2020"), "date"),
        (repeat("31.01.20", "01.02.99"), "date"),
        (repeat("12 Jan 2024", "3 FEB 2024"), "date"),
        (repeat("Jan 12, 2024", "September 3, 2024"), "date"),
        (repeat("12-Jan-24", "03-sep-25"), "date"),
        (repeat("3:05 PM", "03:05:10 am", "12 p.m."), "date"),
        (repeat("20240112", "20250431"), "number"),
        (repeat("a", "b", ""), "category"),
        (repeat("$1,200.50", "$7.00"), "number"),
        (repeat("12%", "7%"), "number"),
    ],
)
def test_kinds(cells, kind):
    column, _ = infer(cells)
    assert column.kind == kind


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("x", repeat("5"), "all cells are '5'"),
        ("x", repeat(""), "all cells are empty"),
        ("x", range(ROWS), "it numbers the rows"),
        ("x", np.delete(np.arange(ROWS * 1.2, dtype=int), range(0, 200, 5)), "it numbers the rows"),
        ("customer_id", np.random.default_rng(0).permutation(5000)[:ROWS], "it numbers the rows"),
        ("x", [f"u{i}" for i in range(ROWS)], "almost each row has a value of its own"),
        ("x", range(5000, 5000 + ROWS), "it numbers the rows"),
        ("unnamed_1", [*range(ROWS // 2)] * 2, "it numbers the rows"),
        ("Unnamed: 0", [*range(ROWS // 10)] * 10, "it numbers the rows"),
        ("rownames", [f"Mr. John Q. Public {i}" for i in range(ROWS)], "as an id does"),
        ("PassengerId", np.random.default_rng(0).permutation(5000)[:ROWS], "it numbers the rows"),
        (
            "x",
            repeat(*range(9), "n.a.1", "n.a.2"),
            "but not 'n.a.1' (to count others as missing, pass",
        ),
    ],
)
def test_columns_that_are_left_out(name, cells, reason):
    column, notes = infer(cells, name)
    assert column is None
    assert len(notes) == 1 and notes[0].startswith(f"column {name!r} is left out: ")
    assert reason in notes[0]


def test_numbers_that_happen_to_differ_stay():
    for cells in (np.random.default_rng(0).permutation(5000)[:ROWS], range(1800, 1800 + ROWS)):
        column, notes = infer(cells, "year")
        assert column.kind == "number" and not notes


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands", "numbers"),
    [
        (["1,234.5", "12", "1,000,000"], ".", ",", [1234.5, 12, 1e6]),
        (["1,5", "-,25", "3"], ",", "", [1.5, -0.25, 3]),
        (["1.234,5", "12", "1.000.000"], ",", ".", [1234.5, 12, 1e6]),
        (["1.5", "+2", "1e3", ".5"], ".", "", [1.5, 2, 1000, 0.5]),
        (["1.234", "2.345"], ".", "", [1.234, 2.345]),
        (["$1,200.50", "\u20ac 7", "12%"], ".", ",", [1200.5, 7, 12]),
        (["1\u00a0200,5", "3 400", "\u22125"], ",", "", [1200.5, 3400, -5]),
        (["1'200.5", "\u22127.25"], ".", "", [1200.5, -7.25]),
        (["1,234", "0,125"], ",", "", [1.234, 0.125]),
        (["1,10,000", "99,000"], ".", ",", [110_000, 99_000]),
        (["900", "-1.200", "15.000"], ",", ".", [900, -1200, 15_000]),
        (["900.5", "1.200"], ".", "", [900.5, 1.2]),
        (["1.234", "1.234.567"], ",", ".", [1234, 1_234_567]),
        (["1 234 567", "$ 1 200"], ".", "", [1_234_567, 1200]),
    ],
)
def test_forms_of_numbers(cells, decimal, thousands, numbers):
    series = pd.Series(cells, dtype=STRING)
    form = find_number_form(series)
    assert form[:2] == (decimal, thousands) and form[2].all()
    assert parse_numbers(series, decimal, thousands).tolist() == numbers


def test_a_column_with_decimal_commas_tells_of_the_others(tmp_path):
    lines = [f"{i},5;{i + 1}.{i + 125};{i % 9},{i + 125};{'ab'[i % 2]}" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("x;people;share;y\n" + "\n".join(lines))
    columns = load_data(DataConfig(f"csv:{path}", label="y")).spec.columns
    assert [column.kind for column in columns] == ["number"] * 3
    assert [column.thousands for column in columns] == ["", ".", ""]
    assert columns[1].center > 1125 and columns[2].center < 9


def test_cells_of_another_form_are_no_numbers():
    cells = pd.Series(["1.234,5", "1.5", "12", "5 7", "5\n7", "\u20ac"], dtype=STRING)
    assert str(parse_numbers(cells, ",", ".").tolist()) == "[1234.5, nan, 12.0, nan, nan, nan]"
    assert str(parse_numbers(cells).tolist()) == "[nan, 1.5, 12.0, nan, nan, nan]"


def test_compact_dates_are_no_ids_and_ids_are_no_dates():
    days = pd.date_range("2024-01-12", periods=ROWS).strftime("%Y%m%d")
    for cells, name, kind in [
        (days, "x", "date"),
        ([*days[:-1], ""], "x", "date"),
        (repeat("20240112", "20240301"), "order_date", "date"),
        (repeat("20240112", "20240301"), "x", "number"),
        (repeat("20240112", "20240431"), "order_date", "number"),
        (range(20240101, 20240101 + ROWS), "x", None),
        (np.random.default_rng(0).integers(10**7, 10**8, ROWS), "date", "number"),
    ]:
        column, _ = infer(cells, name)
        assert (column and column.kind) == kind, (cells[:3], name)
        # as the readers of files pass whole numbers
        numbers = pd.Series(pd.to_numeric(list(cells))).astype("Int64").astype("int64[pyarrow]")
        table = pd.DataFrame({name: numbers, "y": pd.Series(["p", "q"] * 100, dtype=STRING)})
        columns, _ = infer_columns(FrameRows(table))
        parsed = next((c for c in columns if c.name == name), None)
        assert parsed == column
        if kind == "date":
            strings = frame(**{name: cells})
            np.testing.assert_array_equal(encode(table, (parsed,)), encode(strings, (parsed,)))


def test_dates_that_can_be_misread_are_told():
    read = "column 'x': dates are read as "
    _, notes = infer(repeat("3/4/2024", "5/6/2024"))
    assert notes == (
        f"{read}%d/%m/%Y; %m/%d/%Y would fit as well: write them as 2026-01-31 if that is it",
    )
    _, notes = infer(repeat("3/14/22", "5/6/22"))
    assert notes == (f"{read}%m/%d/%y; years from 69 to 99 are those of 1969 to 1999",)
    column, notes = infer(repeat("3/14/2022", "14/3/2022", "4/15/2022", "15/4/2022"))
    look = "its cells, such as '3/14/2022', look like dates, but are not of one form that is read"
    assert column.kind == "category" and look in notes[0]
    weeks = [f"{2020 + i // 52}-W{i % 52}" for i in range(ROWS)]
    column, notes = infer(weeks)
    assert column is None and "'2020-W0', look like dates" in notes[0]
    months = [f"{1 + i % 12}/{2000 + i // 12}" for i in range(ROWS)]
    assert "'1/2000', look like dates" in infer(months)[1][0]
    seconds = pd.to_timedelta(np.arange(ROWS) * 4321, unit="s")
    durations = (
        seconds.map(str),
        [f"{30 + i}:15" for i in range(ROWS)],
        [f"PT{i}H" for i in range(ROWS)],
    )
    for cells in durations:
        column, notes = infer(cells)
        assert column is None and f"{cells[0]!r}, look like durations" in notes[0]
    column, notes = infer([f"10.0.{i}.{i}" for i in range(ROWS)])
    assert column is None and "as an id does" in notes[0]


def test_what_was_learned_is_told():
    _, notes = infer([*repeat("1", "2")[:-2], "?", "?"])
    assert notes == ("column 'x': '?' is no number and counts as missing (2 rows)",)
    _, notes = infer(repeat("12%", "7%"))
    assert notes == ("column 'x': '12%' counts as 12",)
    _, notes = infer(repeat("TRUE", "true"))
    case = "'TRUE' and 'true' differ only in case and are different values"
    assert notes == (f"column 'x': {case}",)
    _, notes = infer(repeat("Bonn", "B\u043enn"))
    alike = "'Bonn' and 'B\\u043enn' look the same and are different values"
    assert notes == (f"column 'x': {alike}",)
    _, notes = infer([*repeat("20.5", "21.5", "19")[:-3], *["-999"] * 3])
    assert notes[0].startswith("column 'x': -999 is there 3 times, far from the other numbers")
    assert infer([*repeat("900", "950")[:-3], *["999"] * 3])[1] == ()
    _, notes = infer(repeat("yes", "no", "true", "false"))
    assert "'true' and 'yes' may mean the same and are different values" in notes[0]
    _, notes = infer(repeat(str(2**60), str(2**60 + 3)))
    assert notes[0].endswith("or read them as names with --columns=x:category")
    _, notes = infer(repeat("1,5", "2,5"))
    assert notes == ("column 'x': ',' is the decimal mark",)
    _, notes = infer(repeat("31/01/2020", "01/02/2020"))
    assert notes == ("column 'x': dates are read as %d/%m/%Y",)
    _, notes = infer([*repeat("a", "b")[:-2], "c", "d"])
    assert notes == ("column 'x': 2 rare values share one code (2 rows)",)


def test_kinds_that_the_user_sets():
    column, _ = infer(repeat("0150", "0151"), kinds={"x": "number"})
    assert column.kind == "number"
    column, _ = infer(repeat("1", "2"), kinds={"x": "category"})
    assert column.values == ("1", "2")
    column, notes = infer(repeat("1", "2"), kinds={"x": "drop"})
    assert column is None and notes == ("column 'x' is left out: as --columns asks",)
    for kinds, message in [
        ({"y": "number"}, "columns=y:number: there is no such column. The columns are x, other"),
        ({"x": "float"}, "columns=x:float: expected number, category, date, text or drop after"),
        ({"x": "date"}, "columns=x:date: the cells are not dates of one form, such as 'a'"),
        ({"x": "number"}, "columns=x:number: the column has no numbers"),
        ({"x": "drop", "other": "drop"}, "no column is left to learn from"),
    ]:
        with pytest.raises(UserError) as error:
            infer(repeat("a", "b"), kinds=kinds)
        assert message in str(error.value)


def test_the_spread_is_robust():
    normal = np.random.default_rng(0).normal(5, 3, 100_000)
    assert measure_spread(normal) == pytest.approx((5, 3), abs=0.05)
    with_outliers = np.concatenate([normal, np.full(5_000, 1e12), [np.nan] * 9])
    assert measure_spread(with_outliers) == pytest.approx((5.2, 3.3), abs=0.15)
    mostly_zero = np.array([0.0] * 90 + [8.0] * 10)
    assert measure_spread(mostly_zero) == (0, pytest.approx(mostly_zero.std()))
    assert measure_spread(np.full(9, 1e9)) == (1e9, 1)
    assert measure_spread(np.array([0.3, 0.1 + 0.2] * 9)) == (pytest.approx(0.3), 1)
    nanoseconds = 1.7e18 + np.linspace(-1e6, 1e6, 101)
    assert measure_spread(nanoseconds) == (1.7e18, pytest.approx(1e6 / 1.349, rel=1e-3))
    assert measure_spread(np.array([np.nan])) == (0, 1)


def test_numbers_are_encoded_as_numpy_does_it():
    values = np.array([1e9 + 0.5, 1e9 - 1, 1e9 + 100, np.nan])
    column = Column("x", "number", 1e9, 2.0, has_missing=True)
    features = encode(frame(x=values), (column,))
    expected = [0.25, -0.5, 4 + np.log(50 - 4 + 1), 0]
    np.testing.assert_allclose(features, np.c_[expected, [0, 0, 0, 1]], rtol=1e-6)


def test_categories_and_their_missing_rare_and_unseen_values():
    cells = [*["a"] * 60, *["b"] * 50, *[""] * 40, *[f"rare {i}" for i in range(20)]]
    column, _ = infer(cells)
    assert column.values == ("a", "b", "") and column.has_rare and column.cardinality == 5
    features = encode(frame(x=[" a ", "b", "NA", "rare 3", "unseen"]), (column,))
    assert features[:, 0].tolist() == [1, 2, 3, 4, 4]
    column, _ = infer(repeat("a", "b"))
    assert column.cardinality == 3
    assert encode(frame(x=["a", "", "unseen"]), (column,))[:, 0].tolist() == [1, 0, 0]


def test_booleans_are_read_in_any_case():
    column, _ = infer(repeat("True", "False", ""))
    assert column.is_boolean and column.values == ("False", "True", "")
    features = encode(frame(x=["true", "FALSE", "True", "", "yes"]), (column,))
    assert features[:, 0].tolist() == [2, 1, 2, 3, 0]
    raw = make_column_encoder((column,))[0]({"x": tf.constant(["true", "FALSE"])})
    assert raw[:, 0].numpy().tolist() == [2, 1]
    assert not infer(repeat("TRUE", "true"))[0].is_boolean
    assert not infer(repeat("a", "b"))[0].is_boolean


def test_many_values_share_a_code_when_they_are_rare():
    cells = [f"v{i % 3000}" for i in range(9000)]
    columns, notes = infer_columns(FrameRows(frame(x=cells, other=["p", "q"] * 4500)))
    assert len(columns[0].values) == 1000 and columns[0].has_rare
    assert "2,000 rare values share one code (6,000 rows)" in notes[0]


def test_times_with_an_offset_are_converted_to_utc():
    texts = [
        "2026-01-01T00:30:00+02:00",
        "2024-02-29 23:30-02",
        "2025-12-31T23:59:00-00:30",
        "2026-03-01 05:00:00.000Z",
        "2026-01-01 05:29:59+0530",
    ]
    days, month = parse_dates(tf.constant(texts), "%Y-%m-%d")
    expected = [pd.to_datetime(text, utc=True) for text in texts]
    seconds = [time.timestamp() for time in expected]
    np.testing.assert_allclose(days, np.array(seconds) / 86_400, atol=1e-8)
    assert month.numpy().tolist() == [time.month - 1 for time in expected]
    _, notes = infer(repeat("2026-01-01 05:00+02:00", "2026-01-02 05:00Z"))
    assert notes == ("column 'x': times with an offset are converted to UTC",)
    _, notes = infer(repeat("2026-01-01 05:00+02:00", "2026-01-02 05:00"))
    assert notes == (
        "column 'x': times with an offset are converted to UTC, and those without one count as UTC",
    )


def test_a_few_cells_of_dates_may_be_something_else():
    for others in (["soon", "later", "1"], ["0000-00-00"] * 90, ["-", "?"] * 20):
        cells = [*repeat("2026-01-01", "2026-02-03")[: ROWS - len(others)], *others]
        column, notes = infer(cells)
        assert column.kind == "date" and column.has_missing
        assert column.missing_marks == tuple(sorted(set(others)))
        assert f" is no date and counts as missing ({len(others)} rows)" in notes[0]
    assert infer(repeat("2026-01-01", "2026-02-03", "soon", "later"))[0].kind == "category"


def test_several_marks_of_missing_numbers():
    column, notes = infer(repeat("1", "2.5", "?", "-", "unknown"))
    assert column.kind == "number" and column.missing_marks == ("-", "?", "unknown")
    assert "'-', '?', 'unknown' is no number and counts as missing (120 rows)" in notes[0]


def test_parts_of_dates():
    column = Column("x", "date", 19_000.0, 10.0, date_format="%Y-%m-%d", has_time=True)
    cells = ["2026-11-29 18:00", ""]  # a Sunday
    features = encode(frame(x=cells), (column,))
    days = (pd.Timestamp(cells[0]) - pd.Timestamp(0)).total_seconds() / 86_400
    cycles = 2 * np.pi * np.array([10 / 12, 6 / 7, 18 / 24])
    waves = np.stack([np.sin(cycles), np.cos(cycles)], axis=1).ravel()
    elapsed = 4 + np.log((days - 19_000) / 10 - 4 + 1)
    np.testing.assert_allclose(features[0], [elapsed, *waves], atol=1e-5)
    assert features[1].tolist() == [0] * 7
    assert column.cardinalities == (0,) * 7


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
@example([f"{blank}a{blank}" for blank in " \t\n\v\x1c\x85\u00a0\u2009\u3000"])
def test_a_graph_strips_what_training_strips(cells):
    values = tuple(dict.fromkeys(strip_cells(pd.Series(cells, dtype=STRING)).fillna("")))
    column = Column("x", "category", values=values)
    encode_cells, _ = make_column_encoder((column,))
    table = pd.DataFrame({"x": cells}, dtype=STRING)
    raw = encode_cells({"x": tf.constant([cell.encode() for cell in cells])})
    np.testing.assert_array_equal(raw, encode(table, (column,)))
    assert (raw.numpy() > 0).all()


def test_numbers_that_are_too_long_count_as_missing():
    cells = [*map(str, range(100, 100 + ROWS - 2)), "9" * 5_000, "9" * 400]
    column, notes = infer(cells)
    assert column is None or column.has_missing, notes


NUMBER_LETTERS = "0123456789.,'+-eE%$\u20ac \u00a0\u2009\u2019\u2212"


@settings(max_examples=200, deadline=None)
@example(["0'"])
@example(["12%", "$ 1 200", "\u2212 5", "1'234'567.5", "+ 3", "++0", "+5", "+\u00a00", "1E310"])
@given(
    st.lists(
        st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.text(NUMBER_LETTERS)),
        min_size=1,
    )
)
def test_a_graph_parses_numbers_as_training_does(values):
    texts = [str(value).encode("utf-8", "ignore").decode() for value in values]
    cells = pd.Series(texts, dtype=STRING)
    stripped = [text.strip(" \t\n\r") for text in texts]
    graph = parse_number_strings(tf.constant(stripped)).numpy()
    np.testing.assert_array_equal(graph, parse_numbers(pd.Series(stripped, dtype=STRING)))
    assert len(strip_cells(cells)) == len(texts)


def test_missing_marks_are_the_same_everywhere():
    cells = [*MISSING, "", "  ", " NA "]
    assert strip_cells(pd.Series(cells, dtype=STRING)).isna().all()
    column = Column("x", "category", values=("",))
    encode, _ = make_column_encoder((column,))
    assert (encode({"x": tf.constant(cells)}).numpy() == 1).all()


def test_columns_survive_a_record():
    table = frame(
        n=repeat("1", "", "2,5"),
        c=repeat(*CITIES),
        d=repeat("1.2.2020", "3.4.2021 12:00"),
        q=[*repeat("1", "2")[:-1], "?"],
    )
    columns, _ = infer_columns(FrameRows(table))
    spec = Spec("features", (14,), ("no", "yes"), tuple("ncdq"), columns=columns)
    record = json.loads(json.dumps({"spec": spec_to_record(spec)}))
    assert spec_from_record(record, "file").columns == columns
    assert [*map(len, (c.cardinalities for c in columns))] == [2, 1, 7, 2]
    for wrong in ("x", ["x"], [{"name": "x"}]):
        with pytest.raises(UserError, match="columns"):
            columns_from_record(wrong)
    records = make_random_records(columns, 50, np.random.default_rng(0))
    cells = {name: tf.constant(records[name]) for name in records.dtype.names}
    assert np.isfinite(make_column_encoder(columns)[0](cells)).all()


def test_long_values_are_shortened():
    (column, _), _ = infer_columns(
        FrameRows(frame(x=repeat("a\nb", "c" * 999), y=repeat("1", "2")))
    )
    assert format_columns((column,)) == f"  x  category  2 values: a b, {'c' * 30}..."


def test_lists_are_told():
    table = pd.DataFrame({"x": repeat([1, 2], [3]), "y": repeat(*"12")}).astype({"y": STRING})
    assert infer_columns(FrameRows(table))[1] == (
        "column 'x': each different list is a value of its own",
    )


def test_the_columns_are_shown():
    table = frame(
        age=repeat("1", "", "3", "2"),
        city=repeat(*CITIES, "Lima"),
        day=repeat("2020-01-01", "2020-01-03"),
    )
    columns, _ = infer_columns(FrameRows(table))
    assert format_columns(columns).splitlines() == [
        "  age   number    median 2, spread 1.483, some missing",
        "  city  category  5 values: Bonn, Lima, Oslo, Paris, ...",
        "  day   date      median 2020-01-02, written as %Y-%m-%d",
    ]


def test_many_columns_are_shown_in_short():
    cells = {f"x{i}": repeat("1", "2") if i < 60 else repeat("3") for i in range(75)}
    columns, notes = infer_columns(FrameRows(frame(**cells)))
    shown = format_columns(columns).splitlines()
    assert len(shown) == 51 and shown[-1] == "  and 10 more columns: 10 number"
    more = "columns 'x60', 'x61', 'x62', 'x63', 'x64' and 10 more are left out: all cells are '3'"
    assert merge_notes([*notes, "another"]) == (more, "another")
    few = notes[:5]
    assert merge_notes(few) == few


def test_the_flag_of_columns_can_be_typed_and_read_again():
    flag = format_column_kinds(["size, in cm", "b"], "drop")
    assert shlex.split(flag) == ['--columns="size, in cm":drop,b:drop']
    pairs = parse_column_kinds(shlex.split(flag)[0].removeprefix("--columns="))
    assert pairs == (("size, in cm", "drop"), ("b", "drop"))


def test_many_categories_of_another_split_that_the_model_does_not_know_are_told():
    town = Column("town", "category", values=("Ulm", "Bonn"))
    truth = Column("truth", "category", values=("True", "False"))
    cells = ["Ulm"] * 36 + ["Wien", "Rom", "", "Bonn "]
    rows = FrameRows(frame(town=cells, truth=["TRUE", "false"] * 20))
    assert describe_unseen_values(rows, (town, truth), "test") == (
        "column 'town': 3 of 40 rows of the test split have values that the model does not know, "
        "such as 'Wien'",
    )
    few = FrameRows(frame(town=["Ulm"] * 38 + ["Wien", ""], truth=["TRUE"] * 40))
    from_server = Column("town", "category")
    assert describe_unseen_values(few, (town, truth), "test") == ()
    assert describe_unseen_values(rows, (from_server,), "test") == ()
