"""Reads the files of tables: CSV, TSV, JSON Lines and Parquet, compressed by gzip or not."""

import dataclasses
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import charset_normalizer
import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet

from zoo.data.cells import STRING
from zoo.data.sources.csv_files import BadRowHandler, blank_preamble, iterate_rows, parse_csv
from zoo.errors import UserError, one_line
from zoo.schema import is_line, is_text

TABLE_KINDS = ("csv", "tsv", "jsonl", "parquet")

_MEMORY_FACTOR = 5  # memory per byte of a file: 5 for texts, up to 20 for short numbers
_SAMPLE_SIZE = 1 << 18  # bytes around the first one that is not UTF-8
# those that spreadsheets still write; among all of Python's, a short file may look like any
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "cp1253", "shift_jis", "gb18030", "big5", "cp949"]


@dataclasses.dataclass(frozen=True)
class Table:
    """The content of a file.

    Attributes:
        path: The file.
        kind: One of `TABLE_KINDS`, or "tfds".
        frame: The columns by name. Cells are strings, or in a column of JSON Lines with other
            values than strings, Python values. A missing cell is null.
        separator: What separates the fields of a CSV file.
        notes: Sentences for the user on what was decided.
        bad_lines: Last line numbers of the rows that are left out.
    """

    path: Path
    kind: str
    frame: pd.DataFrame
    separator: str = ","
    notes: tuple[str, ...] = ()
    bad_lines: frozenset[int] = frozenset()

    def find_line(self, row: int) -> str:
        """Returns "FILE, line N" for a row of the frame, or "FILE, row N" without lines."""
        return next(itertools.islice(self.iterate_places(), row, None))

    def iterate_places(self) -> Iterator[str]:
        """Yields "FILE, line N" for each row of the frame, or "FILE, row N" without lines.

        The file is read again, line by line.
        """
        if self.kind in ("parquet", "tfds"):
            yield from (f"{self.path}, row {row}" for row in range(1, len(self.frame) + 1))
            return
        text, _ = _read_text(self.path)
        if self.kind == "jsonl":
            objects = _iterate_objects(self.path, text, lambda *_: None)
            numbers = (number for number, _ in objects)
        else:
            text, *_ = blank_preamble(text, self.path)
            rows = iterate_rows(text, self.path, self.separator)
            numbers = (end for _, end, _ in itertools.islice(rows, 1, None))
        yield from (f"{self.path}, line {n}" for n in numbers if n not in self.bad_lines)


def read_table(
    kind: str,
    file: Path,
    separator: str | None = None,
    report_bad_row: Callable[[str], None] | None = None,
) -> Table:
    """Reads a file.

    Args:
        kind: One of `TABLE_KINDS`.
        file: The file.
        separator: What separates the fields of a CSV file; None to find out.
        report_bad_row: Called with a message for each row that cannot be read, which is left out;
            None to raise an error.

    Raises:
        UserError: if the content is invalid. The message contains the line number.
    """
    try:
        if kind == "parquet":
            return Table(file, kind, _read_parquet(file))
        text, notes = _read_text(file)
    except PermissionError:
        raise UserError(f"{file}: no permission to read this file: allow it with chmod") from None
    bad_lines = set()

    def on_bad_row(line: int, message: str) -> None:
        if report_bad_row is None:
            raise UserError(message)
        report_bad_row(message)
        bad_lines.add(line)

    if kind == "jsonl":
        frame = _read_jsonl(file, text, on_bad_row)
        return Table(file, kind, frame, notes=notes, bad_lines=frozenset(bad_lines))
    separator = separator or ("\t" if kind == "tsv" else None)
    frame, separator, csv_notes = parse_csv(text, file, separator, on_bad_row)
    frame, notes = _require_rows(frame, file), notes + csv_notes
    return Table(file, kind, frame, separator, notes, frozenset(bad_lines))


def reject_values(table: Table, name: str, invalid: npt.ArrayLike, expected: str) -> None:
    """Raises a UserError about the first row set in the boolean mask `invalid`, if any."""
    rows = np.flatnonzero(invalid)
    if len(rows):
        cell = table.frame[name].iloc[rows[0]]
        is_missing = pd.isna(cell) if pd.api.types.is_scalar(cell) else False
        is_missing |= isinstance(cell, str) and not cell.strip()
        raise UserError(
            f"{table.find_line(rows[0])}: column {name!r} holds "
            f"{'nothing' if is_missing else repr(str(cell)[:40])} ({len(rows)} such lines); "
            f"{expected}"
        )


def _read_text(file: Path) -> tuple[str, tuple[str, ...]]:
    """Reads a text file, after checking that memory suffices; returns notes on its encoding."""
    size, free = file.stat().st_size, psutil.virtual_memory().available
    if size * _MEMORY_FACTOR > free:
        raise UserError(
            f"{file}: {size >> 20:,} MiB of text need at least {_MEMORY_FACTOR} times as much "
            f"memory, but {free >> 20:,} MiB are free: use fewer rows, or make a TFDS dataset of it"
        )
    content = file.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise UserError(f"{file}: not a whole gzip file: {one_line(error)}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16"), ()
        except UnicodeDecodeError as error:
            raise UserError(f"{file}: not valid UTF-16: {one_line(error)}") from error
    if b"\0" in content:
        line = content.partition(b"\0")[0].count(b"\n") + 1
        raise UserError(f"{file}, line {line}: a NUL byte: save the file as UTF-8 text")
    try:
        return content.decode().removeprefix("\ufeff"), ()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        # the sample has the byte in its middle: it may be the only one that is not ASCII
        sample = content[max(0, error.start - _SAMPLE_SIZE) : error.start + _SAMPLE_SIZE]
        if best := charset_normalizer.from_bytes(sample, cp_isolation=_ENCODINGS).best():
            try:
                text = content.decode(best.encoding)
            except UnicodeDecodeError:
                pass
            else:
                note = f"{file} is not UTF-8 (line {line}): it was read as {best.encoding}"
                return text, (note,)
        raise UserError(
            f"{file}, line {line}: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from None


def _read_jsonl(file: Path, text: str, on_bad_row: BadRowHandler) -> pd.DataFrame:
    """Reads JSON values. Blank lines are skipped; objects in objects get names with a dot."""
    rows = [_flatten(row) for _, row in _iterate_objects(file, text, on_bad_row)]
    if not rows:
        raise UserError(f"{file}: the file is empty; expected a JSON object on each line")
    frame = pd.DataFrame(rows, dtype=object)
    frame = frame.where(frame.notna(), None)
    for name in frame:
        if frame[name].map(lambda value: value is None or is_text(value)).all():
            frame[name] = frame[name].astype(STRING)
    return _require_rows(frame, file)


def _iterate_objects(
    file: Path, text: str, on_bad_row: BadRowHandler
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line number and the object of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            place = f"{file}, line {number}"
            on_bad_row(number, f"{place}: expected a JSON object, {{...}}, on each line")
            continue
        if invalid := [key for key in row if not is_line(key)]:
            name = invalid[0][:40]
            on_bad_row(number, f"{file}, line {number}: {name!r} is not a valid column name")
            continue
        yield number, row


def _flatten(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns {"a.b": 1} for {"a": {"b": 1}}."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = prefix + key
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _read_parquet(file: Path) -> pd.DataFrame:
    """Reads a Parquet file, with train-00001-of-00002.parquet and so on that belong to it.

    Numbers become strings, and structures get names with a dot.
    """
    pattern = re.sub(r"-\d+-of-", "-*-of-", file.name)
    parts = sorted(file.parent.glob(pattern)) if "*" in pattern else [file]
    try:
        table = pa.concat_tables(map(pa.parquet.read_table, parts))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a readable Parquet file: {one_line(error)}") from error
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    columns = {name: table[name] for name in table.column_names if "__index_level_" not in name}
    frame = pd.DataFrame(
        {
            name: pd.Series(column.cast(pa.string()), dtype=STRING)
            if not pa.types.is_nested(column.type)
            else column.to_pylist()
            for name, column in columns.items()
        }
    )
    return _require_rows(frame, file)


def _require_rows(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    if frame.empty:
        raise UserError(f"{file}: no rows; expected at least one below the column names")
    return frame
