"""Folders of tables: which files make which split, and tables in several files."""

import gzip
import re

import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import read_data
from zoo.data.sources.table_folders import find_split_files
from zoo.errors import UserError

ROWS = [f"{n},{'ab'[n % 2]}\n" for n in range(12)]


def write_csv(file, rows, names="n,y\n"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(names + "".join(rows))


def read(name, **options):
    return read_data(DataConfig(name, label="y", stratify=False, **options))


def list_numbers(data):
    parts = [split.x for split in (data.train, data.validation, data.test)]
    rows = pd.concat([part.read_rows(0, len(part)) for part in parts])
    return sorted(rows["n"].astype(float))


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"],
        ["train-00001-of-3", "train-00002-of-3", "train-00003-of-3"],
        ["train-0-of-2-0123456789abcdef", "train-1-of-2-fedcba9876543210"],
        ["train_0", "train_1", "train_2", "train_3"],
        ["Train1", "Train2"],
        ["part-0000", "part-0001"],
        ["part-00000-6f6c4f2e-c000", "part-00003-6f6c4f2e-c000"],
        ["sales_2019", "sales_2021"],
        ["train/a", "train/b"],
        ["train/part-00000", "train/part-00001"],
    ],
)
def test_the_parts_of_a_table_are_read_together(names, tmp_path):
    for i, name in enumerate(names):
        write_csv(tmp_path / f"{name}.csv", ROWS[i :: len(names)])
    files, (note,) = find_split_files("csv", str(tmp_path))
    assert files == {"train": [tmp_path / f"{name}.csv" for name in names]}
    last = names[-1].rpartition("/")[2]
    assert f"the train split has {len(names)} files" in note and note.endswith(f" to {last}.csv")


def test_parts_of_each_split_and_what_is_left_out(tmp_path):
    for i in range(11):  # the tenth comes after the second
        write_csv(tmp_path / f"train_{i}.csv", ROWS[i : i + 1])
        write_csv(tmp_path / f"dev_{i}.csv", ROWS[i : i + 1])
    for name in ("test", "test2", "more"):
        write_csv(tmp_path / f"{name}.csv", ROWS)
    data = read(f"csv:{tmp_path}")
    assert (len(data.train), len(data.validation), len(data.test)) == (11, 11, 12)
    assert data.train.x.read_rows(0, 11)["n"].astype(int).tolist() == [*range(11)]
    assert data.splits["train"] == f"{tmp_path}/train_*.csv"
    assert f"{tmp_path}: these files are not read: more.csv, test2.csv" in data.notes


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("jsonl", [f'{{"n": {n}, "y": "{"ab"[n % 2]}"}}\n' for n in range(12)]),
        ("csv", ["n;y\n", *(row.replace(",", ";") for row in ROWS)]),
        ("tsv.gz", ["n\ty\n", *(row.replace(",", "\t") for row in ROWS)]),
    ],
)
def test_one_part_stands_for_all(kind, rows, tmp_path):
    header, below = (rows[:1], rows[1:]) if kind != "jsonl" else ([], rows)
    for i in range(2):
        content = "".join(header + below[i::2]).encode()
        file = tmp_path / f"x-0000{i}-of-00002.{kind}"
        file.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    data = read(f"{kind.removesuffix('.gz')}:{tmp_path}/x-00001-of-00002.{kind}")
    assert list_numbers(data) == [*range(12)]
    notes = [note for note in data.notes if "semicolons" in note]
    assert len(notes) == (kind == "csv")  # once, not for each file


def test_a_column_of_numbers_in_some_parts_only(tmp_path):
    write_csv(tmp_path / "train_1.csv", ["1,a\n", "2,b\n", "2.5,a\n"])
    write_csv(tmp_path / "train_2.csv", ["03,a\n", "x,b\n", ",b\n"])
    rows = read(f"csv:{tmp_path}", holdout=0.2).train.x.to_frame()["n"]
    assert set(rows) <= {"1", "2", "2.5", "03", "x", ""}  # as they are written


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train-0-of-3": ROWS, "train-2-of-3": ROWS}, r"2 of 3 files are there; missing: 1: add"),
        ({"train_0": ROWS, "train_1": []}, r"1 of 2 files have no rows"),
        ({"train_0": [], "train_1": []}, r"train_1\.csv: no rows"),
        ({"train_0": ROWS, "train_3": ROWS}, r"there are no files with the numbers 1, 2$"),
        ({"a": ROWS, "b": ROWS}, r"there is no file .*/train\.csv; it has a\.csv, b\.csv"),
    ],
)
def test_what_is_told_of_parts(files, message, tmp_path):
    for name, rows in files.items():
        write_csv(tmp_path / f"{name}.csv", rows)
    try:
        told = [*read(f"csv:{tmp_path}").notes]
    except UserError as error:
        told = [str(error)]
    assert any(re.search(message, text) for text in told)


def test_parts_need_the_same_columns(tmp_path):
    write_csv(tmp_path / "train_0.csv", ROWS)
    write_csv(tmp_path / "train_1.csv", ROWS[1:], names=ROWS[0])
    message = r"train_1\.csv: there is no column 'n', which train_0\.csv has.* It has 0, a:"
    with pytest.raises(UserError, match=message):
        read(f"csv:{tmp_path}")


def test_an_error_names_the_file_and_its_line(tmp_path):
    write_csv(tmp_path / "train_0.csv", ROWS)
    write_csv(tmp_path / "train_1.csv", ["good,a\n", "bad,b\n", ",a\n"])
    with pytest.raises(UserError, match=r"train_1\.csv, line 4: column 'n' is empty"):
        read(f"csv:{tmp_path}", text=("n",))


def test_parts_of_parquet(tmp_path):
    for part in range(2):
        frame = pd.DataFrame({"n": range(part, 12, 2), "y": ["a", "b"] * 3})
        frame.to_parquet(tmp_path / f"train-0000{part}-of-00002.parquet")
    for path in (tmp_path, tmp_path / "train-00000-of-00002.parquet"):
        assert list_numbers(read(f"parquet:{path}")) == [*range(12)]
