"""Tables that are larger than memory: the same as in memory, block by block."""

import numpy as np
import pandas as pd
import pytest

from zoo.data import mapped_files
from zoo.data.batching import make_evaluation_batches
from zoo.data.config import DataConfig
from zoo.data.loading import load_data, prepare_data, read_data
from zoo.data.sources import arrow_files, json_lines, table_files
from zoo.data.sources.table_files import StorageOptions, read_table
from zoo.data.tables import frame_rows, row_texts, table_encoding
from zoo.errors import UserError

ROWS = 400
RANDOM = np.random.default_rng(0)
# each column changes its looks in later blocks
COLUMNS = {
    "whole": [*map(str, range(100, 300)), *(f"{i}.5" for i in range(200))],
    "gaps": [*[""] * 150, "NA", *(f"{i % 7}" for i in range(249))],
    "code": [*(str(i % 9) for i in range(390)), *["007"] * 10],
    "price": [*(f"{i}.25" for i in range(395)), *["$1,200.50"] * 5],
    "odd": [*(str(i % 50) for i in range(397)), "?", "?", "?"],
    "town": [["Oslo", "Rome", " Bonn ", ""][i % 4] for i in range(ROWS)],
    "day": [f"2026-01-{1 + i % 28:02d}" for i in range(ROWS)],
    "note": [f"film number {i} was rather {'good' if i % 2 else 'bad'}" for i in range(ROWS)],
    "huge": [str(2**60 + i * 3 % 17 * 2**20 + 1) for i in range(ROWS)],
}
FRAME = pd.DataFrame(COLUMNS).assign(y=["no", "yes", "no", ""] * 100)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(table_files, "_BLOCK_SIZES", (2000, 50_000))
    monkeypatch.setattr(json_lines, "_JSON_ROWS", 30)
    monkeypatch.setattr(arrow_files, "_ROWS", 30)
    monkeypatch.setattr(frame_rows.FrameRows.iterate_cells, "__defaults__", (64,))
    monkeypatch.setattr(row_texts, "_BLOCK_ROWS", 50)
    monkeypatch.setattr(table_encoding, "_BLOCK_SIZE", 1000)


def write(frame, path):
    if path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return f"{path.name.split('.')[1]}:{path}"


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.parquet"])
def test_what_is_mapped_is_what_is_in_memory(name, tmp_path):
    dataset = write(FRAME, tmp_path / name)
    settings = {"label": "y", "mapped_dir": str(tmp_path / "cache")}
    memory = load_data(DataConfig(dataset, **settings))
    mapped = load_data(DataConfig(dataset, memory_budget=0, **settings))
    assert memory.spec == mapped.spec and memory.fingerprint == mapped.fingerprint
    assert memory.notes == mapped.notes
    kinds = {column.name: column.kind for column in mapped.spec.columns}
    assert kinds == {
        "whole": "number", "gaps": "number", "code": "category", "price": "number",
        "odd": "number", "town": "category", "day": "date", "note": "text", "huge": "number",
    }  # fmt: skip
    for split in ("train", "validation", "test"):
        one, other = getattr(memory, split), getattr(mapped, split)
        assert type(one.x) is np.ndarray and isinstance(other.x, np.memmap)
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)
    raw = memory.raw_test.x[3:9]  # with NaNs
    assert repr(raw.tolist()) == repr(mapped.raw_test.x[3:9].tolist())
    assert repr(raw[2]) == repr(mapped.raw_test.x[5])
    assert not [*(tmp_path / "cache").iterdir()], "the files have no names"


def test_what_is_learned_is_of_all_blocks(tmp_path):
    config = DataConfig(write(FRAME, tmp_path / "t.csv"), label="y", memory_budget=0)
    data = read_data(config)
    train = data.train.x.to_frame()
    columns = {column.name: column for column in prepare_data(data, config).spec.columns}
    prices = train.price.str.replace("[$,]", "", regex=True).astype(float)
    expected = {"whole": train.whole.astype(float), "gaps": train.gaps.dropna(), "price": prices}
    for name, numbers in expected.items():
        low, center, high = numbers.quantile([0.25, 0.5, 0.75])
        assert columns[name].center == center
        assert columns[name].scale == pytest.approx((high - low) / 1.349)
    assert columns["odd"].missing_marks == ("?",) and columns["gaps"].has_missing
    codes = train.code.value_counts()
    assert [codes[value] for value in columns["code"].values] == codes.tolist()


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_texts_are_mapped(name, tmp_path):
    dataset = write(FRAME.assign(y=["no", "yes"] * 200), tmp_path / name)
    settings = {"label": "y", "text": ("note", "day")}
    memory = load_data(DataConfig(dataset, **settings))
    mapped = load_data(DataConfig(dataset, memory_budget=0, **settings))
    assert memory.spec == mapped.spec and memory.fingerprint == mapped.fingerprint
    np.testing.assert_array_equal(memory.train.x, mapped.train.x)
    assert isinstance(mapped.train.x, np.memmap)
    assert memory.raw_test.x[1].tolist() == mapped.raw_test.x[1].tolist()


def test_batches_of_mapped_rows(tmp_path):
    dataset = write(FRAME, tmp_path / "t.csv")
    batches = []
    for budget in (None, 0):
        data = load_data(DataConfig(dataset, label="y", memory_budget=budget))
        batches.append(make_evaluation_batches(data.train, data.spec, batch_size=50))
        assert batches[-1].element_spec == batches[0].element_spec
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one[0]["features"], other[0]["features"])
        np.testing.assert_array_equal(one[1]["logits"], other[1]["logits"])


def test_a_column_has_one_type_in_all_files(tmp_path):
    """Numbers of one file are read as strings if another has other cells."""
    train = pd.DataFrame(
        {"size": ["S", "M", "1.0", "2"] * 15, "n": range(60), "y": ["a", "b"] * 30}
    )
    write(train, tmp_path / "train.csv")
    write(train.assign(size=["1.0", "2", "2", "2"] * 15), tmp_path / "test.csv")
    data = load_data(DataConfig(f"csv:{tmp_path}", label="y", columns=(("n", "drop"),)))
    (column,) = data.spec.columns
    assert set(column.values) == {"1.0", "2", "M", "S"}
    codes = [1 + column.values.index(value) for value in ("1.0", "2", "2")]
    assert data.test.x[:3, 0].tolist() == codes


def test_numbers_are_kept_as_numbers(tmp_path):
    file = tmp_path / "t.csv"
    cells = {
        "int64": ["1", "-2", ""],
        "double": ["1.5", "NA", " 2e3 "],
        "string": ["1", "2", "07"],
    }
    odd = {"a": "0x1F", "b": "+1", "c": "inf", "d": "1,5", "e": "1_0", "f": "1e999"}
    pd.DataFrame(cells | {name: ["1", "2", cell] for name, cell in odd.items()}).to_csv(
        file, index=False
    )
    frame = read_table("csv", file, storage=StorageOptions(())).frame
    types = {name: str(dtype).split("[")[0] for name, dtype in frame.dtypes.items()}
    assert types == {name: name for name in cells} | dict.fromkeys(odd, "string") | {"b": "double"}
    assert frame["double"].tolist()[::2] == [1.5, 2000.0] and frame["double"].isna()[1]
    assert frame["int64"].isna().tolist() == [False, False, True]
    assert read_table("csv", file).frame["int64"].tolist() == ["1", "-2", ""]


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped_files.os, "posix_fallocate", fail)
    with pytest.raises(UserError, match=r"cache: no file can be written there .* No space left"):
        mapped_files.allocate_array((5,), "float32", 0, str(tmp_path / "cache"))
    assert not [*(tmp_path / "cache").iterdir()]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot write a file for data larger than memory"):
        mapped_files.allocate_array((5,), "float32", 0, str(tmp_path / "file"))
