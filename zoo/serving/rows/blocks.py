"""Examples that were read from files: in blocks, column by column, of which a `Row` is one row."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class RowBlock:
    """Examples that were read together. What is not asked for is not made.

    Attributes:
        inputs: The features by name: arrays of numbers, or of objects, the rows first.
        shown: What the output shows of each row: its text or path, or features by name, None where
            they are missing.
        read_columns: Returns all columns of a table by name, or the files or texts.
        find_place: Returns the file and line of a row, for error messages.
    """

    inputs: dict[str, np.ndarray]
    shown: dict[str, np.ndarray] | np.ndarray
    read_columns: Callable[[], dict[str, Sequence]]
    find_place: Callable[[int], str]

    @functools.cached_property
    def columns(self) -> dict[str, Sequence]:
        """What `read_columns` returns."""
        return self.read_columns()


class Row(NamedTuple):
    """One example.

    Attributes:
        block: The block that has it.
        number: Its position in the block.
    """

    block: RowBlock
    number: int

    @property
    def place(self) -> str:
        """File and line of the example, for error messages."""
        return self.block.find_place(self.number)

    @property
    def shown(self) -> Any:
        """The example in the output: a path, a text, or a dict of the features."""
        shown = self.block.shown
        return self._take(shown) if isinstance(shown, dict) else shown.item(self.number)

    @property
    def example(self) -> dict[str, Any]:
        """The features by name."""
        return self._take(self.block.inputs)

    @property
    def columns(self) -> dict[str, Any]:
        """All columns of the row of a table, or the file or text."""
        return {name: cells[self.number] for name, cells in self.block.columns.items()}

    def _take(self, columns: dict[str, np.ndarray]) -> dict[str, Any]:
        return {name: cells.item(self.number) for name, cells in columns.items()}


def make_row(place: str, shown: Any, example: dict[str, Any], columns: dict[str, Any]) -> Row:
    """Makes a row that is alone in its block, of what the properties of a `Row` return."""
    inputs = {name: _wrap_value(value) for name, value in example.items()}
    cells = (
        {name: _wrap_value(value) for name, value in shown.items()}
        if isinstance(shown, dict)
        else _wrap_value(shown)
    )
    block = RowBlock(
        inputs,
        cells,
        lambda: {name: [value] for name, value in columns.items()},
        lambda _: place,
    )
    return Row(block, 0)


def group_rows(rows: Iterable[Row]) -> Iterator[tuple[RowBlock, np.ndarray]]:
    """Yields the blocks of consecutive rows, and the positions of the rows in each."""
    for block, group in itertools.groupby(rows, lambda row: row.block):
        yield block, np.array([row.number for row in group])


def join_inputs(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Returns the features of rows by name, the rows first.

    Args:
        rows: Rows with the same features, one at least.
    """
    parts = [(block.inputs, numbers) for block, numbers in group_rows(rows)]
    return {
        name: np.concatenate([inputs[name][numbers] for inputs, numbers in parts])
        for name in rows[0].block.inputs
    }


def _wrap_value(value: Any) -> np.ndarray:
    """Returns an array of one value: a number, or an object as it is."""
    return np.array([value], object if isinstance(value, str | bytes) else None)
