"""Paths that are given in place of the name of a dataset."""

import os
from collections.abc import Sequence
from pathlib import Path

from zoo.data.sources.table_files import TABLE_KINDS
from zoo.data.sources.table_folders import is_saved_dataset
from zoo.errors import UserError

# what people write for the kinds, before or at the end of a path
_ALIASES = {
    "json": "jsonl",
    "ndjson": "jsonl",
    "txt": "csv",
    "pq": "parquet",
    "feather": "arrow",
    "images": "folder",
    "imagefolder": "folder",
}
_SPREADSHEETS = {"xlsx", "xls", "ods", "excel"}


def is_folder_path(name: str) -> bool:
    """Whether a name is the path of a folder.

    A name without slashes is that of a dataset, also where a folder has the same name.
    """
    is_path = name.startswith((".", "~", "/")) or name.endswith("/")
    return is_path and os.path.isdir(os.path.expanduser(name))


def reject_path(name: str, kinds: Sequence[str]) -> None:
    """Raises a UserError if the name of a dataset is a path, which needs its kind in front.

    Args:
        name: The name that was given, without a kind.
        kinds: The kinds of files that are read; "folder" stands for folders of images.
    """
    path = Path(os.path.expanduser(name))
    words = {suffix.lower().removeprefix(".") for suffix in path.suffixes}
    prefix, _, rest = name.lower().partition(":")
    shown = name
    if rest and (prefix in _SPREADSHEETS or _find_kind(prefix, kinds) in kinds):
        shown, words = name[len(prefix) + 1 :], {prefix}
    if words & _SPREADSHEETS:
        raise UserError(
            f"dataset={name}: spreadsheets are not read: save the sheet as CSV and write csv:PATH"
        )
    words = {_find_kind(word, kinds) for word in words}
    kind = next((kind for kind in kinds if kind in words), "")
    if is_folder_path(name):
        found = (kind for kind in TABLE_KINDS if any(path.glob(f"*.{kind}*")))
        other = "folder" if "folder" in kinds else ""
        kind = "arrow" if is_saved_dataset(path) else next(found, other)
    if kind:
        raise UserError(f"dataset={name}: this is a path: write {kind}:{shown}")


def reject_address(name: str) -> None:
    """Raises a UserError if the name of a dataset, with or without a kind, is an address."""
    if "://" in name:
        raise UserError(
            f"dataset={name}: files are not read from the web: download it, and pass its path, "
            "such as csv:PATH"
        )


def _find_kind(word: str, kinds: Sequence[str]) -> str:
    """Returns the kind that a word stands for, or the word itself."""
    return word if word in kinds else _ALIASES.get(word, word)
