"""Arrays and tables that are larger than memory, in files that are mapped into it.

The files have no name: they are deleted as soon as they are open, and the system frees their space
when the process ends, however it ends.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from zoo.errors import UserError


class MappedTable:
    """A table that is written block by block, and then read from the mapped file.

    Args:
        schema: The columns.
        directory: Folder of the file; None for that of temporary files.
    """

    def __init__(self, schema: pa.Schema, directory: str | None):
        self.schema = schema
        self._path = _make_file(directory)
        self._writer = pa.ipc.new_file(str(self._path), schema)

    def write(self, block: pa.Table) -> None:
        """Writes rows.

        Raises:
            UserError: if there is no space left.
        """
        with _report_full_disk(self._path.parent):
            self._writer.write_table(block)

    def open(self) -> pa.Table:
        """Returns the rows that were written, which stay in the file."""
        with _report_full_disk(self._path.parent):
            self._writer.close()
        try:
            return pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()
        finally:
            self._path.unlink()

    def __del__(self):
        self._path.unlink(missing_ok=True)


def allocate_array(
    shape: tuple[int, ...], dtype: str, budget: int, directory: str | None
) -> np.ndarray:
    """Returns an array to be filled: in memory, or a `np.memmap` if it is larger than the budget.

    Args:
        shape: Shape of the array.
        dtype: Its dtype.
        budget: Largest number of bytes in memory.
        directory: Folder of the mapped file; None for that of temporary files.

    Raises:
        UserError: if there is no space left.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= budget or not size:
        return np.empty(shape, dtype)
    path = _make_file(directory)
    try:
        with _report_full_disk(path.parent), path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                # otherwise a full disk is a SIGBUS when the array is filled
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        return np.memmap(path, dtype, "r+", shape=shape)
    finally:
        path.unlink()


def _make_file(directory: str | None) -> Path:
    """Creates an empty file.

    Raises:
        UserError: if the folder cannot be written.
    """
    folder = Path(os.path.expanduser(directory or tempfile.gettempdir()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(".cache", ".zoo-", folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write a file for data larger than memory: {error.strerror}"
        ) from error
    os.close(descriptor)
    return Path(name)


@contextlib.contextmanager
def _report_full_disk(folder: Path) -> Iterator[None]:
    """Context manager that turns an error in writing a file into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: no file can be written there for data larger than memory: "
            f"{error.strerror or error}: make room, or read fewer rows"
        ) from error
