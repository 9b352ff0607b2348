"""Lines of CSV files that are no rows: comments, footers, and lines that are drawn."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from zoo.errors import format_count

END_MARK = "\x1a"  # Ctrl-Z, which DOS and old programs write at the end of a file
COMMENT = r"\s*(#|//|--|%)\s?"  # its beginning
_DRAWN = r"[-=+:|_\s]{3,}"
_SHOWN = 40  # characters of a line

T = TypeVar("T")


def mark_last(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yields each item, and whether it is the last one."""
    iterator = iter(items)
    for item in iterator:
        for following in iterator:
            yield item, False
            item = following
        yield item, True


def is_drawn(row: Sequence[str]) -> bool:
    """Whether a row is the line that databases and Markdown draw below the names of columns."""
    cells = [cell for cell in row if cell.strip()]
    return bool(cells) and all(re.fullmatch(_DRAWN, cell) for cell in cells)


def explain_length(
    row: Sequence[str], columns: int, header_end: int, separator: str, *, is_last: bool
) -> str:
    """Returns what a row is that has another number of fields, and what to do.

    Args:
        row: The fields.
        columns: Number of columns.
        header_end: Number of the line that names them.
        separator: What separates the fields.
        is_last: Whether it is the last row of the file.
    """
    shown = separator.join(row)[:_SHOWN]
    if is_drawn(row):
        advice = "it is a line that is drawn: remove it"
    elif re.match(COMMENT, row[0]):
        advice = f"{shown!r} looks like a comment: remove it"
    elif is_last:
        advice = (
            f"{shown!r} is the last row: remove it if it is a footer, and if the file was cut off "
            "get all of it"
        )
    else:
        advice = (
            f"fix one of them (put fields with {separator!r} in quotes, close every quote, and "
            "remove lines above the column names)"
        )
    fields, names = format_count(len(row), "field"), format_count(columns, "column")
    return f"{fields}, but line {header_end} names {names}: {advice}"
