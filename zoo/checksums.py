"""SHA256SUMS: whether files are as they were written; `sha256sum --check` reads it too."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

FILE = "SHA256SUMS"


def write(directory: Path, names: Iterable[str]) -> None:
    """Writes `directory`/SHA256SUMS of these files there.

    Raises:
        OSError: if one cannot be read, or it cannot be written.
    """
    sums = [f"{digest(directory / name)}  {name}\n" for name in names]
    (directory / FILE).write_text("".join(sums))


def changed(directory: Path, names: Iterable[str]) -> list[str]:
    """The files that are gone, or not as `write` found them; none if all is well.

    Args:
        directory: Their folder.
        names: The files that SHA256SUMS has to name, and no others.
    """
    try:
        lines = (directory / FILE).read_text().splitlines()
        sums = dict(line.split("  ")[::-1] for line in lines)
    except (OSError, ValueError):
        return [FILE]
    now = {name: _digest_if_there(directory / name) for name in names}
    return sorted(n for n in sums.keys() | now.keys() if n not in sums or sums[n] != now.get(n))


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _digest_if_there(path: Path) -> str | None:
    try:
        return digest(path)
    except OSError:
        return None
