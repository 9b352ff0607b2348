"""The fingerprint of a dataset: equal for a copy, another one for other contents."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from support.files import write_image

from zoo.data.config import DataConfig
from zoo.data.fingerprint import compare_fingerprints
from zoo.data.loading import load_data

ROWS = {
    "size": np.arange(40) % 7 + 0.5,
    "town": ["Ulm", "Bern", "Graz", "Bonn"] * 10,
    "y": ["no", "yes"] * 20,
}


def write_table(path, **columns):
    pd.DataFrame(ROWS | columns).to_csv(path, index=False)
    return path


def read_table(path, **settings):
    return load_data(DataConfig(f"csv:{path}", label="y", **settings)).fingerprint


def changed(name, row, value):
    column = list(ROWS[name])
    column[row] = value
    return {name: column}


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "t.csv")


def test_a_table_written_again_is_the_same(table, tmp_path):
    before = read_table(table)
    os.utime(write_table(table), (1, 1))
    assert read_table(table) == before
    (tmp_path / "t.csv").write_text(table.read_text().replace("\n", "\r\n"))
    assert compare_fingerprints(before, read_table(table)) == []
    copy = read_table(shutil.copy(table, tmp_path / "copy.csv"))
    assert compare_fingerprints(before, copy) == [f"dataset was csv:{table}, is {copy['dataset']}"]


@pytest.mark.parametrize(
    ("columns", "settings", "expected"),
    [
        (changed("size", 3, 99.5), {}, ["split has other inputs"]),
        (changed("y", 2, "yes"), {"stratify": False}, ["split has other labels"]),
        (changed("y", 2, "maybe"), {"stratify": False}, ["classes was no, yes, is maybe, no, yes"]),
        (changed("size", 3, "?x"), {"columns": (("size", "category"),)}, ["'size' was number"]),
        ({name: cells[::-1] for name, cells in ROWS.items()}, {}, ["train split has other inputs"]),
        ({}, {"seed": 1}, ["validation split has other inputs", "test split has other inputs"]),
        ({}, {"columns": (("town", "drop"),)}, ["'town' was category, is not there"]),
        ({name: cells[:36] for name, cells in ROWS.items()}, {}, ["train split had 32 examples"]),
    ],
)  # fmt: skip
def test_what_differs_between_tables_is_named(table, columns, settings, expected):
    before = read_table(table, stratify=settings.get("stratify", True))
    pd.DataFrame(ROWS | columns if len(columns) < 3 else columns).to_csv(table, index=False)
    differences = compare_fingerprints(before, read_table(table, **settings))
    for part in expected:
        assert any(part in line for line in differences), differences


def test_a_column_that_is_not_read_may_change(table):
    write_table(table, note=[f"n{i}" for i in range(40)])
    settings = {"columns": (("note", "drop"),)}
    before = read_table(table, **settings)
    write_table(table, note=[f"m{i}" for i in range(40)])
    assert read_table(table, **settings) == before


@pytest.mark.parametrize("row", [0, 17, 39])
def test_all_rows_of_a_table_count(table, row):
    before = read_table(table)
    write_table(table, **changed("town", row, "Bern" if row % 4 != 1 else "Graz"))
    assert compare_fingerprints(before, read_table(table))


def test_texts_and_the_order_of_their_vocabulary(tmp_path):
    path = tmp_path / "t.csv"

    def read(texts):
        pd.DataFrame({"text": texts * 4, "y": ["no", "yes"] * 10}).to_csv(path, index=False)
        config = DataConfig(f"csv:{path}", text=("text",), label="y", tokenizer="words")
        return load_data(config).fingerprint

    before = read(["a b", "a c", "a d", "a d", "a b"])
    assert before["vocabulary"] == 7 and before["columns"] == {}
    assert read(["a b", "a c", "a d", "a d", "a b"]) == before
    other_order = compare_fingerprints(before, read(["c b", "c a", "c d", "c d", "c b"]))
    assert other_order[-1] == "the vocabulary has other tokens, or the same in another order"
    longer = compare_fingerprints(before, read(["a b", "a c", "a d", "a d", "a e"]))
    assert longer[-1] == "the vocabulary had 7 tokens, has 8"


def test_images_by_their_names_and_contents(tmp_path):
    random, root = np.random.default_rng(0), tmp_path / "photos"
    for i in range(20):
        pixels = random.integers(0, 256, (6, 6, 3), "uint8")
        write_image(root / "ab"[i % 2] / f"{i:02d}.bmp", pixels)

    def read(folder=root, **settings):
        return load_data(DataConfig(f"folder:{folder}", **settings)).fingerprint

    before = read()
    assert read(memory_budget=0) == before, "streamed or not"
    for path in root.rglob("*.bmp"):
        os.utime(path, (1, 1))
    assert read() == before
    copy = read(shutil.copytree(root, tmp_path / "copy"))
    assert {**copy, "dataset": 0} == {**before, "dataset": 0}
    file = root / "a" / "08.bmp"
    content = file.read_bytes()
    file.write_bytes(content[:-8] + bytes(8))  # of the same size
    assert [line.split()[-2:] for line in compare_fingerprints(before, read())] == [
        ["other", "inputs"]
    ]
    file.write_bytes(content)
    file.rename(root / "a" / "08x.bmp")
    assert len(compare_fingerprints(before, read())) == 1


def test_tfds_by_version_rows_and_files(tfds_dir):
    def read(**settings):
        return load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), **settings)).fingerprint

    half = read(train_split="train[:10%]")
    assert half == read(train_split="train[:10%]", memory_budget=0)
    assert half["version"] == "1.0.0" and half["train"]["examples"] == 360
    differences = compare_fingerprints(half, read(train_split="train[:10%]", seed=1))
    assert differences == [
        f"the {name} split has other inputs and labels" for name in ("train", "validation")
    ]


def test_a_broken_fingerprint_differs(table):
    new = read_table(table)
    for old in ({}, {"train": 3, "columns": []}, dict(new, train=None)):
        assert compare_fingerprints(old, new)
