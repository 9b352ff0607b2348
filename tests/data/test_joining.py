"""Datasets that are joined: `zoo train --add_dataset`."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from support.files import write_image

from zoo.data.config import DataConfig
from zoo.data.fingerprint import compare_fingerprints
from zoo.data.joining import join_data
from zoo.data.loading import load_data, merge_splits, read_data, read_source
from zoo.data.split_checks import find_repeated_rows
from zoo.data.splits import take_inputs
from zoo.errors import UserError


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two tables of the same columns in another order; of the second a cell is no number."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    old = pd.DataFrame({"size": random.normal(size=40).round(3), "city": ["Oslo", "Rome"] * 20})
    old.assign(kind=["a", "b"] * 20).to_csv("old.csv", index=False)
    new = pd.DataFrame({"kind": ["b", "a"] * 10, "city": ["Rome", "Bonn"] * 10})
    new.assign(size=["none", *random.normal(size=19).round(3)]).to_csv("new.csv", index=False)
    return DataConfig("csv:old.csv", label="kind")


def test_splits_are_joined_one_by_one(tables):
    alone, both = load_data(tables), dataclasses.replace(tables, added=("csv:new.csv",))
    joined, raw = load_data(both), read_data(both)
    for name in ("train", "validation", "test"):
        first, all_rows = getattr(alone, name), getattr(joined, name)
        count = len(first)
        assert all_rows.y[:count].tolist() == first.y.tolist()
        assert getattr(raw, name).x.to_frame()["city"][:count].isin(["Oslo", "Rome"]).all()
        slices = getattr(raw, name).slices.tolist()
        assert slices == ["csv:old.csv"] * count + ["csv:new.csv"] * (len(all_rows) - count)
    assert len(joined.train) == 32 + 16 and len(joined.test) == 4 + 2
    assert joined.spec.class_names == ("a", "b")
    assert {"Oslo", "Rome", "Bonn"} <= {*joined.spec.columns[1].values}
    assert joined.spec.columns[0].kind == "number"  # of the second table, strings
    assert joined.splits["train"] == "old.csv and new.csv"
    assert joined.settings == {"label": "kind", "added": ("csv:new.csv",)}
    differences = compare_fingerprints(alone.fingerprint, joined.fingerprint)
    assert differences[0] == "added was none, is csv:new.csv"
    name, source = read_source(both)
    assert len(merge_splits(name, source, both).test) == 60


def test_the_encoding_of_a_model_is_kept(tables):
    grouped = read_data(dataclasses.replace(tables, group="size", added=("csv:new.csv",)))
    assert "the rows of a size are kept together within each dataset" in " ".join(grouped.notes)
    known = load_data(tables).spec.columns
    both = dataclasses.replace(tables, added=("csv:new.csv",), known_columns=known)
    assert load_data(both).spec.columns == known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "c"},
            "new.csv, line 2: column 'kind' holds 'c' .* expected a class of the model",
        ),
        ({"size": None}, "csv:new.csv: there is no column 'size', which csv:old.csv has. It has:"),
    ],
)
def test_other_columns_and_classes_are_refused(tables, change, message):
    frame = pd.read_csv("new.csv").assign(**change).dropna(axis=1, how="all")
    frame.to_csv("new.csv", index=False)
    with pytest.raises(UserError, match=message):
        load_data(dataclasses.replace(tables, added=("csv:new.csv",)))


def write_labels(path, labels):
    sizes = np.arange(len(labels)) % 7
    pd.DataFrame({"size": sizes, "y": labels}).to_csv(path, index=False)


def test_other_names_of_several_labels_are_refused(tables):
    """They would be trained on as rows without the label, if it was only renamed."""
    write_labels("old.csv", ["sun|wind", "rain", "", "sun"] * 10)
    write_labels("new.csv", ["sun|wind", "rain", "sun", "storm|sun"] * 10)
    message = (
        r"new.csv, line 5: column 'y' holds 'storm\|sun' \(10 such lines\); expected classes of "
        r"the model \(rain, sun, wind\): rename or remove the others"
    )
    both = dataclasses.replace(tables, label="y", added=("csv:new.csv",))
    with pytest.raises(UserError, match=message):
        read_data(both)
    write_labels("new.csv", ["wind|sun", "rain", "", "Sun"] * 10)
    assert read_data(dataclasses.replace(both, merge_label_case=True)).train.y[:, 1].mean() > 0.4


@pytest.mark.parametrize(
    ("old", "new", "is_refused"),
    [
        ("{} kg", "{} t", True),
        ("${}", "{} €", True),
        ("{} kg", "{} KG", False),
        ("{} years", "{} year", False),
        ("{} kg", "{}", False),
        ("{}", "{} t", False),  # the unit is not known, and a note tells of that of the new data
    ],
)
def test_numbers_of_another_unit_are_refused(tables, old, new, is_refused):
    write_labels("old.csv", [old.format(x * 1.5) for x in range(40)])
    write_labels("new.csv", [new.format(x * 1.5) for x in range(40)])
    both = dataclasses.replace(tables, label="y", added=("csv:new.csv",))
    if is_refused:
        with pytest.raises(UserError, match=r"new.csv: column 'y' has numbers in .* convert them"):
            read_data(both)
    else:
        assert read_data(both).train.y.max() > 50
    unit = old.removeprefix("{}").strip(" {}")
    assert read_data(dataclasses.replace(both, added=())).spec.label_unit == unit


def test_numbers_of_another_size_are_told(tables):
    frame = pd.read_csv("old.csv").assign(y=np.arange(40) * 0.5 + 7)
    frame.to_csv("m.csv", index=False)
    frame.assign(size=100 * frame["size"], y=100 * frame["y"]).to_csv("cm.csv", index=False)
    config = dataclasses.replace(tables, name="csv:m.csv", label="y")
    assert not read_data(dataclasses.replace(config, added=("csv:m.csv",))).notes[1:]
    notes = read_data(dataclasses.replace(config, added=("csv:cm.csv",))).notes
    for what in ("column 'size'", "numbers to predict"):
        start = f"{what}: in csv:cm.csv the numbers have the median "
        assert any(note.startswith(start) and "in csv:m.csv" in note for note in notes)


def test_images(tmp_path, tables):
    """Those of an added folder get the size of the first one's; the same files are found."""
    random = np.random.default_rng(0)
    for folder, size in (("one", (8, 8, 3)), ("two", (12, 10, 3))):
        for i in range(12):
            pixels = random.integers(0, 256, size, "uint8")
            write_image(tmp_path / folder / "xy"[i % 2] / f"{i}.png", pixels)
    config = DataConfig("folder:one", added=("folder:two",))
    data = read_data(config)
    assert data.train.x.shape[1:] == (8, 8, 3) and len(data.train) == 2 * 8
    repeated = find_repeated_rows({"train": data.train, "test": data.test})["test"]
    assert repeated.tolist() == [False] * 4
    twice = {"train": data.train, "test": data.train.select_rows(np.arange(16) < 5)}
    assert find_repeated_rows(twice)["test"].all()
    with pytest.raises(UserError, match="more than 0 MiB: raise --memory_budget"):
        read_data(dataclasses.replace(config, memory_budget=0))
    with pytest.raises(UserError, match=r"csv:old.csv has features, but folder:one has image of"):
        join_data(data, config, lambda _: read_data(tables))


def test_texts_of_a_dataset_and_of_a_table(tables, tfds_dir):
    reviews = pd.DataFrame({"text": ["a fine film", "no fun"] * 20, "label": ["pos", "neg"] * 20})
    reviews.to_csv("reviews.csv", index=False)
    config = DataConfig("synthetic_reviews", train_split="train[:2%]", data_dir=str(tfds_dir))
    alone, both = read_data(config), dataclasses.replace(config, added=("csv:reviews.csv",))
    joined = read_data(both)
    count = len(alone.train)
    assert len(joined.train) == count + 32 and joined.spec.class_names == ("neg", "pos")
    first = take_inputs(alone.train, count)
    assert [text.decode() for text in first] == joined.train.x[:count].tolist()
    assert joined.test.x[-1] in {*reviews.text} and joined.test.slices[-1] == "csv:reviews.csv"
    with pytest.raises(UserError, match="more than 0 MiB: raise --memory_budget"):
        read_data(dataclasses.replace(both, memory_budget=0))
