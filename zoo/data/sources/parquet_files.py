"""Reads Parquet files as columns of strings, numbers, and Python values for lists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from zoo.data.column_store import Cells
from zoo.data.sources.column_names import clean_names

_ROWS = 1 << 16  # that are read together


class ParquetParts:
    """A Parquet file, with train-00001-of-00002.parquet and so on that belong to it.

    Args:
        file: The file, or the first of them.

    Attributes:
        binary: Names of columns of bytes that are no text, as far as they were read.
    """

    def __init__(self, file: Path):
        self.binary: set[str] = set()
        self._file = file
        self._name_notes: list[str] = []
        pattern = re.sub(r"-\d+-of-", "-*-of-", file.name)
        self._parts = sorted(file.parent.glob(pattern)) if "*" in pattern else [file]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what was decided."""
        left_out = (f"column {name!r} is left out: it has bytes" for name in sorted(self.binary))
        return (*self._name_notes, *(f"{self._file}: {note}" for note in left_out))

    def iterate_blocks(self) -> Iterator[tuple[dict[str, Cells], int]]:
        """Yields columns by name, and their number of rows. Structures get names with a dot."""
        for part in self._parts:
            with pa.parquet.ParquetFile(part) as content:
                for batch in content.iter_batches(_ROWS):
                    table = _flatten_structures(pa.Table.from_batches([batch]))
                    names, self._name_notes = clean_names(self._file, table.column_names)
                    cells = zip(names, map(_convert_cells, table.columns), strict=True)
                    found = {name: x for name, x in cells if "__index_level_" not in name}
                    self.binary.update(name for name, x in found.items() if x is None)
                    yield {name: x for name, x in found.items() if x is not None}, len(table)


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

    Booleans are "True" and "False", as in JSON Lines and in CSV files of pandas.
    """
    if pa.types.is_nested(cells.type):
        return cells.to_pylist()
    if pa.types.is_boolean(cells.type):
        return pc.if_else(cells, "True", "False")
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    if pa.types.is_fixed_size_binary(cells.type) or (not is_text and "binary" in str(cells.type)):
        try:
            return cells.cast(pa.string())
        except pa.ArrowInvalid:
            return None
    return cells
