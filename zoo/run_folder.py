"""Where a run writes: checked before any work, and an earlier run there is kept."""

import tempfile
from pathlib import Path

from zoo.errors import UserError

BEST, LAST = "best.keras", "last.keras"  # states of the model
METRICS = "metrics.json"

_MARK = "flags.txt"  # what every run has from its beginning


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


def check(directory: str | Path | None) -> None:
    """Makes sure that a run can be written to the folder, if one is named, without making it.

    Raises:
        UserError: if it cannot, or the folder holds something that is no run.
    """
    if directory is None:
        return
    directory = Path(directory).expanduser()
    check_writable(directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise UserError(
            f"{directory}: the folder holds files that are not of a run: name a new or empty one"
        )


def begin(directory: str | Path) -> Path:
    """Makes the run's folder; an earlier run there is renamed to `directory`.1, .2, ...

    Raises:
        UserError: as `check`.
    """
    check(directory)
    directory = Path(directory).expanduser()
    if directory.exists() and any(directory.iterdir()):
        number = 1
        while (kept := directory.with_name(f"{directory.name}.{number}")).exists():
            number += 1
        directory.rename(kept)
        print(f"the earlier run in {directory} is kept as {kept}")
    directory.mkdir(parents=True, exist_ok=True)
    return directory
