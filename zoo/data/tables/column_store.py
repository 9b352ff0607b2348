"""Collects the columns of a table block by block, in memory or in a file that is mapped into it.

A column is kept as numbers of eight bytes if all its cells are plain numbers or missing, and else
as strings. A column with other JSON values than strings or numbers is kept as Python objects.
"""

import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zoo.data.mapped_files import MappedTable
from zoo.data.tables.cells import are_grouped
from zoo.data.tables.columns import MISSING

Cells: TypeAlias = "pa.ChunkedArray | list"
Types = dict[str, pa.DataType]

UNKNOWN = pa.null()  # type of a column whose cells were all missing so far
OBJECTS = pa.large_binary()  # stands for the type of a column of Python objects
_STRING, _INTEGER, _FLOAT = pa.string(), pa.int64(), pa.float64()
_MISSING_CELLS = pa.array(["", *MISSING], _STRING)
_FIRST_CELLS = 16
_ZERO, _X, _LARGE_X = (np.uint8(ord(letter)) for letter in "0xX")


class ColumnStore:
    """The columns of a table that is read block by block.

    Args:
        strings: Names of columns whose cells are kept as they are; None for all. The others are
            kept as numbers where they are plain numbers.
        budget: Bytes that may be kept in memory; beyond them the columns are written to a file.
            None for any number.
        directory: Folder of that file; None for that of temporary files.
        types: Types of columns that a reading before has found; see `conflicts`.

    Attributes:
        types: Types of the columns so far.
        conflicts: Types of columns whose blocks do not go together, such as strings after numbers.
            If there are any, the table has to be read again with these types.
        rows: Number of rows so far.
    """

    def __init__(
        self,
        strings: Collection[str] | None,
        budget: int | None,
        directory: str | None,
        types: Mapping[str, pa.DataType] | None,
    ):
        self.types: Types = dict(types or {})
        self.conflicts: Types = {}
        self.rows = 0
        self._strings, self._budget, self._directory = strings, budget, directory
        self._blocks: list[pa.Table] = []
        self._objects: dict[str, list[Any]] = {}
        self._mapped: MappedTable | None = None
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def append(self, columns: Mapping[str, Cells], rows: int) -> None:
        """Adds rows.

        Args:
            columns: Cells by the names of the columns: strings, integers or floats, null where they
                are missing; or a list of Python values.
            rows: Number of the rows.
        """
        absent: dict[str, Cells] = {n: [None] * rows for n in self.types.keys() - columns.keys()}
        cells = {**columns, **absent}
        # Arrow works without Python's lock
        prepared = zip(cells, self._pool.map(self._prepare, cells, cells.values()), strict=True)
        arrays = {name: self._merge(name, array, cells[name]) for name, array in prepared}
        self.rows += rows
        if self.conflicts:
            self._blocks.clear()
            return
        block = pa.table({n: arrays[n] for n, t in self.types.items() if t != OBJECTS})
        block = block.combine_chunks()
        if self._mapped:
            self._mapped.write(_fit_schema(block, self._mapped.schema))
            return
        self._blocks.append(block)
        size = sum(block.nbytes for block in self._blocks)
        if self._budget is not None and size > self._budget:
            self._mapped = MappedTable(self._make_schema(), self._directory)
            for earlier in self._blocks:
                self._mapped.write(_fit_schema(earlier, self._mapped.schema))
            self._blocks.clear()

    def finish(self) -> pd.DataFrame:
        """Returns the columns: strings, integers and floats of Arrow, or Python objects."""
        self._pool.shutdown()
        if self._mapped:
            table = self._mapped.open()
        else:
            schema = self._make_schema()
            blocks = [_fit_schema(block, schema) for block in self._blocks]
            table = pa.concat_tables(blocks or [schema.empty_table()])
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)
        for name, values in self._objects.items():
            frame[name] = pd.Series(values, dtype=object)
        return frame[list(self.types)]

    def _prepare(self, name: str, cells: Cells) -> pa.ChunkedArray | None:
        """Returns cells as strings, integers or floats; None for other Python values."""
        known = self.types.get(name)
        if known == OBJECTS:
            return None
        keeps_strings = self._strings is None or name in self._strings or known == _STRING
        array = _make_array(cells, keeps_strings)
        if array is None or array.type != _STRING or keeps_strings:
            return array
        return parse_plain_numbers(array)

    def _merge(
        self, name: str, array: pa.ChunkedArray | None, cells: Cells
    ) -> pa.ChunkedArray | None:
        """Returns cells in the type that their column has now; keeps objects, and returns None."""
        known = self.types.get(name, UNKNOWN)
        if array is None:
            if known not in (OBJECTS, UNKNOWN):
                self.conflicts[name] = OBJECTS
            self.types[name] = OBJECTS
            values = self._objects.setdefault(name, [None] * self.rows)
            values.extend(cells if isinstance(cells, list) else cells.to_pylist())
            return None
        merged = self.types[name] = _merge_types(known, array.type)
        # numbers have lost how they were written, and what is in a file has its type
        were_numbers = known in (_INTEGER, _FLOAT) and merged == _STRING
        if were_numbers or (self._mapped and merged != known):
            self.conflicts[name] = merged
        return array if self.conflicts or merged == UNKNOWN else array.cast(merged)

    def _make_schema(self) -> pa.Schema:
        types = {name: _STRING if t == UNKNOWN else t for name, t in self.types.items()}
        return pa.schema([(name, kind) for name, kind in types.items() if kind != OBJECTS])


def group_blocks(blocks: Iterable[pa.Table], columns: int) -> Iterator[pa.Table]:
    """Yields the rows of several blocks at a time, more of them where there are many columns."""
    remaining, size = iter(blocks), min(max(columns // 64, 8), 64)
    while group := list(itertools.islice(remaining, size)):
        yield pa.concat_tables(group)


def parse_plain_numbers(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns strings as integers or floats, null where missing, if all are plain numbers.

    Otherwise the strings are returned. Plain are "12", "-1.5" and "2e5"; but not " 12", unless
    other cells are missing, not "012", which may be a code, and not "900" and "1.200".
    """
    present, numbers = cells, _cast_numbers(cells)
    if numbers is None:
        trimmed = pc.utf8_trim_whitespace(cells)
        present = pc.if_else(pc.is_in(trimmed, _MISSING_CELLS), None, trimmed)
        numbers = _cast_numbers(present)
    if numbers is None or (numbers.type == _FLOAT and are_grouped(present)):
        return cells
    return numbers


def _cast_numbers(strings: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Returns strings as numbers, or None if they are not all plain numbers."""
    for kind in (_INTEGER, _FLOAT):
        try:
            pc.cast(strings[:_FIRST_CELLS], kind)  # Arrow reads on behind the first error
            numbers = pc.cast(strings, kind)
        except pa.ArrowInvalid:
            continue
        return numbers if _are_finite(numbers) and not _have_leading_zero(strings) else None
    return None


def _make_array(cells: Cells, keeps_strings: bool) -> pa.ChunkedArray | None:
    """Returns cells as strings, integers or floats; None for other Python values."""
    if isinstance(cells, list):
        try:
            array = pa.chunked_array([pa.array(cells)])
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            return None
        is_plain = array.type in (_STRING, UNKNOWN)
        is_number = array.type in (_INTEGER, _FLOAT) and not keeps_strings and _are_finite(array)
        return array if is_plain or is_number else None
    if pa.types.is_integer(cells.type) and not keeps_strings:
        is_huge = cells.type == pa.uint64() and (pc.max(cells).as_py() or 0) >= 2**63
        return cells.cast(_FLOAT if is_huge else _INTEGER, safe=False)
    if pa.types.is_floating(cells.type) and not keeps_strings:
        numbers = cells.cast(_FLOAT)
        if not _are_finite(numbers):
            numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
        return numbers if _are_finite(numbers) else cells.cast(_STRING)
    return cells if cells.type == UNKNOWN else cells.cast(_STRING)


def _are_finite(numbers: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(numbers.type) or pc.all(pc.is_finite(numbers)).as_py() is not False


def _have_leading_zero(strings: pa.ChunkedArray) -> bool:
    """Whether a string begins with "0" and another digit, or is a hexadecimal number."""
    for chunk in strings.chunks:
        _, offsets_buffer, content = chunk.buffers()
        if not content:
            continue
        text = np.frombuffer(content, "uint8")
        offsets = np.frombuffer(offsets_buffer, "int32")[chunk.offset :][: len(chunk) + 1]
        zeros = np.flatnonzero(text.take(offsets[:-1], mode="clip") == _ZERO)
        zeros = zeros[offsets[zeros + 1] - offsets[zeros] > 1]
        second = text[offsets[zeros] + 1]
        if ((second - _ZERO <= 9) | (second == _X) | (second == _LARGE_X)).any():
            return True
    return False


def _merge_types(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Returns the type of a column whose blocks have these types."""
    if UNKNOWN in (first, second):
        return second if first == UNKNOWN else first
    if _STRING in (first, second):
        return _STRING
    return _FLOAT if _FLOAT in (first, second) else _INTEGER


def _fit_schema(block: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns the columns of a block with their final types, null where it lacks one."""
    names, missing = set(block.column_names), pa.nulls(len(block))
    columns = [block[field.name] if field.name in names else missing for field in schema]
    cast = [column.cast(kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.table(cast, schema=schema)
