"""One-line error messages: user errors, and system errors such as a full disk."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


class UserError(ValueError):
    """An error that the user can fix, such as an unknown name or an invalid value.

    The message is one line: what was given, what was expected and what to do. The commands print
    it without a traceback and exit with code 2.

    Examples:
        >>> import zoo
        >>> try:
        ...     zoo.get("lenet")
        ... except zoo.UserError as error:
        ...     print(str(error).split(" Known")[0])
        no model is named 'lenet'. Did you mean 'lenet5'?
    """


class WorkerLostError(RuntimeError):
    """A worker of the cluster does not respond. The commands exit with code 1."""


def one_line(error: object, limit: int = 300) -> str:
    """Returns the message of an error as one line, without TensorFlow's node names.

    Args:
        error: An exception, or its message.
        limit: Maximum number of characters; a longer message is cut off and ends in "...".
    """
    message = re.sub(r"\{\{.*?\}\}", "", str(error).partition("\n\t [[")[0]).strip()
    if message.startswith("Graph execution error"):
        message = message.splitlines()[-1]
    message = " ".join(message.split()).replace("\\'", "'")
    message = re.sub(r"^assertion failed: \[(.*)\]$", r"\1", message)
    # what another program sent may control the terminal
    message = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda match: repr(match.group())[1:-1], message)
    return message if len(message) <= limit else message[:limit] + "..."


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Returns "1 row" or "2,000 rows"; a plural that is no mere s, as with a verb, is given."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def shorten_names(names: Iterable[str], most: int = 10) -> str:
    """Lists the names, at most `most` of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


_DISK_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EFBIG: "it exceeds the limit of the disk or of `ulimit -f`",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose another folder",
    errno.EPERM: "choose another folder",
    errno.ENOENT: "it was deleted or never existed",
    errno.ENOTDIR: "choose another folder",
    errno.EISDIR: "choose another file name",
    errno.EIO: "check the disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_MEMORY_ADVICE = (
    "use a smaller --batch_size or model, stream the data with --memory_budget=0, or close other "
    "programs"
)


@contextlib.contextmanager
def attach_path(path: Path | str) -> Iterator[None]:
    """Context manager that adds the file's path to an OSError; errors of HDF5 lack it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            number = _find_errno(str(error)) or errno.EIO
            raise OSError(number, one_line(error), str(path)) from error
        error.filename = str(path)
        raise


def explain_fault(error: BaseException) -> tuple[str, int] | None:
    """Describes a disk error or a lack of memory in one line.

    Args:
        error: Any exception. TensorFlow and HDF5 raise their own types when a disk is full.

    Returns:
        The message with advice, and the exit code: 2 for disks and files, which the user can fix,
        and 1 for too little memory. None for any other error, whose traceback should be shown.
    """
    is_tensorflow_error = _is_tensorflow_error(error, "OpError")
    if isinstance(error, MemoryError):
        return f"out of memory{_describe_allocation(error)}: {_MEMORY_ADVICE}", 1
    if not isinstance(error, OSError | RuntimeError) and not is_tensorflow_error:
        return None
    message = " ".join(str(error).split())
    number = getattr(error, "errno", None) or _find_errno(message)
    if number in _DISK_ADVICE:
        reason = os.strerror(number)
        if isinstance(error, OSError) and error.strerror and reason not in message:
            reason = error.strerror
        return f"{_find_path(error)}: {reason}: {_DISK_ADVICE[number]}", 2
    if isinstance(error, OSError):
        return f"{_find_path(error)}: {error.strerror or message}", 2
    if _is_tensorflow_error(error, "ResourceExhaustedError"):
        return f"out of memory{_describe_allocation(error)}: {_MEMORY_ADVICE}", 1
    return None


def _is_tensorflow_error(error: BaseException, name: str) -> bool:
    """Whether it is a `tensorflow.errors.<name>`; does not import TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, getattr(tensorflow.errors, name))


def _find_errno(message: str) -> int | None:
    """Returns the errno whose system message, such as "No space left", is in `message`."""
    return next((number for number in _DISK_ADVICE if os.strerror(number) in message), None)


def _describe_allocation(error: BaseException) -> str:
    """Returns the allocation that failed, in parentheses, if the error describes one."""
    match = re.search(r"OOM when allocating .*? type \w+|Unable to allocate [^\n]*", str(error))
    return f" ({match.group()[:200]})" if match else ""


def _find_path(error: BaseException) -> str:
    """Returns the path of the file; TensorFlow and HDF5 have it only in the message."""
    if name := getattr(error, "filename", None):
        return os.fsdecode(name) if isinstance(name, str | bytes) else str(name)
    message = re.sub(r"\{\{.*?\}\}", "", str(error))
    match = re.search(r"[^\s'\";:]*/[^\s'\";:]+", message)
    return match.group() if match else "a file"
