"""Reads JSON Lines: an object on each line."""

import functools
import itertools
import json
from collections.abc import Iterator
from typing import Any

from zoo.data.config import compose_name
from zoo.data.sources.csv_files import BadRowHandler
from zoo.data.sources.odd_lines import END_MARK
from zoo.data.sources.text_files import TextFile
from zoo.errors import UserError
from zoo.schema import is_line

_BLANKS = " \t\r\n" + END_MARK
_JSON_ROWS = 1 << 14  # rows that are read together


def iterate_json_blocks(
    text: TextFile, on_bad_row: BadRowHandler
) -> Iterator[tuple[dict[str, list[Any]], int]]:
    """Yields columns of the JSON objects of a file; those in objects get names with a dot."""
    rows = (row for _, row in iterate_objects(text, on_bad_row))
    while block := list(itertools.islice(rows, _JSON_ROWS)):
        names = dict.fromkeys(name for row in block for name in row)
        yield {name: [row.get(name) for row in block] for name in names}, len(block)


def iterate_objects(
    text: TextFile, on_bad_row: BadRowHandler
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line number and the object of each line that is not blank."""
    repeated: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=functools.partial(_join_pairs, repeated))
    valid_names: set[str] = set()
    with text.open_text(newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip(_BLANKS):
                continue
            place = f"{text.path}, line {number}"
            repeated.clear()
            try:
                row = decoder.decode(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict) and repeated:
                on_bad_row(number, f"{place}: the key {repeated[0][:40]!r} is there twice")
                continue
            if not isinstance(row, dict):
                on_bad_row(
                    number,
                    f"{place}: expected a JSON object, {{...}}, on each line, "
                    "without commas or brackets around it (jq -c .[] writes a list so)",
                )
                continue
            try:
                row = _flatten(row)
            except UserError as error:
                on_bad_row(number, f"{place}: {error}")
                continue
            new_names = row.keys() - valid_names
            if invalid := [key for key in row if key in new_names and not is_line(key)]:
                name = invalid[0][:40]
                on_bad_row(number, f"{place}: {name!r} is not a valid column name")
                continue
            valid_names |= new_names
            yield number, row


def iterate_object_lines(text: TextFile) -> Iterator[int]:
    """Yields the number of each line that is not blank, without reading its object."""
    with text.open_text(newline="\n") as lines:
        yield from (number for number, line in enumerate(lines, 1) if line.strip(_BLANKS))


def _join_pairs(repeated: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object, and adds its keys that are there twice to `repeated`."""
    joined = dict(pairs)
    if len(joined) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated += [key for key in joined if keys.count(key) > 1]
    return joined


def _flatten(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns {"a.b": 1} for {"a": {"b": 1}}, and None for NaN.

    Raises:
        UserError: if two values have the same name.
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = prefix + compose_name(key)
        nested = _flatten(value, f"{name}.") if isinstance(value, dict) else None
        if both := (nested or {name: 0}).keys() & flat.keys():
            raise UserError(f"{min(both)!r} is a key, and one within an object too: rename one")
        if nested is None:
            flat[name] = None if value != value else value
        else:
            flat |= nested
    return flat
