"""Data from the cache is what reading gives, or the cache is passed over."""

import concurrent.futures
import dataclasses
import errno
import os
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from zoo.data import data_cache, data_files
from zoo.data.config import DataConfig
from zoo.data.data_cache import load_cached_data
from zoo.data.loading import load_data
from zoo.data.splits import Stream, iterate_raw_batches

ROWS = 60
FRAME = pd.DataFrame(
    {
        "size": [f"{i % 7}.5" if i % 9 else "" for i in range(ROWS)],
        "town": [["Oslo", "Rome", " Bonn "][i % 3] for i in range(ROWS)],
        "day": [f"2026-01-{1 + i % 28:02d}" for i in range(ROWS)],
        "note": [f"caf\u00e9 number {i} was {'good' if i % 2 else 'bad'}" for i in range(ROWS)],
        "share": ["1", "2", "0.5"] * (ROWS // 3),
        "y": ["no", "yes"] * (ROWS // 2),
    }
)


@pytest.fixture
def table(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def make_config(table, **settings):
    return DataConfig(f"csv:{table}", label="y", **settings)


def assert_same_data(given, expected):
    for name in ("name", "version", "spec", "splits", "notes", "settings", "fingerprint"):
        assert getattr(given, name) == getattr(expected, name), name
    for split in ("train", "validation", "test"):
        for part in dataclasses.asdict(getattr(expected, split)):
            old, new = (getattr(getattr(data, split), part) for data in (expected, given))
            assert (old is None) == (new is None), part
            if old is not None:
                assert new.dtype == old.dtype and type(new) is type(old)
                np.testing.assert_array_equal(new, old)
    assert (given.raw_test is None) == (expected.raw_test is None)
    if expected.raw_test is not None:
        batches = (iterate_raw_batches(data.raw_test, 32) for data in (given, expected))
        for new_batch, old_batch in zip(*batches, strict=True):
            for new, old in zip(new_batch, old_batch, strict=True):
                assert new.dtype == old.dtype
                assert repr(new.tolist()) == repr(old.tolist())  # records may have NaN


def describe_use(notes):
    return [note.split(" the cache")[0] for note in notes]


@pytest.mark.parametrize("name", ["table", "weights", "texts", "pairs", "photos"])
def test_cached_data_is_the_data(name, table, tmp_path, photo_folder):
    config = {
        "table": make_config(table),
        "weights": make_config(table, weight="share", holdout=0.2),
        "texts": make_config(table, text=("note",)),
        "pairs": make_config(table, text=("note", "town")),
        "photos": DataConfig(f"folder:{photo_folder}", image_size=(8, 8)),
    }[name]
    expected, folder = load_data(config), str(tmp_path / "cache")
    first, notes = load_cached_data(config, folder)
    assert describe_use(notes) == ["data: kept in"]
    again, notes = load_cached_data(config, folder)
    assert describe_use(notes) == ["data: read from"]
    assert_same_data(first, expected)
    assert_same_data(again, expected)


def test_other_settings_and_files_have_entries_of_their_own(table, tmp_path):
    folder, config = tmp_path / "cache", make_config(table)
    load_cached_data(config, str(folder))
    other = dataclasses.replace(config, seed=1)
    assert describe_use(load_cached_data(other, str(folder))[1]) == ["data: kept in"]
    assert len([*folder.iterdir()]) == 2

    status = table.stat()
    table.write_text(table.read_text().replace("Oslo", "Kiel"))
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # of the same size
    data, notes = load_cached_data(config, str(folder))
    assert describe_use(notes) == [
        "the files have changed since they were kept in",
        "data: kept in",
    ]
    assert_same_data(data, load_data(config))
    assert len([*folder.iterdir()]) == 2  # in place of the earlier entry


def test_an_added_photo_is_noticed(photo_folder, tmp_path):
    photos = tmp_path / "photos"
    for path in photo_folder.rglob("*.*"):
        copy = photos / path.relative_to(photo_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    config, folder = DataConfig(f"folder:{photos}", image_size=(8, 8)), str(tmp_path / "cache")
    before, _ = load_cached_data(config, folder)
    copy.with_stem("another").write_bytes(copy.read_bytes())
    after, notes = load_cached_data(config, folder)
    assert describe_use(notes)[-1] == "data: kept in"
    sizes = [sum(map(len, (x.train, x.validation, x.test))) for x in (before, after)]
    assert sizes[1] == sizes[0] + 1


@pytest.mark.parametrize("pairs", [False, True])
def test_streamed_texts_are_kept_as_they_are(pairs, table, tmp_path):
    texts = np.array([b"caf\xc3\xa9", b"", b"a \xff"], object)
    texts = np.stack([texts, texts[::-1]], axis=1) if pairs else texts
    targets = np.array([0, 1, 1])

    def read(seed, rows):
        return tf.data.Dataset.from_tensor_slices((texts, targets))

    data = load_data(make_config(table, text=("note",)))
    data = dataclasses.replace(data, raw_test=Stream(3, read))
    (tmp_path / "entry").mkdir()
    data_files.write_data(data, tmp_path / "entry")
    assert_same_data(data_files.read_data_files(tmp_path / "entry"), data)


def test_damaged_entries_are_made_again(table, tmp_path):
    config, folder = make_config(table), tmp_path / "cache"
    expected, _ = load_cached_data(config, str(folder))
    (entry,) = folder.iterdir()
    whole = {path: path.read_bytes() for path in entry.iterdir()}
    for number, (path, content) in enumerate(sorted(whole.items())):
        middle = len(content) // 2
        flipped = bytes([*content[:middle], content[middle] ^ 1, *content[middle + 1 :]])
        path.write_bytes(content[:middle] if number % 2 else flipped)
        with pytest.raises(data_files.DamagedFileError, match=re.escape(str(entry))):
            assert not data_cache._has_changed(entry)
            data_files.read_data_files(entry)
        path.unlink()
        with pytest.raises(data_files.DamagedFileError):
            assert not data_cache._has_changed(entry)
            data_files.read_data_files(entry)
        path.write_bytes(content)
    path.unlink()
    data, notes = load_cached_data(config, str(folder))
    assert_same_data(data, expected)
    assert notes[0].startswith("an entry of the cache is damaged, and is made again: ")
    assert describe_use(notes)[1:] == ["data: kept in"]
    assert describe_use(load_cached_data(config, str(folder))[1]) == ["data: read from"]


def test_a_full_disk_is_told(table, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(data_files.np, "save", fail)
    config, folder = make_config(table), tmp_path / "cache"
    data, notes = load_cached_data(config, str(folder))
    assert notes == (f"data: not kept in the cache {folder}: No space left on device",)
    assert_same_data(data, load_data(config))
    assert not [*folder.iterdir()]
    (tmp_path / "file").write_text("")
    assert "data: not kept in the cache" in load_cached_data(config, str(tmp_path / "file"))[1][0]


def test_what_cannot_be_kept_is_told(table, tmp_path):
    config, folder = make_config(table, memory_budget=0), tmp_path / "cache"
    _, notes = load_cached_data(config, str(folder))
    assert notes == ("data: not kept in the cache: it is larger than --memory_budget",)
    (tmp_path / "t.jsonl").write_text('{"x": [1, 2], "y": "a"}\n{"x": "b", "y": "c"}\n' * 20)
    odd = DataConfig(f"jsonl:{tmp_path / 't.jsonl'}", label="y")
    _, notes = load_cached_data(odd, str(folder))
    assert notes == ("data: not kept in the cache: column 'x' has several kinds of values",)
    assert not [*folder.iterdir()]


def test_entries_are_written_side_by_side(table, tmp_path):
    config, folder = make_config(table), tmp_path / "cache"
    (folder / ".draft-old").mkdir(parents=True)
    os.utime(folder / ".draft-old", (0, 0))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = [*pool.map(lambda _: load_cached_data(config, str(folder))[0], range(2))]
    assert_same_data(*results)
    assert len([*folder.iterdir()]) == 1


def test_a_change_of_the_code_is_another_entry(table, monkeypatch):
    config = make_config(table)
    keys = {data_cache._compute_key(config)}
    monkeypatch.setattr(data_cache, "_find_version", lambda package: "9")
    keys.add(data_cache._compute_key(config))
    monkeypatch.setenv("TFDS_DATA_DIR", "elsewhere")
    keys.add(data_cache._compute_key(config))
    assert len(keys) == 3
