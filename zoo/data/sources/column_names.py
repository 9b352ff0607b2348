"""Names of the columns of a file, as flags, messages and exported models can have them."""

import itertools
import re
from pathlib import Path

from zoo.data.config import compose_name
from zoo.errors import UserError
from zoo.schema import is_line

_NUMBER = r"[+-]?(\d{1,15}|\d*[.,]\d+)"


def clean_names(path: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Returns names of columns that differ and are not empty, and notes on those that changed."""
    cleaned: dict[str, None] = {}
    notes = []
    for number, written in enumerate((compose_name(name.strip()) for name in names), 1):
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


def describe_numbered_names(path: Path, line: int, names: list[str]) -> list[str]:
    """Returns a note on names of columns that may be a row, of a file that has no names.

    They have decimals or signs, or whole numbers in no order. Years and the numbers of pixels are
    names too.

    Args:
        path: The file.
        line: Number of the line of the names.
        names: The names as they are written.
    """
    numbers = [name.strip() for name in names if re.fullmatch(_NUMBER, name.strip())]
    values = [int(number) for number in numbers if number.isdecimal()]
    if len(values) == len(numbers) and sorted({*values}) in (values, values[::-1]):
        return []
    shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    return [
        f"{path}, line {line} is taken for the names of columns, but has numbers ({shown}): if it "
        "is a row, add a line of names above it"
    ]
