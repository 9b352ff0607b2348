"""Parses CSV files as spreadsheets, databases and other programs write them.

pyarrow parses them quickly. What it does not read as spreadsheets do is read again by Python's csv
module, which also finds the line of an error.
"""

import collections
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from zoo.data.cells import STRING
from zoo.errors import UserError
from zoo.schema import is_line

BadRowHandler = Callable[[int, str], None]

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_BLOCK_SIZE = 1 << 24  # bytes; a row has to fit in a block
_SAMPLE_SIZE = 1 << 18  # characters whose rows tell the separator
_SAMPLE_ROWS = 100


def parse_csv(
    text: str, file: Path, separator: str | None, on_bad_row: BadRowHandler
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Parses the content of a CSV file.

    Args:
        text: The content.
        file: The file, for messages.
        separator: What separates the fields; None to find out.
        on_bad_row: Called with the last line number of a row of another length, and a message;
            the row is left out unless it raises an error.

    Returns:
        The cells as strings, the separator, and notes on what was decided.

    Raises:
        UserError: if the content is invalid. The message contains the line number.
    """
    if not text.strip():
        raise UserError(f"{file}: the file is empty; expected a line of column names")
    text, named, notes = blank_preamble(text, file)
    separator = separator or named
    if separator is None:
        separator = _find_separator(text, file)
        if separator != ",":
            notes += (f"{file}: the fields are separated by {_SEPARATORS[separator]}",)
    (_, header_end, header), *rows = _read_sample(text, file, separator)
    sample = [row for _, _, row in rows]
    if sample and all(len(row) == len(header) + 1 for row in sample):
        if not any(row[-1] for row in sample):
            header = [*header, ""]
        elif _are_row_names([row[0] for row in sample]):
            header = ["", *header]
    names, name_notes = _clean_names(file, header)
    frame = _parse_quickly(text, separator, names, header_end)
    if frame is None:
        frame = _parse_exactly(text, file, separator, names, on_bad_row)
    empty = [n for n in names if n.startswith("unnamed_") and (frame[n] == "").all()]
    notes += tuple(note for note in name_notes if note.split()[-1] not in empty)
    return frame.drop(columns=empty), separator, notes


def blank_preamble(text: str, file: Path) -> tuple[str, str | None, tuple[str, ...]]:
    """Returns the text with empty lines in place of those above the column names.

    These are comments that begin with "#", and the line "sep=;" that Excel reads. A line of columns
    may begin with "#" too: it has as many fields as the next line.

    Returns:
        The text; the separator that it names, or None; and a note.
    """
    lines = text[:_SAMPLE_SIZE].splitlines(keepends=True)
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    separator = None
    notes: tuple[str, ...] = ()
    if 0 < count < len(lines):
        rest = "".join(lines[count:])
        found = _find_separator(rest, file)
        if lines[count - 1].count(found) == lines[count].count(found) > 0:
            count -= 1
        if count:
            notes = (f"{file}: the first {count} lines are comments",)
    elif named := re.fullmatch(r"sep=(.)\r?\n?", lines[0]):
        separator, count = named[1], 1
    start = sum(map(len, lines[:count]))
    return "\n" * count + text[start:], separator, notes


def _are_row_names(cells: list[str]) -> bool:
    """Whether cells are numbers or names of rows, to whose column R gives no name."""
    numbered = [[str(start + i) for i in range(len(cells))] for start in (0, 1)]
    has_names = len(set(cells)) == len(cells) > 1 and not any(map(str.isdecimal, cells))
    return cells in numbered or has_names


def _find_separator(text: str, file: Path) -> str:
    """Returns what separates the fields: of what all rows have equally often, the most frequent."""
    best, most_fields = ",", 1
    for separator in _SEPARATORS:
        (*_, header), *rows = _read_sample(text, file, separator)
        widths = collections.Counter(len(row) for _, _, row in rows or [(0, 0, header)])
        width, count = widths.most_common(1)[0]
        # a header may lack the name of the first or of an empty last column
        fits_header = len(header) == width or len(header) == width - 1 > 1
        if width > most_fields and count >= 0.9 * len(rows) and fits_header:
            best, most_fields = separator, width
    return best


def _read_sample(text: str, file: Path, separator: str) -> list[tuple[int, int, list[str]]]:
    """Returns the first rows, as `iterate_rows` yields them; the last line may be cut off."""
    sample = text[:_SAMPLE_SIZE]
    if len(sample) < len(text):
        sample = sample[: max(sample.rfind("\n"), 1)]
    rows: list[tuple[int, int, list[str]]] = []
    with contextlib.suppress(UserError):  # the sample may end within quotes
        rows.extend(itertools.islice(iterate_rows(sample, file, separator), _SAMPLE_ROWS))
    return rows or [(1, 1, [sample])]


def _clean_names(file: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Returns names of columns that differ and are not empty, and notes on those that changed."""
    cleaned: list[str] = []
    notes = []
    for number, name in enumerate(map(str.strip, names), 1):
        if not is_line(name):
            raise UserError(f"{file}, line 1: {name[:40]!r} is not a valid column name")
        new = name or f"unnamed_{number}"
        copies = itertools.count(1)
        while new in cleaned:
            new = f"{name}.{next(copies)}"
        if not name:
            notes.append(f"{file}: column {number} has no name and is called {new}")
        elif new != name:
            notes.append(f"{file}: there are several columns {name!r}; number {number} is {new!r}")
        cleaned.append(new)
    return cleaned, notes


def _parse_quickly(
    text: str, separator: str, names: list[str], header_end: int
) -> pd.DataFrame | None:
    """Parses CSV by pyarrow, or returns None where csv may read it in another way."""
    content = text.encode()
    may_differ = content.count(b'"') % 2 or re.search(re.escape(separator) + r" +\"", text)
    if may_differ:
        return None
    numbers = [str(number) for number in range(len(names))]
    string = pa.string()
    try:
        table = pa.csv.read_csv(
            io.BytesIO(content),
            pa.csv.ReadOptions(column_names=numbers, skip_rows=header_end, block_size=_BLOCK_SIZE),
            pa.csv.ParseOptions(delimiter=separator, newlines_in_values='"' in text),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(numbers, string)),
        )
    except pa.ArrowInvalid:
        return None
    frame = table.to_pandas(types_mapper={string: STRING}.get)
    return frame.set_axis(names, axis=1)


def _parse_exactly(
    text: str, file: Path, separator: str, names: list[str], on_bad_row: BadRowHandler
) -> pd.DataFrame:
    """Parses CSV by Python's csv module."""
    rows = []
    for start, end, row in itertools.islice(iterate_rows(text, file, separator), 1, None):
        if len(row) == len(names) + 1 and not row[-1]:
            row = row[:-1]
        if len(row) != len(names):
            on_bad_row(
                end,
                f"{_format_lines(file, start, end)}: {len(row)} fields, but the first line "
                f"names {len(names)} columns: fix that line (put fields with "
                f"{separator!r} in quotes, and close every quote)",
            )
            continue
        rows.append(row)
    return pd.DataFrame(rows, columns=names, dtype=STRING)


def iterate_rows(text: str, file: Path, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yields the first and last line number and the fields of each row that is not empty."""
    csv.field_size_limit(2**31 - 1)  # the default of 131,072 is less than a long document
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    start = last_start = 1
    try:
        for row in reader:
            last_start, start = start, reader.line_num + 1
            if row:
                yield last_start, reader.line_num, row
    except csv.Error as error:
        place = _format_lines(file, start, max(start, reader.line_num))
        raise UserError(f"{place}: {error}: fix that line") from None
    if _has_open_quote(lines[last_start - 1 :], separator):
        place = _format_lines(file, last_start, len(lines))
        raise UserError(f"{place}: a quote is not closed before the end of the file: close it")


def _has_open_quote(lines: list[str], separator: str) -> bool:
    """Whether the last row of a file ends within quotes; only a strict reader reports this."""
    try:
        list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _format_lines(file: Path, start: int, end: int) -> str:
    """Formats the position of a row, which has several lines if it has quoted line breaks."""
    return f"{file}, lines {start} to {end}" if end > start else f"{file}, line {start}"
