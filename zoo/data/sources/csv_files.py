"""Parses CSV files as spreadsheets, databases and other programs write them.

pyarrow parses them quickly, block by block. What it does not read as spreadsheets do is read again
by Python's csv module, which also finds the line of an error.
"""

import collections
import contextlib
import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from zoo.data.sources.column_names import clean_names, describe_numbered_names
from zoo.data.sources.csv_quotes import has_open_quote, has_text_after_quote
from zoo.data.sources.odd_lines import END_MARK, explain_length, is_drawn, mark_last
from zoo.data.sources.other_formats import reject_json
from zoo.data.sources.text_files import EmptyFileError, TextFile
from zoo.errors import UserError, format_count

BadRowHandler = Callable[[int, str], None]

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE_SIZE = 1 << 18  # characters whose rows tell the separator
_SAMPLE_ROWS = 100
_EXACT_ROWS = 1 << 14  # rows of a table that Python's csv module parses
_OVERLAP = 1 << 12  # bytes of a block that are searched again with the next one


@dataclasses.dataclass(frozen=True)
class CsvLayout:
    """How the rows of a CSV file are written.

    Attributes:
        names: Names of the columns.
        separator: What separates the fields.
        preamble: Number of lines above the column names that are no part of the table.
        header_end: Number of the last line of the column names.
        notes: Sentences for the user on what was decided.
    """

    names: list[str]
    separator: str
    preamble: int
    header_end: int
    notes: tuple[str, ...] = ()


def find_csv_layout(file: TextFile, separator: str | None) -> CsvLayout:
    """Finds out how the rows of a CSV file are written, from the first of them.

    Args:
        file: The file.
        separator: What separates the fields; None to find out.

    Raises:
        UserError: if the file is empty or the names of its columns are invalid.
    """
    path = file.path
    text, is_whole = file.read_start(_SAMPLE_SIZE)
    if not text.strip() and is_whole:
        raise EmptyFileError(f"{path}: the file is empty; expected a line of column names")
    reject_json(path, text)
    text, preamble, named, notes = _blank_preamble(text, path)
    separator = separator or named
    if separator is None:
        separator = _find_separator(text, path)
        if separator != ",":
            notes += (f"{path}: the fields are separated by {_SEPARATORS[separator]}",)
    (_, header_end, header), *rows = _read_sample(text, path, separator)
    sample = [row for _, _, row in rows]
    for _, line, row in [(1, header_end, header), *rows][:2]:
        if is_drawn(row):
            raise UserError(f"{path}, line {line}: this line is drawn, as of a table: remove it")
    if sample and all(len(row) == len(header) + 1 for row in sample):
        if not any(row[-1] for row in sample):
            header = [*header, ""]
        elif _are_row_names([row[0] for row in sample]):
            header = ["", *header]
    names, name_notes = clean_names(path, header)
    notes += (*name_notes, *describe_numbered_names(path, header_end, header))
    return CsvLayout(names, separator, preamble, header_end, notes)


def _blank_preamble(text: str, path: Path) -> tuple[str, int, str | None, tuple[str, ...]]:
    """Returns the text with empty lines in place of those above the column names.

    These are comments that begin with "#", and the line "sep=;" that Excel reads. A line of columns
    may begin with "#" too: it has as many fields as the next line.

    Returns:
        The text; the number of the lines; the separator that they name, or None; and a note.
    """
    lines = split_lines(text)
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    separator = None
    notes: tuple[str, ...] = ()
    if 0 < count < len(lines):
        rest = "".join(lines[count:])
        found = _find_separator(rest, path)
        if lines[count - 1].count(found) == lines[count].count(found) > 0:
            count -= 1
        if count:
            notes = (f"{path}: passed over {format_count(count, 'line')} of comments at the top",)
    elif named := re.fullmatch(r"sep=(.)\r?\n?", lines[0]):
        separator, count = named[1], 1
    return "\n" * count + "".join(lines[count:]), count, separator, notes


def split_lines(text: str) -> list[str]:
    """Splits a text at its line ends, which are kept, as a file is split."""
    return list(io.StringIO(text, newline=""))


def _are_row_names(cells: list[str]) -> bool:
    """Whether cells are numbers or names of rows, to whose column R gives no name."""
    numbered = [[str(start + i) for i in range(len(cells))] for start in (0, 1)]
    has_names = len(set(cells)) == len(cells) > 1 and not any(map(str.isdecimal, cells))
    return cells in numbered or has_names


def _find_separator(text: str, path: Path) -> str:
    """Returns what separates the fields: of what all rows have equally often, the most frequent."""
    best, most_fields = ",", 1
    for separator in _SEPARATORS:
        (*_, header), *rows = _read_sample(text, path, separator)
        widths = collections.Counter(len(row) for _, _, row in rows or [(0, 0, header)])
        width, count = widths.most_common(1)[0]
        # a header may lack the name of the first or of an empty last column
        fits_header = len(header) == width or len(header) == width - 1 > 1
        if width > most_fields and count >= 0.9 * len(rows) and fits_header:
            best, most_fields = separator, width
    return best


def _read_sample(text: str, path: Path, separator: str) -> list[tuple[int, int, list[str]]]:
    """Returns the first rows, as `iterate_rows` yields them."""
    found = iterate_rows(split_lines(text), path, separator)
    rows: list[tuple[int, int, list[str]]] = []
    with contextlib.suppress(UserError):  # the sample may end within quotes
        rows.extend(itertools.islice(found, _SAMPLE_ROWS))
    return rows or [(1, 1, [text])]


def may_differ(file: TextFile, layout: CsvLayout) -> bool:
    """Whether pyarrow may read a file in another way than Python's csv module."""
    if file.has_stray_quotes or not layout.separator.isascii() or _ends_with_mark(file):
        return True
    if not file.quotes:
        return False
    text, _ = file.read_start(_SAMPLE_SIZE)
    if (file.quotes - "".join(split_lines(text)[: layout.preamble]).count('"')) % 2:
        return True
    quote_after_blanks = re.compile(re.escape(layout.separator.encode()) + b' +"')
    with file.open_binary() as content:
        data = b""
        while block := content.read(1 << 22):
            data = data[-_OVERLAP:] + block
            if quote_after_blanks.search(data):
                return True
    return False


def _ends_with_mark(file: TextFile) -> bool:
    """Whether there is an END_MARK in the last bytes; those that are compressed are not read."""
    if file.is_compressed:
        return False
    with file.path.open("rb") as content:
        content.seek(max(file.path.stat().st_size - 4, 0))
        return END_MARK.encode() in content.read()


def parse_quickly(file: TextFile, layout: CsvLayout, block_size: int) -> Iterator[pa.Table]:
    """Yields the rows of a file as tables of strings, parsed by pyarrow.

    Args:
        file: The file.
        layout: How its rows are written.
        block_size: Bytes that are parsed together; a row has to fit in them.

    Raises:
        pyarrow.ArrowInvalid: for rows of another length or longer than a block.
    """
    numbers = [str(number) for number in range(len(layout.names))]
    with contextlib.ExitStack() as stack:
        if file.is_compressed or file.has_escapes or file.encoding != "utf-8-sig":
            content = stack.enter_context(file.open_binary())
        else:  # three times as fast
            content = stack.enter_context(pa.OSFile(str(file.path)))
        batches = pa.csv.open_csv(
            content,
            pa.csv.ReadOptions(
                column_names=numbers, skip_rows=layout.header_end, block_size=block_size
            ),
            pa.csv.ParseOptions(delimiter=layout.separator, newlines_in_values=file.quotes > 0),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(numbers, pa.string())),
        )
        for batch in batches:
            yield pa.Table.from_batches([batch]).rename_columns(layout.names)


def parse_exactly(
    file: TextFile, layout: CsvLayout, on_bad_row: BadRowHandler
) -> Iterator[pa.Table]:
    """Yields the rows of a file as tables of strings, parsed by Python's csv module.

    Args:
        file: The file.
        layout: How its rows are written.
        on_bad_row: Called with the last line number of a row of another length, and a message;
            the row is left out unless it raises an error.

    Raises:
        UserError: if the content is invalid. The message contains the line number.
    """
    names, separator = layout.names, layout.separator
    rows: list[list[str]] = []

    def make_table():
        columns = zip(*rows, strict=True)
        return pa.table([pa.array(column, pa.string()) for column in columns], names)

    for (start, end, row), is_last in mark_last(iterate_file_rows(file, layout)):
        if len(row) == len(names) + 1 and not row[-1]:
            row = row[:-1]
        if len(row) != len(names):
            problem = explain_length(row, len(names), layout.header_end, separator, is_last=is_last)
            on_bad_row(end, f"{_format_lines(file.path, start, end)}: {problem}")
            continue
        rows.append(row)
        if len(rows) == _EXACT_ROWS:
            yield make_table()
            rows = []
    if rows:
        yield make_table()


def iterate_file_rows(file: TextFile, layout: CsvLayout) -> Iterator[tuple[int, int, list[str]]]:
    """Yields the rows below the column names, as `iterate_rows` does."""
    with file.open_text() as lines:
        below = itertools.islice(lines, layout.preamble, None)
        whole = itertools.chain(["\n"] * layout.preamble, below)
        yield from itertools.islice(iterate_rows(whole, file.path, layout.separator), 1, None)


def iterate_row_ends(file: TextFile, layout: CsvLayout) -> Iterator[int]:
    """Yields the number of the last line of each row below the column names."""
    if file.quotes:
        yield from (end for _, end, _ in iterate_file_rows(file, layout))
        return
    with file.open_text() as lines:  # each line is a row, if it is not empty
        for number, line in enumerate(lines, 1):
            if number > layout.header_end and line.strip(f"\r\n{END_MARK}"):
                yield number


def iterate_rows(
    lines: Iterable[str], path: Path, separator: str
) -> Iterator[tuple[int, int, list[str]]]:
    """Yields the first and last line number and the fields of each row that is not empty."""
    csv.field_size_limit(2**31 - 1)  # the default of 131,072 is less than a long document
    row_lines: list[str] = []

    def keep_lines():
        for line in lines:
            row_lines.append(line)
            yield line

    reader = csv.reader(keep_lines(), delimiter=separator, skipinitialspace=True)
    start, last_start = 1, 1
    last_lines: list[str] = []
    try:
        for row in reader:
            last_start, start = start, reader.line_num + 1
            last_lines = row_lines.copy()
            row_lines.clear()
            if len(last_lines) > 1 and has_text_after_quote(last_lines, separator):
                raise UserError(
                    f"{_format_lines(path, last_start, reader.line_num)}: text follows the closing "
                    "quote of a field: close each quote, and write those within fields twice"
                )
            if row and row != [END_MARK]:
                yield last_start, reader.line_num, row
    except csv.Error as error:
        place = _format_lines(path, start, max(start, reader.line_num))
        raise UserError(f"{place}: {error}: fix that line") from None
    if has_open_quote(last_lines, separator):
        place = _format_lines(path, last_start, reader.line_num)
        raise UserError(f"{place}: a quote is not closed before the end of the file: close it")


def _format_lines(path: Path, start: int, end: int) -> str:
    """Formats the position of a row, which has several lines if it has quoted line breaks."""
    return f"{path}, lines {start} to {end}" if end > start else f"{path}, line {start}"
