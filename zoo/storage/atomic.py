"""Atomic writes: an interrupted write leaves the previous file intact."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UserError, attach_path
from zoo.storage.filenames import FLAGS_FILE

DRAFT_PREFIX = ".draft-"  # of files and folders that are still being written


def check_writable(directory: Path) -> None:
    """Checks that a folder can be created and written to, without creating it.

    Raises:
        UserError: if it cannot.
    """
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryDirectory(dir=existing).cleanup()
    except OSError as error:
        raise UserError(
            f"{directory}: cannot write to this folder ({existing}: {error.strerror}): choose "
            "another folder"
        ) from error


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Context manager that replaces a file once the new content is complete.

    Yields:
        A path in the same folder to write to. It is renamed to `path` at the end, and deleted if
        an exception is raised.
    """
    # a name of its own, since two threads or processes may write the same file
    draft = path.with_name(f"{DRAFT_PREFIX}{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        with attach_path(path):
            yield draft
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as UTF-8, atomically."""
    with replace_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def make_output_folder(name: str) -> Path:
    """Creates a folder for output if it does not exist, and returns it.

    Raises:
        UserError: if it cannot be written to, or is the folder of a run, whose files have the same
            names.
    """
    folder = Path(os.path.expanduser(name))
    check_writable(folder)
    if (folder / FLAGS_FILE).exists():
        raise UserError(f"{folder}: this is the folder of a run: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
