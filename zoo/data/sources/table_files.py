"""Reads the files of tables: CSV, TSV, JSON Lines, compressed by gzip or not, Parquet and Arrow."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from zoo.console import progress_bar
from zoo.data.sources.arrow_files import ARROW_KINDS, ArrowFile
from zoo.data.sources.csv_files import (
    BadRowHandler,
    find_csv_layout,
    iterate_row_ends,
    may_differ,
    parse_exactly,
    parse_quickly,
)
from zoo.data.sources.csv_quotes import survey_csv_file
from zoo.data.sources.json_lines import iterate_json_blocks, iterate_object_lines
from zoo.data.sources.text_files import EmptyFileError, TextFile, recall_encoding, survey_text_file
from zoo.data.tables.column_store import Cells, ColumnStore, Types, group_blocks
from zoo.errors import UserError, one_line

TABLE_KINDS = ("csv", "tsv", "jsonl", *ARROW_KINDS)

Blocks = Iterable[tuple[Mapping[str, Cells], int]]  # cells by the name of the column, and rows

_BLOCK_SIZES = (1 << 20, 1 << 24)  # bytes of CSV; the second for longer rows


@dataclasses.dataclass(frozen=True)
class StorageOptions:
    """How the columns of a file are kept; see `zoo.data.tables.column_store.ColumnStore`.

    Attributes:
        strings: Names of columns whose cells are kept as they are; None for all.
        budget: Bytes that may be kept in memory; None for any number.
        directory: Folder of the file for what is more; None for that of temporary files.
    """

    strings: Collection[str] | None = None
    budget: int | None = None
    directory: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """The content of a file, or of several files that are parts of one table.

    Attributes:
        path: The file; of several files the folder and the pattern of their names.
        kind: One of `TABLE_KINDS`, or "tfds".
        frame: The columns by name. Cells are strings or, where the reader was to keep them so,
            numbers; in a column of JSON Lines with other values, Python values. A missing cell is
            null.
        separator: What separates the fields of a CSV file.
        notes: Sentences for the user on what was decided.
        bad_lines: Last line numbers of the rows that are left out.
        encoding: Encoding of the file that was asked for; None if it was found out.
        parts: The tables of several files.
    """

    path: Path
    kind: str
    frame: pd.DataFrame
    separator: str = ","
    notes: tuple[str, ...] = ()
    bad_lines: frozenset[int] = frozenset()
    encoding: str | None = None
    parts: "tuple[Table, ...]" = ()

    def find_line(self, row: int) -> str:
        """Returns "FILE, line N" for a row of the frame, or "FILE, row N" without lines."""
        return next(itertools.islice(self.iterate_places(), row, None))

    def iterate_places(self) -> Iterator[str]:
        """Yields "FILE, line N" for each row of the frame, or "FILE, row N" without lines.

        The file is read again, line by line.
        """
        if self.parts:
            return itertools.chain.from_iterable(part.iterate_places() for part in self.parts)
        return map(self.format_place, self.iterate_numbers())

    def format_place(self, number: int) -> str:
        """Returns "FILE, line N", or "FILE, row N" of a file without lines."""
        return f"{self.path}, {'row' if self._has_no_lines else 'line'} {number}"

    def iterate_numbers(self) -> Iterator[int]:
        """Yields the number of the last line of each row of one file, or that of the row."""
        if self._has_no_lines:
            return iter(range(1, len(self.frame) + 1))
        if self.kind == "jsonl":
            numbers = iterate_object_lines(survey_text_file(self.path, self.encoding))
        else:
            text = survey_csv_file(self.path, self.encoding, self.separator)
            numbers = iterate_row_ends(text, find_csv_layout(text, self.separator))
        return (number for number in numbers if number not in self.bad_lines)

    @property
    def _has_no_lines(self) -> bool:
        return self.kind in (*ARROW_KINDS, "tfds")


def read_table(
    kind: str,
    file: Path,
    separator: str | None = None,
    report_bad_row: Callable[[str], None] | None = None,
    storage: StorageOptions = StorageOptions(),
    encoding: str | None = None,
) -> Table:
    """Reads a file.

    Args:
        kind: One of `TABLE_KINDS`.
        file: The file.
        separator: What separates the fields of a CSV file; None to find out.
        report_bad_row: Called with a message for each row that cannot be read, which is left out;
            None to raise an error.
        storage: How the columns are kept.
        encoding: Encoding of the file; None to find out.

    Raises:
        UserError: if the content is invalid. The message contains the line number.
    """
    if kind in ARROW_KINDS:
        frame, notes = _read_arrow_file(file, storage)
        return Table(file, kind, _require_rows(frame, file), notes=notes)
    bad_lines = set()

    def on_bad_row(line: int, message: str) -> None:
        if report_bad_row is None:
            raise UserError(message)
        if line not in bad_lines:  # a file may be read twice
            report_bad_row(message)
            bad_lines.add(line)

    if kind == "jsonl":
        text = survey_text_file(file, encoding)
        frame = _collect_columns(lambda: iterate_json_blocks(text, on_bad_row), storage)
        if not len(frame.columns):
            raise EmptyFileError(f"{file}: the file is empty; expected a JSON object on each line")
        frame = _require_rows(frame, file)
        bad = frozenset(bad_lines)
        return Table(file, kind, frame, notes=text.notes, bad_lines=bad, encoding=encoding)
    separator = separator or ("\t" if kind == "tsv" else None)
    text = survey_csv_file(file, encoding, separator)
    frame, separator, notes = _read_csv(text, separator, on_bad_row, storage)
    frame, bad = _require_rows(frame, file), frozenset(bad_lines)
    return Table(file, kind, frame, separator, notes, bad, encoding)


def recall_separator(settings: Any, files: Sequence[Path], names: Sequence[str]) -> str | None:
    """Returns the separator that a model's data was read with, if CSV files have it too, or None.

    Args:
        settings: Settings of the data in the record of the model (`DataConfig.to_settings`).
        files: The files.
        names: Names of the columns that the model reads.

    Raises:
        UserError: if a file cannot be read.
    """
    separator = settings.get("separator") if isinstance(settings, dict) else None
    if not (isinstance(separator, str) and files and names):
        return None
    encoding = recall_encoding(settings, files)
    texts = (survey_csv_file(file, encoding, separator) for file in files)
    layouts = (find_csv_layout(text, separator) for text in texts)
    return separator if all({*names} <= {*layout.names} for layout in layouts) else None


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


def _collect_columns(read_blocks: Callable[[], Blocks], storage: StorageOptions) -> pd.DataFrame:
    """Returns the columns of all blocks; they are read again if their types do not go together."""
    types: Types = {}
    while True:
        store = ColumnStore(storage.strings, storage.budget, storage.directory, types)
        with progress_bar(None, "reading", unit=" rows") as bar:
            for columns, rows in read_blocks():
                store.append(columns, rows)
                bar.update(rows)
        if not store.conflicts:
            return store.finish()
        types = store.types


def _read_csv(
    text: TextFile, separator: str | None, on_bad_row: BadRowHandler, storage: StorageOptions
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Returns the columns of a CSV file, its separator, and notes on what was decided."""
    layout = find_csv_layout(text, separator)

    def read_with(parse, *options):
        blocks = group_blocks(parse(text, layout, *options), len(layout.names))
        return (({name: block[name] for name in layout.names}, len(block)) for block in blocks)

    frame = None
    for block_size in () if may_differ(text, layout) else _BLOCK_SIZES:
        try:
            read = functools.partial(read_with, parse_quickly, block_size)
            frame = _collect_columns(read, storage)
            break
        except pa.ArrowInvalid:  # a row is longer, or has another length
            continue
    if frame is None:
        frame = _collect_columns(functools.partial(read_with, parse_exactly, on_bad_row), storage)
    unnamed = [name for name in layout.names if name.startswith("unnamed_") and name in frame]
    empty = [name for name in unnamed if (frame[name].isna() | (frame[name] == "")).all()]
    notes = tuple(note for note in layout.notes if note.split()[-1] not in empty)
    return frame.drop(columns=empty), layout.separator, text.notes + notes


def _read_arrow_file(file: Path, storage: StorageOptions) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Returns the columns of a Parquet or Arrow file, and notes on what was decided."""
    content = ArrowFile(file)
    try:
        frame = _collect_columns(content.iterate_blocks, storage)
    except (pa.ArrowException, OSError, IndexError) as error:
        kind = file.suffix.removeprefix(".").capitalize()
        raise UserError(f"{file}: not a readable {kind} file: {one_line(error)}") from error
    return frame.drop(columns=list(content.binary), errors="ignore"), content.notes


def _require_rows(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    if frame.empty:
        raise EmptyFileError(f"{file}: no rows; expected at least one below the column names")
    return frame
