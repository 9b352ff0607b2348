"""Where a run writes, and how often: a folder of its own, for one process and one set of flags."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path

from zoo import faults
from zoo.errors import UserError

BEST, LAST = "best.keras", "last.keras"  # states of the model
METRICS, HISTORY, FLAGS = "metrics.json", "history.csv", "flags.txt"

_LOCK = "lock"


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
    directory = Path(os.path.expanduser(directory))
    check_writable(directory)
    ours = (directory / FLAGS).exists() or (directory / _LOCK).exists()
    if directory.is_dir() and any(directory.iterdir()) and not ours:
        raise UserError(
            f"{directory}: the folder holds files that are not of a run: name a new or empty one"
        )


def choose(default: Path, flags: str, free: Container[str]) -> Path:
    """The folder of a run that nobody named: `default`, or `default`-2, `default`-3, ...

    It is the one with a run of these flags or, if there is none, the first that is not there.
    """
    folder, number = default, 1
    while (folder / FLAGS).exists():
        if not _differences((folder / FLAGS).read_text(errors="replace"), flags, free):
            return folder
        number += 1
        folder = default.with_name(f"{default.name}-{number}")
    return folder


@contextlib.contextmanager
def begun(
    directory: str | Path, flags: str, *, free: Container[str], overwrite: bool
) -> Iterator[Path]:
    """Within, the folder is this process' own, for a run with these flags.

    Args:
        directory: Folder of the run; made if it is not there.
        flags: The run's flags, --name=value on each line; those of a run that is there are the
            same, but for more epochs.
        free: Names of flags that may differ.
        overwrite: Removes a run that is there.

    Yields:
        The folder, with the flags in it.

    Raises:
        UserError: as `check`; or another process is at work there, or the run that is there was
            begun with other flags.
    """
    check(directory)
    directory = Path(os.path.expanduser(directory))
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        if overwrite:
            for path in directory.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != _LOCK:
                    path.unlink()
        file = directory / FLAGS
        before = file.read_text(errors="replace") if file.exists() else flags
        if differences := _differences(before, flags, free):
            raise UserError(
                f"{directory}: the run there was begun with other flags ({'; '.join(differences)}):"
                " take the same, name another folder with --run_dir, or begin anew with --overwrite"
            )
        with replacing(file) as draft:
            draft.write_text(flags)
        yield directory


def flags(directory: Path) -> dict[str, str]:
    """The flags of the run there by name; those that were given several times as one, sorted.

    Raises:
        UserError: if there is no run.
    """
    file = directory / FLAGS
    if not file.is_file():
        raise UserError(f"{directory}: there is no run; expected a folder with {FLAGS}")
    return _values(file.read_text(errors="replace"))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, which then takes its place: all of it or nothing."""
    draft = path.with_name(f".draft-{path.name}")
    try:
        with faults.naming(path):
            yield draft
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def interval(text: str) -> tuple[str, float]:
    """Reads '500' as ("steps", 500) and '5m' as ("seconds", 300).

    Raises:
        UserError: if it is neither.
    """
    unit, number = ("seconds", text[:-1]) if text.endswith("m") else ("steps", text)
    if not re.fullmatch("[0-9]{1,9}", number) or int(number) == 0:
        raise UserError(
            f"checkpoint_every={text!r}: expected a number of steps, such as 500, or minutes, "
            "such as 5m"
        )
    return unit, int(number) * (60 if unit == "seconds" else 1)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Within, no other process can lock the folder; the system unlocks it when this one ends."""
    with open(directory / _LOCK, "a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{directory}: process {file.read(20).strip() or 'of another machine'} is training "
                "there: wait until it ends, or name another folder with --run_dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _differences(there: str, here: str, free: Container[str]) -> list[str]:
    """What differs between two texts of flags, without those that are free to."""
    before, now = _values(there), _values(here)
    if _count(now["epochs"]) > _count(before.get("epochs", "0")):
        # more of the same: the run goes on
        before["epochs"] = now["epochs"]
    return [
        f"{name} {before.get(name, 'not given')} there, {now.get(name, 'not given')} here"
        for name in dict.fromkeys([*now, *before])
        if name not in free and before.get(name) != now.get(name)
    ]


def _count(text: str) -> int:
    """A count as a flag writes it; what is none counts as more than any."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 10**18


def _values(flags: str) -> dict[str, str]:
    """The values of the flags by name, those of a repeated flag as one."""
    values = {}
    for line in flags.splitlines():
        name, equals, value = line.partition("=")
        if name.startswith("--") and equals:
            values.setdefault(name[2:], []).append(value)
    return {name: " ".join(sorted(given)) for name, given in values.items()}
