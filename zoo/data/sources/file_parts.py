"""Files that are parts of one table, as the numbers in their names tell.

| written by | as in |
|---|---|
| TensorFlow, Beam, Hugging Face | train-00000-of-00002.csv, with or without a hash |
| Spark | part-00000-6f6c4f2e-c000.snappy.parquet |
| people, DuckDB | train_1.csv, train-02.csv, 0000.parquet |
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from zoo.errors import UserError, shorten_names

_END = r"(?P<end>(\.[a-z]\w*)+)"
_PATTERNS = (
    rf"(?P<stem>.*?)(?P<number>\d+)(?P<count>-of-\d+)(-[0-9a-f]{{16}})?{_END}",
    rf"(?P<stem>part-)(?P<number>\d{{4,}})(-[^.]*)?(?P<count>){_END}",
    rf"(?P<stem>.*?)(?P<number>\d+)(?P<count>){_END}",
)
_FIRST_YEAR = 1900  # numbers from it on need not be consecutive


class FilePart(NamedTuple):
    """What the name of a file says of the table that it is a part of.

    Attributes:
        stem: The name before the number, or before the suffixes if it has none, in lower case.
        pattern: The name that all parts have, with "*" in place of the number.
        number: The number; None without one.
        total: How many parts there are, as far as the name tells; otherwise 0.
    """

    stem: str
    pattern: str
    number: int | None = None
    total: int = 0


def parse_part_name(name: str) -> FilePart:
    """Returns what the name of a file says.

    Example:
        >>> parse_part_name("train-00001-of-00002.csv")
        FilePart(stem='train-', pattern='train-*-of-00002.csv', number=1, total=2)
    """
    for pattern in _PATTERNS:
        if match := re.fullmatch(pattern, name, re.IGNORECASE):
            stem, number, count, end = match.group("stem", "number", "count", "end")
            digits = count.removeprefix("-of-") or "0"
            return FilePart(stem.lower(), f"{stem}*{count}{end}", int(number), int(digits))
    return FilePart(name.lower().partition(".")[0], name)


def list_parts(file: Path) -> list[Path]:
    """Returns the files that a file belongs to, itself among them, in order.

    These are those whose names have their number, as train-00000-of-00002.csv; others are alone.

    Raises:
        UserError: if one of them is missing.
    """
    part = parse_part_name(file.name)
    if not part.total:
        return [file]
    found = file.parent.iterdir()
    parts = sort_parts(x for x in found if parse_part_name(x.name).pattern == part.pattern)
    check_parts(parts)
    return parts


def sort_parts(files: Iterable[Path]) -> list[Path]:
    """Returns the parts of a table in the order of their numbers, and of their names."""
    return sorted(files, key=lambda file: (parse_part_name(file.name).number or 0, file.name))


def check_parts(files: list[Path]) -> tuple[str, ...]:
    """Returns a note on numbers that are missing between those of the parts of a table.

    Raises:
        UserError: if the names tell how many parts there are, and some are missing.
    """
    first = parse_part_name(files[0].name)
    numbers = {parse_part_name(file.name).number or 0 for file in files}
    start = 1 if first.total in numbers else 0  # some count from 1
    expected = (
        range(start, start + first.total) if first.total else range(min(numbers), max(numbers))
    )
    missing = [f"{number}" for number in expected if number not in numbers]
    if not missing:
        return ()
    folder, shown = files[0].parent, shorten_names(missing)
    if first.total:
        raise UserError(
            f"{folder / first.pattern}: {len(files)} of {first.total} files are there; missing: "
            f"{shown}: add them, or rename the others if these are all"
        )
    if first.stem == "part-" or min(numbers) >= _FIRST_YEAR:  # Spark writes no empty parts
        return ()
    return (f"{folder / first.pattern}: there are no files with the numbers {shown}",)
