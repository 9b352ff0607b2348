"""Writes prepared data to the files of a folder, and reads it from there as it was."""

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from zoo.data.spec import spec_from_record, spec_to_record
from zoo.data.splits import Arrays, Data, Split, iterate_raw_batches
from zoo.data.tables.columns import column_to_record, columns_from_record
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.row_texts import RowTexts
from zoo.data.tables.table_encoding import TableRecords
from zoo.data.texts.tokenizer_settings import tokenizer_from_record, tokenizer_to_record
from zoo.errors import UserError, one_line
from zoo.storage.json_files import read_json, write_json

_RECORD = "data.json"
_RAW_TEST = "raw_test.arrow"
_SPLITS = ("train", "validation", "test")
_ARRAYS = ("x", "y", "weights")  # of a prepared split
_BATCH_SIZE = 512


class UnstorableDataError(Exception):
    """The data cannot be written to files; the message says why."""


class DamagedFileError(Exception):
    """A file is missing or not what was written; the message names it."""


def write_data(data: Data, folder: Path) -> None:
    """Writes data that is in memory.

    Args:
        data: Result of `zoo.data.loading.load_data`.
        folder: An empty folder.

    Raises:
        UnstorableDataError: if it is streamed or mapped, or has cells that are Python values.
        OSError: if the files cannot be written.
    """
    arrays = {}
    for split_name in _SPLITS:
        split = getattr(data, split_name)
        if not isinstance(split, Arrays) or isinstance(split.x, np.memmap):
            raise UnstorableDataError("it is larger than --memory_budget")
        for name in _ARRAYS:
            if (values := getattr(split, name)) is not None:
                arrays[f"{split_name}_{name}"] = values
    raw = None
    if data.raw_test is not None:
        raw, table, targets = _describe_raw(data.raw_test)
        arrays["raw_y"] = targets
        raw["checksum"] = _write_table(table, folder / _RAW_TEST)
    stored = {}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
        stored[name] = _compute_checksum(np.ascontiguousarray(values))
    tokenizer = data.spec.tokenizer
    record = {
        "name": data.name,
        "version": data.version,
        "spec": spec_to_record(data.spec),
        "tokenizer": tokenizer_to_record(tokenizer) if tokenizer else None,
        "splits": data.splits,
        "notes": list(data.notes),
        "settings": dict(data.settings),
        "fingerprint": dict(data.fingerprint),
        "arrays": stored,
        "raw_test": raw,
    }
    write_checked_record(folder / _RECORD, record)


def read_data_files(folder: Path) -> Data:
    """Reads what `write_data` has written.

    Raises:
        DamagedFileError: if a file is missing or not what was written.
    """
    try:
        record = read_checked_record(folder / _RECORD)
        stored = record["arrays"]
        with ThreadPoolExecutor() as pool:
            loaded = pool.map(lambda name: _read_array(folder, name, stored[name]), stored)
            arrays = dict(zip(stored, loaded, strict=True))
        tokenizer = record["tokenizer"] and tokenizer_from_record(record["tokenizer"])
        splits = {
            name: Arrays(
                arrays[f"{name}_x"], arrays[f"{name}_y"], weights=arrays.get(f"{name}_weights")
            )
            for name in _SPLITS
        }
        raw = record["raw_test"]
        return Data(
            record["name"],
            record["version"],
            spec_from_record(record, folder / _RECORD, tokenizer),
            splits["train"],
            splits["validation"],
            splits["test"],
            record["splits"],
            tuple(record["notes"]),
            raw and _restore_raw(raw, _read_table(folder / _RAW_TEST, raw), arrays["raw_y"]),
            _to_tuples(record["settings"]),
            record["fingerprint"],
        )
    except (OSError, UserError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DamagedFileError(f"{folder / _RECORD}: {error}") from error


def write_checked_record(file: Path, record: dict[str, Any]) -> None:
    """Writes a record with its checksum as a JSON file."""
    write_json(file, {"record": record, "checksum": _compute_record_checksum(record)})


def read_checked_record(file: Path) -> dict[str, Any]:
    """Reads what `write_checked_record` has written.

    Raises:
        DamagedFileError: if the file is missing or not what was written.
    """
    try:
        content = read_json(file)
        if _compute_record_checksum(content["record"]) != content["checksum"]:
            raise ValueError("it has changed")
        return content["record"]
    except (OSError, UserError, KeyError, ValueError) as error:
        raise DamagedFileError(f"{file}: {one_line(error)}") from error


def _compute_record_checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _describe_raw(split: Split) -> tuple[dict[str, Any], pa.Table, np.ndarray]:
    """Returns what restores the test split as clients send it: a record, its cells, its targets."""
    if not isinstance(split, Arrays):
        batches = list(iterate_raw_batches(split, _BATCH_SIZE))
        targets = np.concatenate([y for _, y in batches])
        return {"kind": "texts"}, _store_texts(np.concatenate([x for x, _ in batches])), targets
    if isinstance(split.x, np.ndarray):
        return {"kind": "texts"}, _store_texts(split.x), split.y
    table = _store_rows(split.x.rows)
    if isinstance(split.x, RowTexts):
        return {"kind": "columns", "names": list(split.x.names)}, table, split.y
    columns = [column_to_record(column) for column in split.x.columns]
    return {"kind": "records", "columns": columns}, table, split.y


def _restore_raw(raw: dict[str, Any], table: pa.Table, targets: np.ndarray) -> Arrays:
    if raw["kind"] == "texts":
        texts = [np.array(column.to_pylist(), object) for column in table.columns]
        return Arrays(texts[0] if len(texts) == 1 else np.stack(texts, axis=1), targets)
    rows = FrameRows(table.to_pandas(types_mapper=pd.ArrowDtype))
    if raw["kind"] == "columns":
        return Arrays(RowTexts(rows, tuple(raw["names"])), targets)
    return Arrays(TableRecords(rows, columns_from_record(raw["columns"])), targets)


def _store_texts(texts: np.ndarray) -> pa.Table:
    """Returns texts or pairs, as str or as UTF-8 bytes, as a table."""
    columns = texts.reshape(len(texts), -1).T
    try:
        return pa.table([pa.array(x.tolist()) for x in columns], [*map(str, range(len(columns)))])
    except UnicodeEncodeError as error:
        raise UnstorableDataError("its texts have halves of characters") from error


def _store_rows(rows: FrameRows) -> pa.Table:
    frame = rows.to_frame()
    for name, cells in frame.items():
        if not isinstance(cells.dtype, pd.ArrowDtype):
            raise UnstorableDataError(f"column {name!r} has several kinds of values")
    return pa.table({str(name): pa.array(cells.array) for name, cells in frame.items()})


def _write_table(table: pa.Table, file: Path) -> int:
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table)
    return zlib.crc32(file.read_bytes())


def _read_table(file: Path, raw: dict[str, Any]) -> pa.Table:
    content = file.read_bytes()
    if zlib.crc32(content) != raw["checksum"]:
        raise ValueError(f"{file.name} has changed")
    return pa.ipc.open_file(pa.py_buffer(content)).read_all()


def _read_array(folder: Path, name: str, checksum: int) -> np.ndarray:
    array = np.load(folder / f"{name}.npy", allow_pickle=False)
    if _compute_checksum(array) != checksum:
        raise ValueError(f"{name}.npy has changed")
    return array


def _compute_checksum(array: np.ndarray) -> int:
    """Returns the CRC-32 of dtype, shape and content."""
    start = zlib.crc32(f"{array.dtype} {array.shape}".encode())
    return zlib.crc32(array.reshape(-1).view("uint8").data, start)


def _to_tuples(value: Any) -> Any:
    """Returns a value of JSON with tuples in place of lists."""
    if isinstance(value, dict):
        return {key: _to_tuples(item) for key, item in value.items()}
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value
