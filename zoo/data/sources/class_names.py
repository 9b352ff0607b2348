"""Names of classes that files of Hugging Face's datasets have beside the numbers of the classes."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_METADATA = b"huggingface"  # key of the metadata of the schema
_LISTS = ("Sequence", "List", "LargeList")


def read_class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Returns the names of the classes of each column that has such (`ClassLabel`).

    Args:
        schema: Schema of a file. Fields of structures have names with a dot.
    """
    content = (schema.metadata or {}).get(_METADATA)
    if not content:
        return {}
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        return dict(_iterate_classes(json.loads(content)["info"]["features"], ""))
    return {}


def _iterate_classes(features: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, feature in features.items():
        if isinstance(feature, list):  # of one kind of feature
            feature = {"_type": "List", "feature": feature[0]}
        if feature.get("_type") in _LISTS and "feature" in feature:
            feature = feature["feature"]
        if feature.get("_type") == "ClassLabel" and feature.get("names"):
            yield prefix + name, tuple(map(str, feature["names"]))
        elif "_type" not in feature:
            yield from _iterate_classes(feature, f"{prefix}{name}.")


def name_classes(cells: pa.ChunkedArray, names: tuple[str, ...]) -> pa.ChunkedArray:
    """Returns the names of classes; negative numbers are missing, as Hugging Face has them.

    Args:
        cells: Numbers of classes, or lists of them.
        names: The names of the classes.

    Raises:
        IndexError: if a number has no name.
    """
    if pa.types.is_nested(cells.type):
        sets = [
            None if found is None else [names[i] if i >= 0 else None for i in found]
            for found in cells.to_pylist()
        ]
        return pa.chunked_array([pa.array(sets, pa.list_(pa.string()))])
    if not pa.types.is_integer(cells.type):
        return cells
    numbers = cells.cast(pa.int64())
    known = pc.if_else(pc.greater_equal(numbers, 0), numbers, pa.scalar(None, pa.int64()))
    return pc.take(pa.chunked_array([pa.array(names)]), known)
