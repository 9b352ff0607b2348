"""Reads tables that are in one file or in several."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from zoo.data.sources.file_parts import parse_part_name
from zoo.data.sources.table_files import Table
from zoo.data.sources.text_files import EmptyFileError
from zoo.errors import UserError, shorten_names


def read_parts(files: Sequence[Path], read: Callable[[Path], Table]) -> list[Table]:
    """Reads the files of a table. Those without rows are left out if others have some.

    Args:
        files: The files, in order.
        read: Reads one of them.

    Raises:
        UserError: as `read` does; an EmptyFileError only if all files are empty.
    """
    tables: list[Table] = []
    for number, file in enumerate(files, 1):
        try:
            tables.append(read(file))
        except EmptyFileError:
            if number == len(files) and not tables:
                raise
    return tables


def join_parts(parts: Sequence[Table], files: Sequence[Path]) -> Table:
    """Returns the rows of all parts of a table, in order.

    Args:
        parts: The tables of the files that have rows.
        files: All files.

    Raises:
        UserError: if they have other columns. Rows of JSON Lines need not have all keys.
    """
    if len(files) == 1:
        return parts[0]
    first, path = parts[0], name_table(files)
    for part in parts if first.kind != "jsonl" else ():
        _compare_columns(first, part)
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    # what was decided in the same way for each of them is told once
    notes = dict.fromkeys(
        x.replace(str(part.path), str(path)) for part in parts for x in part.notes
    )
    if empty := len(files) - len(parts):
        notes[f"{path}: {empty} of {len(files)} files have no rows"] = None
    return Table(path, first.kind, frame, first.separator, tuple(notes), parts=tuple(parts))


def name_table(files: Sequence[Path]) -> Path:
    """Returns the path of a table for messages, with "*" where the names of its files differ."""
    first = files[0]
    if len(files) == 1:
        return first
    patterns = {parse_part_name(file.name).pattern for file in files}
    return first.with_name(patterns.pop() if len(patterns) == 1 else f"*{first.suffix}")


def _compare_columns(first: Table, part: Table) -> None:
    """Raises a UserError if one of two parts of a table has a column that the other one lacks."""
    columns, others = list(first.frame), list(part.frame)
    for table, names, known in ((part, others, columns), (first, columns, others)):
        if absent := [name for name in known if name not in names]:
            other = (first if table is part else part).path.name
            raise UserError(
                f"{table.path}: there is no column {absent[0]!r}, which {other} has, and both are "
                f"parts of one table. It has {shorten_names(names)}: give each file all columns, "
                "with a line of their names if it is CSV"
            )
