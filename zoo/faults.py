"""Faults of the machine, such as a full disk or too little memory, told in one line."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# what to do, where something can be done
_DISK = {
    errno.ENOSPC: "make room there, or name another folder",
    errno.EDQUOT: "make room there, or name another folder",
    errno.EFBIG: "its disk, or `ulimit -f`, allows no larger file",
    errno.EROFS: "name another folder",
    errno.EACCES: "name another folder",
    errno.EPERM: "name another folder",
    errno.ENOENT: "it is gone, or was never there",
    errno.ENOTDIR: "name another folder",
    errno.EISDIR: "name another",
    errno.EIO: "look after that disk",
    errno.ENAMETOOLONG: "name a shorter one",
}
_MEMORY = (
    "take a smaller --batch_size or model, stream the data with --memory_budget=0, or end other "
    "programs"
)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Within, an error of the disk is about this file, which HDF5's do not name."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            number = _number(str(error)) or errno.EIO
            raise OSError(number, " ".join(str(error).split())[:200], str(path)) from error
        error.filename = str(path)
        raise


def told(error: BaseException) -> tuple[str, int] | None:
    """What a fault is, what to do about it, and the exit code.

    The code is 2 for disks and files, which the user can mend, and 1 for too little memory.

    Args:
        error: Any exception; TensorFlow and HDF5 have their own for what the disk refuses.

    Returns:
        None for what is no such fault: a bug, whose traceback is worth seeing.
    """
    tensorflow = sys.modules.get("tensorflow")
    of_tensorflow = tensorflow is not None and isinstance(error, tensorflow.errors.OpError)
    if isinstance(error, MemoryError):
        return f"out of memory{_reason(error)}: {_MEMORY}", 1
    if not isinstance(error, OSError | RuntimeError) and not of_tensorflow:
        return None
    message = " ".join(str(error).split())
    number = getattr(error, "errno", None) or _number(message)
    if number in _DISK:
        reason = os.strerror(number) if os.strerror(number) in message else error.strerror
        return f"{_file(error)}: {reason}: {_DISK[number]}", 2
    if isinstance(error, OSError):
        return f"{_file(error)}: {error.strerror or message}", 2
    if of_tensorflow and isinstance(error, tensorflow.errors.ResourceExhaustedError):
        return f"out of memory{_reason(error)}: {_MEMORY}", 1
    return None


def _number(message: str) -> int | None:
    """The system's number of a fault that a message tells in the system's words."""
    return next((number for number in _DISK if os.strerror(number) in message), None)


def _reason(error: BaseException) -> str:
    """What could not be had, such as the shape of an array, in brackets."""
    found = re.search(r"OOM when allocating .*? type \w+|Unable to allocate [^\n]*", str(error))
    return f" ({found.group()[:200]})" if found else ""


def _file(error: BaseException) -> str:
    """The file that it is about: TensorFlow and HDF5 have it only in the message."""
    if name := getattr(error, "filename", None):
        return os.fsdecode(name) if isinstance(name, str | bytes) else str(name)
    message = re.sub(r"\{\{.*?\}\}", "", str(error))
    found = re.search(r"[^\s'\";:]*/[^\s'\";:]+", message)
    return found.group() if found else "a file"
