"""The fingerprint of a dataset: small, quick to compute, and another one for other data.

It tells a run that goes on whether its data is still what it was trained on.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, Split, Stream, has_known_labels, read_labels
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.row_hashes import hash_rows
from zoo.data.tables.row_texts import RowTexts
from zoo.data.texts.tokenizer_settings import tokenizer_to_record

_SAMPLED_ROWS = 1_000_000  # rows of a split in memory whose contents are hashed
_SAMPLED_FILES = 1_000  # files of a split whose contents are hashed
_SAMPLED_BYTES = 1 << 16  # of each file
_SHOWN = 10  # classes or columns in a message
_SPLITS = ("train", "validation", "test")


def compute_fingerprint(data: Data, spec: Spec) -> dict[str, Any]:
    """Returns what identifies a dataset, as an object for a JSON file.

    Labels, the rows of tables and the choice of the held-out rows are hashed whole. Of other
    contents, up to a million examples, or the first 64 KiB of up to 1,000 files, are hashed for
    each split. Times and the place
    of the files do not count. TensorFlow Datasets are identified by name, version, and the sizes of
    their files.

    Args:
        data: The data before it is prepared, from `zoo.data.loading.read_data`.
        spec: The spec of the prepared data, with its columns or its tokenizer.
    """
    fingerprint: dict[str, Any] = {
        "dataset": data.name,
        "version": data.version,
        "classes": None if spec.class_names is None else list(spec.class_names),
        "columns": {column.name: column.kind for column in spec.columns},
        "encoding": _hash_texts([_format_column(column) for column in spec.columns]),
    }
    if added := data.settings.get("added"):
        fingerprint["added"] = list(added)
    if spec.tokenizer:
        content = json.dumps(tokenizer_to_record(spec.tokenizer), sort_keys=True)
        fingerprint["vocabulary"] = len(spec.tokenizer.vocabulary)
        fingerprint["tokenizer"] = _hash_texts([content])
    splits = {name: getattr(data, name) for name in _SPLITS}
    tables = {
        name: split.x
        for name, split in splits.items()
        if isinstance(split, Arrays) and isinstance(split.x, FrameRows | RowTexts)
    }
    hashes = hash_rows(tables, [column.name for column in spec.columns])
    for name, split in splits.items():
        fingerprint[name] = _describe_labels(split)
        if name in hashes:
            fingerprint[name]["cells"] = _hash_bytes(hashes[name].tobytes())
        else:
            fingerprint[name]["inputs"] = _hash_inputs(split, data.name)
        if isinstance(split, Arrays) and split.weights is not None:
            fingerprint[name]["weights"] = _hash_bytes(split.weights.tobytes())
    return fingerprint


def compare_labels(old: dict[str, Any], data: Data) -> list[str]:
    """Returns how the splits of data differ from those of a fingerprint, in words; may be empty.

    Only the numbers of examples and the labels are compared, whose hash is the same however the
    inputs are read. Classes that are others are no difference of the splits.
    """
    names = data.spec.class_names
    if old.get("classes") != (None if names is None else list(names)):
        return []
    differences = []
    for name in _SPLITS:
        new = _describe_labels(getattr(data, name))
        differences += _compare_splits(name, {**new, **_get_dict(old, name)}, new)
    return differences


def compare_fingerprints(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns what differs between two fingerprints, in words; empty if they are the same."""
    differences = [
        f"{name} was {_format_value(old.get(name))}, is {_format_value(new.get(name))}"
        for name in ("dataset", "added", "version", "classes")
        if old.get(name) != new.get(name)
    ]
    differences += _compare_columns(_get_dict(old, "columns"), _get_dict(new, "columns"))
    for name in _SPLITS:
        differences += _compare_splits(name, _get_dict(old, name), _get_dict(new, name))
    if old.get("vocabulary") != new.get("vocabulary"):
        differences.append(
            f"the vocabulary had {old.get('vocabulary')} tokens, has {new.get('vocabulary')}"
        )
    elif old.get("tokenizer") != new.get("tokenizer"):
        differences.append("the vocabulary has other tokens, or the same in another order")
    if not differences and old.get("encoding") != new.get("encoding"):
        differences.append("the columns are encoded in another way")
    return differences


def _get_dict(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _compare_columns(old: dict[str, str], new: dict[str, str]) -> list[str]:
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    kinds = [f"{name!r} was {old.get(name, 'not there')}, is {new.get(name, 'not there')}"
             for name in changed[:_SHOWN]]  # fmt: skip
    if changed[_SHOWN:]:
        kinds.append(f"{len(changed) - _SHOWN} more columns differ")
    if not changed and list(old) != list(new):
        kinds.append("the columns are in another order")
    return kinds


def _compare_splits(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    if old.get("examples") != new.get("examples"):
        return [f"the {name} split had {old.get('examples')} examples, has {new.get('examples')}"]
    # before the cells of tables were hashed as numbers, there were "inputs" of them
    parts = [part for part in ("inputs", "cells") if part in old and part in new]
    changed = [x for x in (*parts, "labels", "weights") if old.get(x) != new.get(x)]
    changed = ["inputs" if part == "cells" else part for part in changed]
    return [f"the {name} split has other {' and '.join(changed)}"] if changed else []


def _format_value(value: Any) -> str:
    if not isinstance(value, list):
        return str(value or "none")
    more = f", ... ({len(value)})" if value[_SHOWN:] else ""
    return ", ".join(map(str, value[:_SHOWN])) + more


def _format_column(column: Any) -> str:
    """Formats a column; its numbers may differ in their last places between machines."""
    numbers = f"{column.center:.6g} {column.scale:.6g}"
    return f"{numbers} {dataclasses.replace(column, center=0.0, scale=1.0)}"


def _describe_labels(split: Split) -> dict[str, Any]:
    """Returns the part of the fingerprint of a split that depends on its labels only."""
    labels = read_labels(split).tobytes() if has_known_labels(split) else b""
    return {"examples": len(split), "labels": _hash_bytes(labels)}


def _hash_inputs(split: Split, dataset: str) -> str:
    if isinstance(split, Stream):
        return _hash_stream(split, dataset)
    rows = _choose_rows(len(split), _SAMPLED_ROWS)
    sample = split.x[:] if rows is None else split.x[rows]
    if sample.dtype == object:
        return _hash_texts(map(str, sample.ravel()))
    return _hash_bytes(np.ascontiguousarray(sample).tobytes())


def _hash_stream(split: Stream, dataset: str) -> str:
    """Hashes the choice of the rows and their files: names, and sizes and contents of a sample."""
    root = os.path.expanduser(dataset.partition(":")[2])
    if os.path.isfile(root):  # a table of paths
        root = os.path.dirname(root)
    if not split.paths:  # the examples share files, whose bytes depend on how they were written
        rows = np.ones(split.total, bool) if split.rows is None else split.rows
        sizes = [f"{os.path.basename(file)} {_read_size(file)}" for file in split.files]
        return _hash_texts([_hash_bytes(np.packbits(rows).tobytes()), *sizes])
    paths = split.list_paths()
    chosen = _choose_rows(len(paths), _SAMPLED_FILES)
    sample = paths if chosen is None else [paths[row] for row in chosen]
    names = (path.removeprefix(root).lstrip(os.sep) for path in paths)
    contents = (f"{_read_size(path)} {_hash_bytes(_read_start(path))}" for path in sample)
    return _hash_texts([_hash_texts(names), _hash_texts(contents)])


def _choose_rows(size: int, limit: int) -> np.ndarray | None:
    """Returns `limit` row numbers at even distances; None for all if there are no more."""
    return None if size <= limit else np.linspace(0, size - 1, limit).astype(int)


def _read_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # it is reported when the examples are read
        return -1


def _read_start(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_SAMPLED_BYTES)
    except OSError:
        return b""


def _hash_texts(texts: Iterable[str]) -> str:
    return _hash_bytes("\x1f".join(texts).encode("utf-8", "surrogatepass"))


def _hash_bytes(content: bytes) -> str:
    """Returns 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]
