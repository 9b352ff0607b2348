"""Reads Parquet and Arrow files as columns of strings, numbers, and Python values for lists."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from zoo.data.sources.class_names import name_classes, read_class_names
from zoo.data.sources.column_names import clean_names
from zoo.data.tables.column_store import Cells

ARROW_KINDS = ("parquet", "arrow")

_ROWS = 1 << 16  # that are read together
_FILE_MARK = b"ARROW1"  # of Arrow files with random access; others are streams
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class ArrowFile:
    """A Parquet or Arrow file.

    Args:
        file: The file.

    Attributes:
        binary: Names of columns of bytes that are no text, as far as they were read.
    """

    def __init__(self, file: Path):
        self.binary: set[str] = set()
        self._file = file
        self._name_notes: list[str] = []
        self._classes: dict[str, None] = {}
        self._durations: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what was decided."""
        notes = [f"column {name!r} is left out: it has bytes" for name in sorted(self.binary)]
        if self._classes:
            columns = ", ".join(self._classes)
            notes.append(f"numbers of classes are replaced by the names in the file: {columns}")
        notes += [f"column {name!r}: durations are read in seconds" for name in self._durations]
        return (*self._name_notes, *(f"{self._file}: {note}" for note in notes))

    def iterate_blocks(self) -> Iterator[tuple[dict[str, Cells], int]]:
        """Yields columns by name, and their number of rows. Structures get names with a dot."""
        for batch in _iterate_batches(self._file):
            class_names = read_class_names(batch.schema)
            table = _flatten_structures(pa.Table.from_batches([batch]))
            written = table.column_names
            names, self._name_notes = clean_names(self._file, written)
            found = {}
            for name, key, cells in zip(names, written, table.columns, strict=True):
                if "__index_level_" in name:
                    continue
                if key in class_names:
                    cells = name_classes(cells, class_names[key])
                    self._classes[name] = None
                if pa.types.is_duration(cells.type):
                    self._durations[name] = None
                found[name] = _convert_cells(cells)
            self.binary.update(name for name, x in found.items() if x is None)
            yield {name: x for name, x in found.items() if x is not None}, len(table)


def _iterate_batches(file: Path) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file block by block."""
    with file.open("rb") as content:
        start = content.read(len(_FILE_MARK))
        content.seek(0)
        if file.suffix.lower() == ".parquet" or start.startswith(b"PAR1"):
            yield from pa.parquet.ParquetFile(content).iter_batches(_ROWS)
        elif start == _FILE_MARK:
            reader = pa.ipc.open_file(content)
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from pa.ipc.open_stream(content)


def _flatten_structures(table: pa.Table) -> pa.Table:
    """Returns a table with a column for each field of structures, and none of extension types."""
    while True:
        kinds = [getattr(field.type, "storage_type", field.type) for field in table.schema]
        if kinds != table.schema.types:
            table = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
        if not any(map(pa.types.is_struct, kinds)):
            return table
        table = table.flatten()


def _convert_cells(cells: pa.ChunkedArray) -> "Cells | None":
    """Returns nested values as Python values, and bytes as strings; None if they are no text.

    Booleans are "True" and "False", as in JSON Lines and in CSV files of pandas. Durations, which
    files have in several units, are seconds.
    """
    if pa.types.is_nested(cells.type):
        return cells.to_pylist()
    if pa.types.is_boolean(cells.type):
        return pc.if_else(cells, "True", "False")
    if pa.types.is_duration(cells.type):
        counts = cells.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.divide(counts, float(_PER_SECOND[cells.type.unit]))
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    if pa.types.is_fixed_size_binary(cells.type) or (not is_text and "binary" in str(cells.type)):
        try:
            return cells.cast(pa.string())
        except pa.ArrowInvalid:
            return None
    return cells
