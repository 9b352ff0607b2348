"""What the labels of a table are: classes or numbers, and which."""
# ruff: noqa: E501, a table

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.sources.table_files import Table
from zoo.data.split_checks import describe_data
from zoo.data.tables.cells import STRING
from zoo.data.tables.label_cells import clean_labels
from zoo.data.tables.labels import (
    describe_class_variants,
    describe_numbers,
    encode_target,
    explain_other_label,
    read_target,
)
from zoo.data.tables.target_numbers import describe_rounding
from zoo.errors import UserError


def read(cells, task=None):
    series = pd.Series(list(map(str, cells)), name="y", dtype=STRING)
    labels, notes = clean_labels(series)
    table = Table("t.csv", "parquet", pd.DataFrame({"y": series}))
    target = read_target(labels.dropna(), table, task)
    return target, encode_target(labels.dropna(), target), notes


@pytest.mark.parametrize(
    ("cells", "class_names"),
    [
        (["no", "yes"] * 9, ("no", "yes")),
        (["0", "1"] * 9, ("0", "1")),
        (["0.0", "1.0"] * 9, ("0", "1")),
        (["+1", "-1"] * 9, ("-1", "1")),
        (["-0.0", "0.0", "1.0"] * 9, ("0", "1")),
        (["01", "02"] * 9, ("01", "02")),
        (["10", "9", "2"] * 9, ("2", "9", "10")),
        (["True", "False"] * 9, ("False", "True")),
        ([str(2**60), str(2**60 + 1)] * 9, (str(2**60), str(2**60 + 1))),
        ([i % 100 for i in range(1000)], tuple(map(str, range(100)))),
        (["1.0", "2.0", "3.0", "4.0", "5.0"] * 9, ("1", "2", "3", "4", "5")),
        (["1", "2", "x"] * 9, ("1", "2", "x")),
        (["\u4e00", "\U0001f600"] * 9, ("\u4e00", "\U0001f600")),
    ],
)
def test_classes(cells, class_names):
    target, y, notes = read(cells)
    assert target.class_names == class_names and not notes
    assert sorted(set(y.tolist())) == list(range(len(class_names)))


@pytest.mark.parametrize(
    "cells",
    [
        [0.5, 1.5] * 9,
        range(18, 90),
        [float(i) for i in range(30)],
        ["1,5", "2,25"] * 9,
        ["1,234.5", "12.0"] * 9,
    ],
)
def test_regressions(cells):
    target, y, _ = read(cells)
    assert target.class_names is None
    assert y.shape == (len(cells), 1) and y.dtype == np.float32 and np.isfinite(y).all()


def test_the_task_that_the_user_sets():
    assert read(range(18, 90), "classification")[0].class_names == tuple(map(str, range(18, 90)))
    target, y, _ = read(["0", "1"] * 5, "regression")
    assert target.class_names is None and y.ravel().tolist() == [0, 1] * 5
    with pytest.raises(
        UserError, match=r"row 2: column 'y' holds 'x' .*a regression needs numbers"
    ):
        read(["1", "x", "2"], "regression")


@pytest.mark.parametrize(
    ("cells", "expected", "told"),
    [
        ([f"{i} kg" for i in range(30)], range(30), ["'0 kg' counts as 0"]),
        ([f"{i},5\u00a0cm" for i in range(30)], np.arange(30) + 0.5, ["'0,5 cm' counts as 0.5", "',' is the decimal mark"]),
        ([f"USD {i},500" for i in range(1, 30)], 1000 * np.arange(1, 30) + 500, ["'USD 1,500' counts as 1500", "'.' is the decimal mark, ',' separates thousands"]),
        ([f"{i}.5 %" for i in range(30)], np.arange(30) + 0.5, ["'0.5 %' counts as 0.5"]),
        ([f"{i}.5{'$€'[i % 2]}" for i in range(30)], np.arange(30) + 0.5, ["'0.5$' counts as 0.5", "the units '$' and '€' count alike"]),
    ],
)  # fmt: skip
def test_a_regression_of_numbers_with_units(cells, expected, told):
    labels = clean_labels(pd.Series(cells, name="y", dtype=STRING))[0]
    target = read_target(labels, Table("t.csv", "csv", pd.DataFrame()))
    assert encode_target(labels, target).ravel().tolist() == list(expected)
    assert describe_numbers(labels, target) == tuple(f"column 'y': {note}" for note in told)


def test_labels_with_a_unit_may_be_classes():
    assert read(["1 star", "2 stars"] * 9)[0].class_names == ("1 star", "2 stars")
    assert len(read([f"{i} kg" for i in range(9)] * 2, "classification")[0].class_names) == 9
    with pytest.raises(UserError, match=r"holds '0 kg' .*a regression needs numbers, of one unit"):
        read([f"{i} {('kg', 'lb')[i % 2]}" for i in range(30)], "regression")


def test_blanks_missing_labels_and_case_are_told():
    target, y, notes = read(["pos ", "pos", "neg", " NaN", "", "Neg"])
    assert target.class_names == ("Neg", "neg", "pos")
    assert y.tolist() == [2, 2, 1, 0]
    assert notes == (
        "column 'y': blanks around 1 label were removed",
        "column 'y': left out: 2 rows without a label ('NaN')",
    )


def test_labels_that_look_the_same_are_one_class():
    target, y, notes = read(["caf\u00e9", "cafe\u0301", "\ufeffNew York", "New\u00a0York"])
    assert target.class_names == ("New York", "caf\u00e9") and y.tolist() == [1, 1, 0, 0]
    assert len(notes) == 1 and "3 labels had invisible characters" in notes[0]
    family = "\U0001f468\u200d\U0001f469"
    assert read([family, "\U0001f468"])[0].class_names == ("\U0001f468", family)


@pytest.mark.parametrize(
    ("label", "classes", "expected"),
    [
        ("Cat", ("cat", "dog"), "t.csv has 'cat': make them the same, or pass --merge_label_case"),
        ("New_York", ("New York", "Rome"), "t.csv has 'New York': make them the same if"),
        ("cafe", ("caf\u00e9", "bar"), "t.csv has 'caf\u00e9': make"),
        ("p\u043es", ("pos", "neg"), "t.csv has 'pos': make"),
        ("pos", ("p\u043es", "neg"), "t.csv has 'p\\u043es': make"),
        ("01", ("1", "2"), "t.csv has '1': make"),
        ("True", ("1", "0"), "t.csv has '1': make"),
        ("True", ("1", "2"), "expected a class of t.csv: correct or remove these lines"),
        ("dgo", ("dog", "cat"), "these lines. Did you mean 'dog'?"),
        ("!", ("?", "cat"), "expected a class of t.csv: correct or remove these lines"),
    ],
)
def test_labels_of_other_splits_that_may_be_classes(label, classes, expected):
    assert expected in explain_other_label(label, classes, "t.csv")


def test_words_for_the_same_truth_are_told():
    (note,) = describe_class_variants(["0", "1", "True", "False"], "column 'y'")
    assert note.startswith("column 'y': '0' and 'False', '1' and 'True' may mean the same and are")
    for names in (["yes", "no"], ["yes", "1", "2"]):
        assert describe_class_variants(names, "y") == ()


def test_columns_that_repeat_the_label_are_told(tmp_path):
    kinds = ["a", "b", "c"] * 20
    b = [{"a": "x", "b": "y", "c": "z"}[kind] for kind in kinds]
    write(tmp_path / "t.csv", kinds, b=b)
    assert any(note.endswith("pass --columns=b:drop") for note in load(tmp_path / "t.csv").notes)
    write(tmp_path / "t.csv", kinds, b=["x", *b[1:-1], "x"])  # but for one row
    assert not any("each label" in note for note in load(tmp_path / "t.csv").notes)
    write(tmp_path / "t.csv", [f"k{i % 30}" for i in range(40)], b=np.arange(40) * 0.37)
    assert not any("each label" in note for note in load(tmp_path / "t.csv").notes)
    numbers = np.random.default_rng(0).normal(size=60)
    for b, told in ((numbers, True), (numbers * 2, False)):
        write(tmp_path / "t.csv", numbers, b=b)
        assert any("each label" in note for note in load(tmp_path / "t.csv").notes) == told


def test_a_line_of_totals_is_told(tmp_path):
    file = tmp_path / "t.csv"
    rows = "".join(f"{'pen' if i % 2 else 'ink'},{i * 0.5},{i * 1.5}\n" for i in range(40))
    for last, told in (("Total:,400,1200\n", True), ("pen,400,1200\n", False)):
        file.write_text(f"item,n,y\n{rows}{last}")
        notes = load(file).notes
        line = f"{file}, line 42: 'Total' in column 'item' looks like a line of totals"
        assert any(note.startswith(line) for note in notes) == told


@pytest.mark.parametrize(
    ("cell", "count", "told"),
    [("# by hand", 1, True), ("// old", 2, True), ("#tag", 1, False), ("# a", 20, False)],
)
def test_rows_that_begin_as_comments_are_told(cell, count, told, tmp_path):
    file = tmp_path / "t.csv"
    rows = "".join(f"{'pen' if i % 2 else 'ink'},{i * 0.5},{i * 1.5}\n" for i in range(40))
    file.write_text(f"item,n,y\n{rows}" + f"{cell},1,2\n" * count)
    line = f"{file}, line 42: {cell!r} in the first column looks like a comment ({count} such row"
    assert any(note.startswith(line) for note in load(file).notes) == told


def test_labels_of_other_letters_that_look_the_same_are_told(tmp_path):
    labels = ["pos", "p\u043es", "neg", "\uff4eeg"] * 9
    path = tmp_path / "t.csv"
    pd.DataFrame({"a": range(36), "y": labels}).to_csv(path, index=False)
    notes = load_data(DataConfig(f"csv:{path}", label="y", columns=(("a", "number"),))).notes
    assert "'neg' and '\\uff4eeg', 'pos' and 'p\\u043es' look the same and are" in "".join(notes)


def test_a_repeated_line_of_column_names_has_no_label(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        ",a,y\n" + '0,1,y\n1,2,n\n2,3,y\n3,4,maybe\n\ufeff,"A",Y \n0,5,n\n1,6,maybe\n' * 2
    )
    data = load_data(DataConfig(f"csv:{path}", label="y"))
    assert data.spec.class_names == ("maybe", "n", "y")
    assert sum(map(len, (data.train, data.validation, data.test))) == 12
    assert f"{path}: left out: 2 lines repeat the names of columns" in data.notes
    assert data.spec.columns[0].kind == "number" and not data.spec.columns[0].has_missing


def test_column_names_in_another_order_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "1,2,no\n" * 9 + "b,a,y\n" + "2,1,yes\n" * 9)
    message = "t.csv, line 11: this line repeats the names of the columns in another order"
    with pytest.raises(UserError, match=message):
        load_data(DataConfig(f"csv:{path}", label="y"))


def test_marks_of_missing_labels():
    target, y, notes = read(["0", "1", "?", "1"])
    assert target.class_names == ("0", "1") and y.tolist() == [0, 1, 1]
    assert notes == ("column 'y': left out: 1 row without a label ('?')",)
    target, y, _ = read(["1.5", "-", "2.5"])
    assert target.class_names is None and y.ravel().tolist() == [1.5, 2.5]
    target, _, notes = read(["no", "yes", "?", "?"])
    assert target.class_names == ("?", "no", "yes")
    assert "'?' (2 rows) counts as a class: remove these rows" in notes[0]
    assert not read(["+", "-"])[2] and not read(["1", "x", "2"])[2]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([f"text {i}" for i in range(40)], "40 different values in 40 rows: these are no classes"),
        (
            ["n/k", *(i / 4 for i in range(30)), "n/k"],
            "row 1: column 'y' holds 'n/k' (2 such rows); most of the others are different numb",
        ),
        (["a"] * 5, "holds only 'a'; expected at least 2 classes"),
        (["a", "b\nc"], "row 2: column 'y' holds 'b\\nc' (1 such rows); expected a class name"),
    ],
)
def test_labels_that_make_no_task(cells, message):
    with pytest.raises(UserError) as error:
        read(cells)
    assert message in str(error.value)


def load(folder, **settings):
    return load_data(DataConfig(f"csv:{folder}", label="y", **settings))


def write(path, labels, **columns):
    pd.DataFrame({"a": np.arange(len(labels)) ** 2 % 7, "y": labels} | columns).to_csv(
        path, index=False
    )


def test_each_class_is_in_each_split(tmp_path):
    write(tmp_path / "t.csv", ["rare"] * 10 + ["common"] * 190)
    for seed in range(20):
        data = load(tmp_path / "t.csv", seed=seed)
        for split in (data.train, data.validation, data.test):
            assert set(split.y.tolist()) == {0, 1}
    assert data.splits["test"] == f"a seeded 10% of each class of {tmp_path / 't.csv'}"


def test_the_only_example_of_a_class_stays_in_training(tmp_path):
    write(tmp_path / "t.csv", ["only"] + ["a", "b"] * 30)
    data = load(tmp_path / "t.csv")
    assert (data.train.y == data.spec.class_names.index("only")).sum() == 1
    assert "the test split has no example of 'only'" in data.notes
    assert "the validation split has no example of 'only'" in data.notes


def test_splits_in_files_of_another_kind_are_told(tmp_path):
    write(tmp_path / "train.csv", ["a", "b"] * 9)
    for name in ("train.parquet", "test.parquet", "val.csv.bz2", "test.py"):
        (tmp_path / name).touch()
    assert (
        f"{tmp_path}: these files are not read: test.parquet, val.csv.bz2" in load(tmp_path).notes
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Validation", "VAL"])
def test_names_of_validation_files(name, tmp_path):
    for split in ("Train", name, "testing"):
        write(tmp_path / f"{split}.csv", ["a", "b"] * (9 if split == "Train" else 4))
    write(tmp_path / "notes.csv", ["a", "b"])
    data = load(tmp_path)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [18, 8, 8]
    assert f"{tmp_path}: these files are not read: notes.csv" in data.notes


@pytest.mark.parametrize("columns", [["a"], ["a", "y"]], ids=["no column", "empty column"])
def test_a_test_file_without_labels_is_passed_over(columns, tmp_path):
    write(tmp_path / "train.csv", ["a", "b"] * 20)
    pd.DataFrame({"a": range(9), "y": ""})[columns].to_csv(tmp_path / "test.csv", index=False)
    data = load(tmp_path)
    assert any(f"{tmp_path / 'test.csv'} is left out: " in note for note in data.notes)
    assert len(data.train) + len(data.validation) + len(data.test) == 40


def test_rows_that_are_in_two_splits_are_told(tmp_path):
    write(tmp_path / "train.csv", ["a", "b"] * 20, b=np.arange(40) * 0.37)
    write(tmp_path / "val.csv", ["a", "b"] * 4, b=np.arange(8) * 0.5 + 100)
    frame = pd.read_csv(tmp_path / "train.csv")
    frame[:9].assign(b=[*frame.b[:6], 1000, 1001, 1002]).to_csv(tmp_path / "test.csv", index=False)
    notes = load(tmp_path).notes
    assert (
        "6 of 9 rows of the test split have the same inputs as rows of the training split" in notes
    )


def test_the_task_is_told(tmp_path):
    write(tmp_path / "t.csv", ["a"] * 20 + ["b"] * 10)
    assert describe_data(load(tmp_path / "t.csv"))[0] == "classification: 2 classes: a (16), b (8)"
    write(tmp_path / "t.csv", np.linspace(-1, 2.5, 40))
    assert describe_data(load(tmp_path / "t.csv"))[0] == "regression: -1 to 2.41026, mean 0.752805"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("cars.csv", "csv:cars.csv"),
        ("x/t.jsonl.gz", "jsonl:x/t.jsonl.gz"),
        ("./photos", "folder:./"),
        ("CSV:cars.csv", "csv:cars.csv"),
        ("json:t.json", "jsonl:t.json"),
    ],
)
def test_a_path_without_its_kind(name, advice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=f"this is a path: write {advice}"):
        load_data(DataConfig(name))
    with pytest.raises(UserError, match="spreadsheets are not read: save the sheet as CSV"):
        load_data(DataConfig("cars.xlsx"))


def describe(numbers):
    labels = pd.Series([repr(float(x)) for x in numbers], name="y", dtype=STRING)
    table = Table("t.csv", "parquet", pd.DataFrame({"y": labels}))
    return describe_rounding(labels, read_target(labels, table, "regression"), table)


@pytest.mark.parametrize("numbers", [1_700_000_000 + np.arange(20), 1e-50 * np.arange(20)])
def test_targets_that_float32_does_not_tell_apart_are_refused(numbers):
    advice = f"hardly differ: subtract {numbers[0]:.0f} from them, or choose a smaller unit"
    with pytest.raises(UserError, match=f"^t.csv: column 'y': its numbers, from .*{advice}"):
        describe(numbers)


def test_targets_that_float32_rounds_are_told():
    (note,) = describe(1_700_000_000 + 600 * np.arange(20))
    assert note == (
        "column 'y': its numbers, from 1700000000 to 1700011400, are rounded to float32, by up to "
        "64: subtract 1700000000 from them for exact ones"
    )
    assert describe(1e6 + np.arange(20) / 10)
    for numbers in ([*np.linspace(0, 1, 50), 1e9], 1e38 * np.arange(4), [0.1, 0.1], [1e300, 1]):
        assert not describe(numbers)


def test_a_target_beyond_float32_is_named(tmp_path):
    frame = pd.DataFrame({"x": np.arange(8.0), "y": ["1e39", *map(str, range(1, 8))]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match=r"line 2: column 'y' holds '1e39' .*a number below"):
        load_data(DataConfig(f"csv:{tmp_path / 't.csv'}", label="y", task="regression"))
