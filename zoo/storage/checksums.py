"""Checksums in a file SHA256SUMS, in the format of `sha256sum`, to detect damaged files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from zoo.storage.atomic import write_text
from zoo.storage.filenames import CHECKSUMS


def write_checksums(directory: Path, names: Iterable[str]) -> None:
    """Writes the checksums of files in a folder to `directory`/SHA256SUMS.

    Raises:
        OSError: if a file cannot be read, or SHA256SUMS cannot be written.
    """
    lines = [f"{compute_sha256(directory / name)}  {name}\n" for name in names]
    write_text(directory / CHECKSUMS, "".join(lines))


def find_changed_files(directory: Path, names: Iterable[str]) -> list[str]:
    """Returns the files that are missing or differ from SHA256SUMS, sorted.

    Args:
        directory: Folder of the files.
        names: The files that SHA256SUMS is expected to list; it may not list others.

    Returns:
        An empty list if all files match; ["SHA256SUMS"] if it cannot be read.
    """
    try:
        lines = (directory / CHECKSUMS).read_text().splitlines()
        recorded = dict(line.split("  ")[::-1] for line in lines)
    except (OSError, ValueError):
        return [CHECKSUMS]
    actual = {name: _try_compute_sha256(directory / name) for name in names}
    return sorted(
        name
        for name in recorded.keys() | actual.keys()
        if name not in recorded or recorded[name] != actual.get(name)
    )


def compute_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _try_compute_sha256(path: Path) -> str | None:
    """Returns the SHA-256 of a file, or None if it cannot be read."""
    try:
        return compute_sha256(path)
    except OSError:
        return None
