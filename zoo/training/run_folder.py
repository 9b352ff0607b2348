"""The folder of a run: used by one process at a time, and for one set of flags."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from zoo.errors import UserError
from zoo.storage.atomic import DRAFT_PREFIX, check_writable, write_text
from zoo.storage.filenames import FINGERPRINT, FLAGS_FILE, RATES_PLOT, RATES_TABLE
from zoo.storage.locks import FileLock

_LOCK = "lock"
_SHOWN_DIFFERENCES = 8


def check_run_folder(directory: str | Path | None) -> None:
    """Checks that a run can be written to the folder, without creating it.

    Args:
        directory: The folder; None is not checked.

    Raises:
        UserError: if it is not writable, or contains files that are not a run's.
    """
    if directory is None:
        return
    directory = Path(os.path.expanduser(directory))
    check_writable(directory)
    is_run = (directory / FLAGS_FILE).exists() or (directory / _LOCK).exists()
    # a range test may have been here before the run
    others = {*os.listdir(directory)} - {RATES_TABLE, RATES_PLOT} if directory.is_dir() else set()
    if others and not is_run:
        raise UserError(
            f"{directory}: the folder contains files that are not a run's: choose a new or an "
            "empty folder with --run_dir"
        )


def describe_unfinished_run(directory: Path) -> str:
    """Returns that a run is unfinished and the command that resumes it; "" for another folder."""
    file = directory / FLAGS_FILE
    if not (directory / FINGERPRINT).is_file() or not file.is_file():
        return ""
    command = file.read_text("utf-8", "replace").partition("\n")[0].removeprefix("# ")
    words = [word for word in command.split(" ") if word not in ("--overwrite", "--overwrite=true")]
    return f"{directory}: the training of this run is not finished: resume it: {' '.join(words)}"


def lacks_flag(directory: str | Path, name: str) -> bool:
    """Whether the folder has a run whose flags lack one, as those of earlier versions do."""
    file = Path(os.path.expanduser(directory)) / FLAGS_FILE
    return file.is_file() and f"\n--{name}=" not in file.read_text("utf-8", "replace")


def choose_run_folder(
    run_dir: str | None,
    default: Path,
    flags: str,
    free: Container[str],
    raisable: str | None = "epochs",
) -> Path:
    """Returns the folder of a run: `run_dir`, or else `default`, `default`-2, `default`-3, ...

    Of the latter it is the first that has a run with these flags or does not exist.

    Args:
        run_dir: The folder that the user chose, if any.
        default: The folder that is preferred otherwise.
        flags: The run's flags, as for `open_run`.
        free: Names of flags that may differ.
        raisable: As for `open_run`.
    """
    if run_dir:
        return Path(os.path.expanduser(run_dir))
    folder, number = default, 1
    while (folder / FLAGS_FILE).exists():
        before = (folder / FLAGS_FILE).read_text("utf-8", "replace")
        if not _compare_flags(before, flags, free, raisable):
            return folder
        number += 1
        folder = default.with_name(f"{default.name}-{number}")
    return folder


@contextlib.contextmanager
def open_run(
    directory: str | Path,
    flags: str,
    *,
    free: Container[str],
    overwrite: bool,
    check: Callable[[Path], None] = lambda directory: None,
    raisable: str | None = "epochs",
) -> Iterator[Path]:
    """Context manager that locks the folder of a run for this process.

    Args:
        directory: Folder of the run; created if it does not exist.
        flags: The run's flags, --name=value on each line, which are written to flags.txt. An
            existing run must have the same flags, or a smaller value of `raisable`.
        free: Names of flags that may differ.
        overwrite: Whether to remove an existing run.
        check: Raises a UserError if the run in the folder must not go on or be removed. It is
            called before anything there is changed.
        raisable: Name of the flag that continues a run when it is raised.

    Yields:
        The folder.

    Raises:
        UserError: if the folder cannot be used (see `check_run_folder`), another process trains in
            it, its run was started with other flags, or `check` raises one.
    """
    check_run_folder(directory)
    directory = Path(os.path.expanduser(directory))
    if not directory.exists():
        check(directory)  # so that no empty folder stays behind
    directory.mkdir(parents=True, exist_ok=True)
    with _lock_folder(directory):
        file = directory / FLAGS_FILE
        is_run = file.exists() and not overwrite
        before = file.read_text("utf-8", "replace") if is_run else flags
        if differences := _compare_flags(before, flags, free, raisable):
            raise UserError(
                f"{directory}: its run was started with other flags ({_join(differences)}): "
                "use the same flags, choose another folder with --run_dir, or start over with "
                "--overwrite"
            )
        check(directory)
        if overwrite:
            _empty_folder(directory)
        for draft in directory.glob(f"{DRAFT_PREFIX}*"):  # left by a killed process
            draft.unlink(missing_ok=True)
        write_text(file, flags)
        yield directory


def _join(differences: list[str]) -> str:
    """Returns the first differences, and how many there are besides."""
    more = len(differences) - _SHOWN_DIFFERENCES
    shown = "; ".join(differences[:_SHOWN_DIFFERENCES])
    return f"{shown}; and {more} more" if more > 0 else shown


def _empty_folder(directory: Path) -> None:
    """Removes all that is in the folder of a run, except for its lock."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def read_flags(directory: Path) -> dict[str, str]:
    """Returns the flags of a run by name; the values of a repeated flag are sorted and joined.

    Raises:
        UserError: if the folder has no run.
    """
    file = directory / FLAGS_FILE
    if not file.is_file():
        raise UserError(f"{directory}: not a run: expected a folder with {FLAGS_FILE}")
    return parse_flagfile(file.read_text("utf-8", "replace"))


def append_comments(directory: Path, lines: Iterable[str]) -> None:
    """Appends comments to the flags of a run, for what the flags alone do not repeat."""
    file = directory / FLAGS_FILE
    text = file.read_text("utf-8", "replace")
    comments = "".join(f"# {line}\n" for line in lines)
    if comments:
        write_text(file, text + comments)


def parse_checkpoint_interval(text: str) -> tuple[str, float]:
    """Reads '500' as ("steps", 500) and '5m' as ("seconds", 300).

    Raises:
        UserError: for any other text.
    """
    unit, number = ("seconds", text[:-1]) if text.endswith("m") else ("steps", text)
    if not re.fullmatch("[0-9]{1,9}", number) or int(number) == 0:
        raise UserError(
            f"checkpoint_every={text!r}: expected a number of steps, such as 500, or minutes, "
            "such as 5m"
        )
    return unit, int(number) * (60 if unit == "seconds" else 1)


@contextlib.contextmanager
def _lock_folder(directory: Path) -> Iterator[None]:
    """Context manager that locks the folder; the system unlocks it if this process is killed."""
    file, lock = directory / _LOCK, FileLock(directory / _LOCK)
    if not lock.acquire(wait=False):
        process = file.read_text("utf-8", "replace")[:20].strip() or "of another machine"
        raise UserError(
            f"{directory}: process {process} is training in this folder: wait until it ends, or "
            "choose another folder with --run_dir"
        )
    try:
        file.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()


def _compare_flags(
    old_flags: str, new_flags: str, free: Container[str], raisable: str | None
) -> list[str]:
    """Returns the differences between two texts of flags, except for the `free` flags."""
    old, new = parse_flagfile(old_flags), parse_flagfile(new_flags)
    if raisable and _parse_count(new[raisable]) > _parse_count(old.get(raisable, "0")):
        # more epochs, or trials, continue the run
        old[raisable] = new[raisable]
    return [
        f"{name} was {old.get(name, 'not set')}, is {new.get(name, 'not set')}"
        for name in dict.fromkeys([*new, *old])
        if name not in free and old.get(name) != new.get(name)
    ]


def _parse_count(text: str) -> int:
    """Returns the count in the text; an invalid count is larger than any valid one."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 10**18


def parse_flagfile(flags: str) -> dict[str, str]:
    """Returns the values of the flags by name; those of a repeated flag are sorted and joined."""
    values: dict[str, list[str]] = {}
    for line in flags.splitlines():
        name, equals, value = line.partition("=")
        if name.startswith("--") and equals:
            values.setdefault(name[2:], []).append(value)
    return {name: " ".join(sorted(repeated)) for name, repeated in values.items()}
