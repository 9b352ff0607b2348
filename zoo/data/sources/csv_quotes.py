"""Finds out how a CSV file writes the quotes within its fields, and quotes that are wrong."""

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoo.data.sources.text_files import TextFile, survey_text_file

_BLOCK_SIZE = 1 << 22  # bytes that are looked at together
_QUOTE = b'"'[0]
_EDGES = b',;\t|"\r\n '  # beside a quote that opens or closes a field


def survey_csv_file(path: Path, encoding: str | None, separator: str | None) -> TextFile:
    """Finds out the encoding of a CSV file as `survey_text_file` does, and how it writes quotes.

    Args:
        path: The file.
        encoding: Its encoding; None to find out.
        separator: What separates the fields; None for a usual one.

    Raises:
        UserError: if the file cannot be read, or is no text. The message contains the line number.
    """
    file = survey_text_file(path, encoding)
    if not file.quotes or _are_quotes_doubled(file, separator):
        return file
    escaped = dataclasses.replace(file, has_escapes=True)
    if _are_quotes_doubled(escaped, separator):
        note = f'{path}: quotes within fields are written as \\"'
        return dataclasses.replace(escaped, notes=(*file.notes, note))
    return dataclasses.replace(file, has_stray_quotes=True)


def _are_quotes_doubled(file: TextFile, separator: str | None) -> bool:
    """Whether all quotes begin or end a field, or are written twice within one."""
    edges = np.frombuffer(_EDGES + (separator or "").encode(), np.uint8)
    is_edge = np.isin(np.arange(256), edges)
    count = 0
    for block in _iterate_line_blocks(file):
        data = np.frombuffer(block, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        closes = (np.arange(len(quotes)) + count) % 2 == 1
        beside = np.where(closes, quotes + 1, quotes - 1)  # a block begins and ends with a line
        if not is_edge[data[beside]].all():
            return False
        count += len(quotes)
    return count % 2 == 0


def _iterate_line_blocks(file: TextFile) -> Iterator[bytes]:
    """Yields the content as blocks of lines, each with a line end before it and at its end."""
    rest = b"\n"
    with file.open_binary() as content:
        while block := content.read(_BLOCK_SIZE):
            if rest == b"\n":
                block = block.removeprefix(b"\xef\xbb\xbf")
            data = rest + block
            end = max(data.rfind(b"\n"), data.rfind(b"\r"))
            if end > 0:
                yield data[: end + 1]
                data = b"\n" + data[end + 1 :]
            rest = data
    yield rest + b"\n"


def has_open_quote(lines: list[str], separator: str) -> bool:
    """Whether the last row of a file ends within quotes."""
    return "unexpected end" in _read_strictly(lines, separator)


def has_text_after_quote(lines: list[str], separator: str) -> bool:
    """Whether a field of a row goes on after its closing quote: a quote before is not closed.

    The lines between are read as one field then. Blanks there are harmless.
    """
    before_edge = rf'" +(?=[\r\n{re.escape(separator)}])'
    return "expected after" in _read_strictly(
        [re.sub(before_edge, '"', line) for line in lines], separator
    )


def _read_strictly(lines: list[str], separator: str) -> str:
    """Returns the error of a strict reader, which alone reports wrong quotes, or ""."""
    try:
        list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return str(error)
    return ""
