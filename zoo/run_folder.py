"""Where a run writes: checked before any work, and an earlier run there is kept."""

import tempfile
from pathlib import Path

from zoo.errors import UserError


def check_writable(directory: Path) -> None:
    """Makes sure that the folder can be made and written to, without making it.

    Raises:
        UserError: if it cannot.
    """
    there = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise UserError(
            f"{directory}: cannot write there ({there}: {error.strerror}): name another folder"
        ) from error


def begin(directory: Path) -> Path | None:
    """Makes the run's folder; an earlier run there is renamed to `directory`.1, .2, ...

    Returns:
        Where the earlier run is now, if there was one.
    """
    kept = None
    if directory.exists() and any(directory.iterdir()):
        number = 1
        while (kept := directory.with_name(f"{directory.name}.{number}")).exists():
            number += 1
        directory.rename(kept)
    directory.mkdir(parents=True, exist_ok=True)
    return kept
