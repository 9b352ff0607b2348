"""Several labels per row: columns of 0 and 1, lists, and cells such as "a|b"."""

import json

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import load_data, read_source
from zoo.data.spec import Spec
from zoo.data.split_checks import describe_data
from zoo.data.targets import find_strata
from zoo.errors import UserError

# the labels of six rows; None is a row whose labels are not known
SETS = [["sun", "wind"], ["wind"], [], None, ["rain"], ["sun"]]
CLASSES = ("rain", "sun", "wind")
MATRIX = [[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]


def write(path, **columns):
    frame = pd.DataFrame({"x": np.arange(len(next(iter(columns.values())))) % 5} | columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return f"{path.suffix[1:]}:{path}"


def read(name, label="y", **settings):
    _, source = read_source(DataConfig(name, label=label, **settings))
    return source


def joined():
    return ["NA" if labels is None else "|".join(labels) for labels in SETS]


@pytest.mark.parametrize(
    ("ending", "columns", "label", "classes"),
    [
        ("jsonl", {"y": SETS * 2}, "y", CLASSES),
        ("parquet", {"y": SETS * 2}, "y", CLASSES),
        ("csv", {"y": joined() * 2}, "y", CLASSES),
        ("csv", {"y": ["NA" if x is None else json.dumps(x) for x in SETS] * 2}, "y", CLASSES),
        ("csv", {"y": ["['sun' 'wind']", "{wind}", "()", "", "[rain]", "[ 'sun',]"] * 2}, "y",
         CLASSES),
        ("parquet", {"y": [None if x is None else str(x) for x in SETS] * 2}, "y", CLASSES),
        (
            "csv",
            {
                "wind": [1, 1, 0, "", 0, 0] * 2,
                "sun": ["yes", "no", "No", "no", "n", "Y"] * 2,
                "rain": [False, False, False, True, True, False] * 2,
            },
            "rain,sun,wind",
            CLASSES,
        ),
        (
            "jsonl",
            {"b": [True, False, False, None, False, False] * 2, "a": [0, 0, 0, 0, 1, 0] * 2},
            "b,a",
            ("b", "a"),
        ),
    ],
    ids=[
        *("lists", "lists of parquet", "bars", "lists of csv", "odd lists", "texts of parquet"),
        *("columns", "columns of json"),
    ],
)  # fmt: skip
def test_the_same_labels_in_each_form(ending, columns, label, classes, tmp_path):
    source = read(write(tmp_path / f"t.{ending}", **columns), label)
    assert source.spec.task == "multilabel" and source.spec.class_names == classes
    assert source.spec.feature_names == ("x",)
    train = source.splits["train"]
    expected = MATRIX if classes == CLASSES else [[1, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
    assert train.y.dtype == np.uint8 and train.y.tolist() == expected * 2
    assert any("2 rows have no value and are left out" in note for note in source.notes)


def test_what_is_decided_is_told(tmp_path):
    source = read(write(tmp_path / "t.csv", y=[*joined(), "sun|sun", "wind | "] * 3))
    told = " / ".join(source.notes)
    assert "'|' separates the labels of a row (--task=classification takes each cell as" in told
    assert "3 empty cells: these rows have no label (write NA where" in told
    assert "3 rows name a label twice, which counts once" in told
    assert source.splits["train"].y[5:7].tolist() == [[0, 1, 0], [0, 0, 1]]
    # one class per cell if that is asked for, or if the parts of the names are no classes
    one = read(write(tmp_path / "t.csv", y=joined() * 3), task="classification")
    assert one.spec.class_names == ("rain", "sun", "sun|wind", "wind")
    odd = read(write(tmp_path / "t.csv", y=["a|b", "c|d"] * 9))
    assert odd.spec.class_names == ("a|b", "c|d")
    note = "column 'y': 'a|b' counts as one class (--task=multilabel separates labels at bars)"
    assert note in odd.notes
    told = read(write(tmp_path / "t.csv", y=["a", "a, b", "b", "a, c", "c"] * 4)).notes
    assert "column 'y': 'a, b' counts as one class (write a|b if these are several labels)" in told
    assert read(write(tmp_path / "t.csv", y=["Bonn, DE", "Rome, IT"] * 9)).notes == ()
    single = read(write(tmp_path / "t.csv", y=["b", "a"] * 9), task="multilabel")
    assert single.spec.class_names == ("a", "b") and single.splits["train"].y[0].tolist() == [0, 1]
    assert "no cell has several labels, which '|' would separate" in " / ".join(single.notes)


def test_lists_in_texts_are_told(tmp_path):
    written = ["['a', 'b']", '["it\'s"]', "[]"]
    source = read(write(tmp_path / "t.csv", y=written * 9))
    assert source.spec.class_names == ("a", "b", "it's")
    assert "column 'y': \"['a', 'b']\" is read as a list of labels (--task=class" in source.notes[0]
    one = read(write(tmp_path / "t.csv", y=written * 9), task="classification")
    assert len(one.spec.class_names) == 3
    for cells in (["['a', 'b']", "a", "c"], ["['a']", "['b']"]):  # others, or one item in each
        odd = read(write(tmp_path / "t.csv", y=cells * 9))
        assert any("counts as one class (write a" in note for note in odd.notes)
    mixed = read(write(tmp_path / "t.csv", y=[written[0], "a", "c|b"] * 9), task="multilabel")
    assert mixed.splits["train"].y[:3].tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    with pytest.raises(UserError, match="has lists of 0 and 1"):
        read(write(tmp_path / "t.csv", y=["[1, 0, 1]", "[0. 0. 1.]"] * 9))


def test_the_headline_has_classes_counts_and_cardinality(tmp_path):
    data = load_data(DataConfig(write(tmp_path / "t.jsonl", y=SETS * 20), label="y"))
    train = data.train.y
    counts = ", ".join(f"{name} ({n})" for name, n in zip(CLASSES, train.sum(0), strict=True))
    assert describe_data(data)[0] == (
        f"multilabel: 3 classes: {counts}; {train.sum(1).mean():.2f} labels per example (label "
        f"cardinality), at most 2, none for {(train.sum(1) == 0).sum()} examples"
    )
    path = tmp_path / "t.jsonl"
    assert data.splits["test"] == f"a seeded 10% of the examples of each rarest label of {path}"


def test_strata_are_the_rarest_labels_and_each_is_held_out(tmp_path):
    y = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]], "uint8")
    assert find_strata(y, Spec("text", (), CLASSES, multilabel=True)).tolist() == [1, 0, 3, 2, 1]
    rare = [["common", "rare"]] * 10 + [["common"]] * 100 + [[]] * 90
    for seed in range(2):
        data = load_data(DataConfig(write(tmp_path / "t.jsonl", y=rare), label="y", seed=seed))
        for split in (data.train, data.validation, data.test):
            assert split.y[:, 1].any() and not split.y.all(axis=1).all()


def test_splits_in_files(tmp_path):
    write(tmp_path / "train.jsonl", y=SETS * 3)
    write(tmp_path / "val.jsonl", y=[["sun", "fog", "fog "], ["wind", "Wind"]])
    write(tmp_path / "test.jsonl", y=[[], []])
    source = read(f"jsonl:{tmp_path}")
    assert source.splits["validation"].y.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert list(source.splits) == ["train", "validation"]
    told = " / ".join(source.notes)
    assert "2 labels are none of the classes and are left out: 'fog', 'Wind'; their rows" in told
    assert "their rows stay; 'Wind' may be the class 'wind'" in told
    assert "test.jsonl is left out: no row has a label in 'y'" in told


def test_the_classes_of_a_trained_model(tmp_path):
    name = write(tmp_path / "t.csv", b=[1, 0] * 4, a=[0, 1] * 4)
    source = read(name, "b,a", known_classes=("a", "b"), task="multilabel")
    assert source.spec.class_names == ("a", "b")
    assert source.splits["train"].y[:2].tolist() == [[0, 1], [1, 0]]
    with pytest.raises(UserError, match="--label=b,a lacks the columns of c, which the model"):
        read(name, "b,a", known_classes=("a", "b", "c"), task="multilabel")


@pytest.mark.parametrize("form", ["lists", "classes"])
def test_labels_that_differ_in_case_are_merged_on_request(form, tmp_path):
    labels = ["neg", "Neg", "neg", "pos"] * 3
    train = [[name] for name in labels] if form == "lists" else labels
    write(tmp_path / "train.jsonl", y=train)
    write(tmp_path / "test.jsonl", y=[["NEG"], ["pos"]] if form == "lists" else ["neg", "Neg"])
    apart = read(f"jsonl:{tmp_path}")
    assert apart.spec.class_names == ("Neg", "neg", "pos")
    told = " / ".join(apart.notes)
    assert "'Neg' and 'neg' differ only in case and are different classes (--merge_label" in told
    merged = read(f"jsonl:{tmp_path}", merge_label_case=True)
    assert merged.spec.class_names == ("neg", "pos")
    y = merged.splits["train"].y
    assert (y[:, 0] == 1 if form == "lists" else y == 0).sum() == 9
    told = " / ".join(merged.notes)
    assert "3 labels of the train split were merged with others in another case" in told
    assert "(3 'Neg' to 'neg')" in told and "of the test split were merged" in told
    # the spelling of a trained model stays
    settings = {"known_classes": ("Neg", "pos"), "task": merged.spec.task}
    known = read(f"jsonl:{tmp_path}", merge_label_case=True, **settings)
    assert known.spec.class_names == ("Neg", "pos")
    np.testing.assert_array_equal(known.splits["train"].y, y)


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        (
            {"a": [0, 2] * 4, "b": [0, 1] * 4},
            {"label": "a,b"},
            "column 'a' holds '2' .4 such lines",
        ),
        ({"a": [0, 1] * 4}, {"label": "a,c"}, "label='c': .* has no such column"),
        ({"a": [0, 1] * 4}, {"label": "a,x", "group": "x"}, "group=x: this column is the label"),
        (
            {"a": [0, 1] * 4, "b": [0, 1] * 4},
            {"label": "a,b", "task": "classification"},
            "2 columns of labels, a, b, make a multilabel task: omit --task",
        ),
        ({"y": [["a"], ["b"]] * 4}, {"task": "classification"}, "expected a string or a number"),
        ({"y": [[0, 1, 0], [1, 1, 0]] * 4}, {}, r"lists of 0 and 1, such as \[0, 1, 0\]; expected"),
        ({"y": [["a"], [{"n": 1}]] * 4}, {}, "line 2: column 'y' .*expected names of labels"),
        ({"y": [["a"], []] * 4}, {}, "holds only 'a'; expected at least 2 classes"),
        ({"y": [[], []] * 4}, {}, "no row has a label in 'y': choose another column"),
        ({"y": [[f"{i}", f"{-i}"] for i in range(20)]}, {}, "these are no classes"),
    ],
)
def test_mistakes(columns, settings, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "t.jsonl", **columns), **settings)
