"""The versions in the folder of an exported model: numbered folders, as TF Serving finds them.

TF Serving takes every entry whose name is a whole number, with leading zeros too, for a version. It
serves the newest ones, and goes on without those that it cannot load.
"""

import re
from pathlib import Path

from zoo.errors import UserError

GRAPH = "saved_model.pb"
_MAX_VERSION = 2**63 - 1


def parse_version(name: str) -> int | None:
    """Returns the number that the name of a folder stands for, or None if it is no version."""
    number = int(name) if re.fullmatch("[0-9]{1,100}", name) else _MAX_VERSION + 1
    return number if number <= _MAX_VERSION else None


def list_versions(directory: Path) -> list[Path]:
    """Returns all entries of a folder that are versions by their name, oldest first."""
    if not directory.is_dir():
        return []
    numbers = {path: parse_version(path.name) for path in directory.iterdir()}
    versions = [(number, path) for path, number in numbers.items() if number is not None]
    return [path for _, path in sorted(versions)]


def index_versions(directory: Path) -> dict[int, Path]:
    """Returns the versions in a folder that hold a model, by their number, oldest first.

    Of two folders with the same number, such as 01 and 1, it is the last one by name.
    """
    return {int(path.name): path for path in list_versions(directory) if (path / GRAPH).is_file()}


def find_next_number(directory: Path) -> int:
    """Returns the number of the next version: one more than the highest, also of an empty one."""
    return max((int(path.name) for path in list_versions(directory)), default=0) + 1


def describe_unused_versions(directory: Path) -> list[str]:
    """Returns notes on the versions in a folder that hold no model or whose number is not unique.

    Those that are older than the newest version with a model do no harm.
    """
    used = index_versions(directory)
    newest = max(used, default=-1)
    notes = []
    for path in list_versions(directory):
        number = int(path.name)
        if number > newest:
            notes.append(
                f"{path} holds no export ({GRAPH} is missing) and is passed over, as TF Serving "
                "cannot load it either: copy it again, or remove it"
            )
        elif (path / GRAPH).is_file() and path != used[number]:
            notes.append(
                f"{path} and {used[number].name} are both version {number}: the latter is used, "
                "but TF Serving may load either: rename or remove one of them"
            )
    return notes


def find_version(path: Path) -> Path:
    """Returns the path itself if it is an export, or else the newest version in the folder.

    Raises:
        UserError: if there is no export at the path.
    """
    if (path / GRAPH).is_file():
        return path
    versions = index_versions(path)
    if not versions:
        empty = ", ".join(version.name for version in list_versions(path))
        missing = f" ({GRAPH} is missing{f' in {empty}' if empty else ''})" * path.is_dir()
        raise UserError(
            f"{path}: there is no export{missing}; expected one such as saved_models/cnn/1"
        )
    return versions[max(versions)]


def check_export_name(name: str) -> None:
    """Checks the name of a folder of versions, which is the model's name in TF Serving.

    Raises:
        UserError: if it is no plain file name, or a number, which would be a version.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) or parse_version(name) is not None:
        raise UserError(
            f"--export_name={name}: expected letters, digits, '_', '-' and '.', not only digits, "
            "such as reviews"
        )
