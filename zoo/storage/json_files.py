"""JSON files: size-limited reads, since a file may come from elsewhere, and atomic writes."""

import json
from pathlib import Path
from typing import Any

from zoo.errors import UserError
from zoo.storage.atomic import write_text

_MAX_BYTES = 64 << 20  # four times the size of a vocabulary of a million words


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        UserError: if the file is not a JSON object, is nested too deeply or exceeds 64 MiB.
        OSError: if the file cannot be read.
    """
    content = _read_content(file)
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a JSON object, {{...}}")
    return content


def read_json_objects(file: Path) -> list[dict[str, Any]]:
    """Reads a JSON array of objects.

    Raises:
        UserError: if the file is none, is nested too deeply or exceeds 64 MiB.
        OSError: if the file cannot be read.
    """
    content = _read_content(file)
    if not isinstance(content, list) or any(not isinstance(item, dict) for item in content):
        raise UserError(f"{file}: expected a JSON array of objects, [{{...}}, ...]")
    return content


def _read_content(file: Path) -> Any:
    """Reads a JSON file of at most 64 MiB."""
    size = file.stat().st_size
    if size > _MAX_BYTES:
        raise UserError(f"{file}: {size:,} bytes; expected at most {_MAX_BYTES:,}")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file}: not valid JSON: {error}: copy the folder again, or train or export again"
        ) from error


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes a record as a JSON file, atomically."""
    write_text(path, json.dumps(record, indent=2) + "\n")
