"""Parquet and Arrow files, and folders of them as Hugging Face's datasets write them."""

import datetime
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import read_data
from zoo.data.sources.table_files import read_table
from zoo.errors import UserError


def class_label(*names):
    return {"names": names, "_type": "ClassLabel"}


FEATURES = {
    "n": {"dtype": "int64", "_type": "Value"},
    "kind": class_label("x", "y", "z"),
    "of": {"kind": class_label("web", "book")},
    "tags": {"feature": class_label("t0", "t1"), "_type": "Sequence"},
    "label": class_label("neg", "pos"),
}


def make_table(first, labels):
    """A table whose schema names the classes, as Hugging Face's datasets have it."""
    rows = range(first, first + len(labels))
    columns = {
        "n": [*rows],
        "kind": [-1 if i == 7 else i % 3 for i in rows],
        "of": [{"kind": i % 2} for i in rows],
        "tags": [[0, 1][: i % 3] for i in rows],
        "label": labels,
    }
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_stream(file, table):
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)


def test_a_dataset_of_hugging_face_that_was_saved(tmp_path):
    for part in range(2):
        table = make_table(10 * part, [0, 1] * 5)
        write_stream(tmp_path / f"d/train/data-0000{part}-of-00002.arrow", table)
    write_stream(tmp_path / "d/test/data-00000-of-00001.arrow", make_table(30, [1, 0, -1]))
    write_stream(tmp_path / "d/more/data-00000-of-00001.arrow", make_table(30, [1, 0]))
    (tmp_path / "d/dataset_dict.json").write_text("{}")
    name = f"arrow:{tmp_path}/d"
    config = DataConfig(name, label="label", stratify=False, columns=(("n", "number"),))
    data = read_data(config)
    assert data.spec.class_names == ("neg", "pos") and len(data.test) == 2
    assert data.spec.feature_names == ("n", "kind", "of.kind", "tags")
    parts = (data.train.x, data.validation.x)
    rows = pd.concat([part.read_rows(0, len(part)) for part in parts])
    rows.index = rows["n"].astype(int)
    assert sorted(rows.index) == [*range(20)]
    assert rows["kind"].sort_index().tolist()[5:9] == ["z", "x", pd.NA, "z"]
    assert rows["of.kind"].sort_index().tolist()[:3] == ["web", "book", "web"]
    assert data.notes[:2] == (
        f"{tmp_path}/d/train: the train split has 2 files, data-00000-of-00002.arrow to "
        "data-00001-of-00002.arrow",
        f"{tmp_path}/d: these files are not read: more/data-00000-of-00001.arrow",
    )
    assert any(
        "train/data-*-of-00002.arrow: numbers of classes are replaced by the names in the "
        "file: kind, of.kind, tags, label" in note
        for note in data.notes
    )
    tags = read_data(DataConfig(name, label="tags", task="multilabel"))
    assert tags.spec.class_names == ("t0", "t1") and tags.spec.multilabel
    for wrong in (f"parquet:{tmp_path}/d", f"{tmp_path}/d"):
        with pytest.raises(UserError, match=r"(pass|write) arrow:/.*/d$"):
            read_data(DataConfig(wrong, label="label"))


@pytest.mark.parametrize(
    ("kind", "names", "splits"),
    [
        ("arrow", ["data-00000-of-00002", "data-00001-of-00002"], {"train": 20}),
        ("arrow", ["imdb-train", "imdb-test"], {"train": 10, "test": 10}),
        ("parquet", ["data/train-00000-of-00001", "data/test-00000-of-00001"],
         {"train": 10, "test": 10}),
        ("parquet", ["train/0000", "train/0001", "test/0000"], {"train": 20, "test": 10}),
    ],
)  # fmt: skip
def test_where_hugging_face_puts_the_splits(kind, names, splits, tmp_path):
    write = {"arrow": lambda x, table: write_stream(x, table), "parquet": write_parquet}[kind]
    for i, name in enumerate(names):
        write(tmp_path / f"{name}.{kind}", make_table(10 * i, [0, 1] * 5))
    data = read_data(DataConfig(f"{kind}:{tmp_path}", label="label", holdout=0.1))
    assert ("test" in splits) == (len(data.test) == 10)
    total = len(data.train) + len(data.validation) + len(data.test)
    assert total == sum(splits.values())


def write_parquet(file, table):
    file.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(table, file)


def test_the_splits_of_two_datasets_are_not_mixed(tmp_path):
    for name in ("cola/train", "sst2/train", "sst2/test"):
        write_parquet(tmp_path / f"{name}-00000-of-00001.parquet", make_table(0, [0, 1] * 5))
    with pytest.raises(UserError, match=r"both have the train split: .* parquet:/.*/cola$"):
        read_data(DataConfig(f"parquet:{tmp_path}", label="label"))


def test_a_number_without_a_class_is_named(tmp_path):
    write_stream(tmp_path / "t.arrow", make_table(0, [0, 1, 2]))
    with pytest.raises(UserError, match=r"t\.arrow: not a readable Arrow file: .*2 out of bounds"):
        read_table("arrow", tmp_path / "t.arrow")


def test_arrow_files_with_random_access(tmp_path):
    pd.DataFrame({"a": [1.5, np.nan], "b": ["u", None]}).to_feather(tmp_path / "t.arrow")
    frame = read_table("arrow", tmp_path / "t.arrow").frame
    assert frame["a"].iloc[0] == "1.5" and frame.isna().iloc[1].all()
    (tmp_path / "b.arrow").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"b\.arrow: not a readable Arrow file"):
        read_table("arrow", tmp_path / "b.arrow")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_are_seconds_in_all_units(unit, tmp_path):
    spans = [datetime.timedelta(days=1, seconds=2), None, datetime.timedelta(seconds=-3)]
    table = pa.table({"d": pa.array(spans, pa.duration(unit))})
    write_parquet(tmp_path / "t.parquet", table)
    found = read_table("parquet", tmp_path / "t.parquet")
    expected = pd.Series(pd.to_timedelta(spans)).dt.total_seconds()
    pd.testing.assert_series_equal(pd.to_numeric(found.frame["d"]).astype(float), expected,
                                   check_names=False)  # fmt: skip
    assert found.notes == (f"{tmp_path}/t.parquet: column 'd': durations are read in seconds",)
