"""Names of the columns of a file, as flags, messages and exported models can have them."""

import itertools
from pathlib import Path

from zoo.errors import UserError
from zoo.schema import is_line


def clean_names(path: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Returns names of columns that differ and are not empty, and notes on those that changed."""
    cleaned: dict[str, None] = {}
    notes = []
    for number, written in enumerate(map(str.strip, names), 1):
        name = written if is_line(written) else " ".join(written.replace("\0", " ").split())
        if not is_line(name):
            raise UserError(f"{path}, line 1: {name[:40]!r} is not a valid column name")
        if name != written:
            notes.append(f"{path}: the column {written!r} is called {name!r}")
        new = name or f"unnamed_{number}"
        copies = itertools.count(1)
        while new in cleaned:
            new = f"{name}.{next(copies)}"
        if not name:
            notes.append(f"{path}: column {number} has no name and is called {new}")
        elif new != name:
            notes.append(f"{path}: there are several columns {name!r}; number {number} is {new!r}")
        cleaned[new] = None
    return list(cleaned), notes
