"""What JSON files tell of models and runs; others may have written it, so it is data to check."""

import json
from pathlib import Path
from typing import Any, Literal

from zoo.errors import UserError
from zoo.schema import Count, check

_LARGEST = 64 << 20  # bytes; a vocabulary of a million words takes a quarter of it
_SPEC = {
    "kind": Literal["image", "features", "text", "text_pair"],
    "shape": tuple[Count | None, ...] | None,
    "class_names": tuple[str, ...] | None,
    "feature_names": tuple[str, ...] | None,
}


def read(file: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        UserError: if it holds something else, nests without end or is larger than 64 MiB.
        OSError: if it cannot be read.
    """
    size = file.stat().st_size
    if size > _LARGEST:
        raise UserError(f"{file}: {size:,} bytes; expected at most {_LARGEST:,}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: this is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a JSON object, {{...}}")
    return content


def spec(file: Path) -> dict[str, Any]:
    """The fields of a `zoo.data.spec.Spec` without its tokenizer, from an export's zoo.json.

    Raises:
        UserError: if the file does not have them.
        OSError: if it cannot be read.
    """
    return spec_of(read(file), file)


def spec_of(record: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """The same from what was read from `source`.

    Raises:
        UserError: if it does not have them.
    """
    fields = record.get("spec")
    if not isinstance(fields, dict) or not fields.keys() >= _SPEC.keys():
        raise UserError(f"{source} does not say what the data is: export the model again")
    try:
        # what is empty is (), but for class names, where None is a regression
        made = {name: check(name, fields[name] or None, kind) for name, kind in _SPEC.items()}
    except UserError as error:
        raise UserError(f"{source} does not say what the data is: {error}") from error
    return made | {name: made[name] or () for name in ("shape", "feature_names")}
