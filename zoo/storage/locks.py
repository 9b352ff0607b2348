"""Locks on files, which the system releases if the process is killed."""

import fcntl
from pathlib import Path
from typing import IO


class FileLock:
    """A lock on a file that one process has at a time.

    Args:
        path: The file; created if it does not exist.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Takes the lock, and returns whether this process has it.

        Args:
            wait: Whether to wait until no other process has it.
        """
        file = open(self._path, "a")  # noqa: SIM115, closed by `release`
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Releases the lock."""
        if self._file:
            self._file.close()

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *error) -> None:
        self.release()
