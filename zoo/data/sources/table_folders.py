"""Finds the files of the splits in a folder of tables, of which one may be in several files."""

import os
from pathlib import Path

from zoo.data.images.image_files import format_names
from zoo.data.sources.arrow_files import ARROW_KINDS
from zoo.data.sources.file_parts import check_parts, list_parts, parse_part_name, sort_parts
from zoo.data.splits import match_split_name
from zoo.errors import UserError, shorten_names

# of files that may have a split
_SUFFIXES = {
    *("csv", "tsv", "json", "jsonl", "ndjson"),
    *("parquet", "arrow", "feather", "xls", "xlsx", "ods"),
}
_SHOWN = 20  # names of files that are not read


def find_split_files(kind: str, path: str) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Returns the files of each split, and notes on them and on those that are passed over.

    Several files of a split are parts of one table: see `zoo.data.sources.file_parts`.

    Args:
        kind: Kind of the table, which is also the file extension in a folder.
        path: A file, which is the training split, or a folder.

    Raises:
        UserError: if there is no file to train on, or a part is missing.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        if not root.is_file():
            raise UserError(f"{kind}:{path}: there is no file {root}")
        files = {"train": list_parts(root)}
        return files, _describe_parts(files)
    tables = _group_files(kind, root)
    others = [file for parts in tables.pop("", {}).values() for file in parts]
    files = {}
    for split, found in tables.items():
        first, *rest = found
        if other := next((x for x in rest if x.parent != first.parent), None):
            raise UserError(
                f"{kind}:{path}: {first.parent} and {other.parent} both have the {split} split: "
                f"pass the folder of one of them, such as "
                f"{kind}:{_find_top(first.parent, other.parent)}"
            )
        whole = next((x for x in found if "*" not in x.name), first)
        files[split] = found.pop(whole)
        others += [file for parts in found.values() for file in parts]
    if "train" not in files:
        raise UserError(f"{kind}:{path}: {_explain_no_training(kind, root, others)}")
    notes = _describe_parts(files)
    others += _find_other_kinds(root, {*files})
    names = [str(file.relative_to(root)) for file in others]
    left_out = f"{root}: these files are not read: {shorten_names(names, _SHOWN)}"
    return files, (*notes, *(left_out,) * bool(others))


def _group_files(kind: str, root: Path) -> dict[str, dict[Path, list[Path]]]:
    """Returns the files of a folder by split, "" for none, and by the pattern of its parts."""
    tables: dict[str, dict[Path, list[Path]]] = {}
    for file in _list_files(kind, root):
        split, pattern = _find_split(file, root, kind)
        tables.setdefault(split, {}).setdefault(file.parent / pattern, []).append(file)
    for found in tables.values():
        found.update({pattern: sort_parts(parts) for pattern, parts in found.items()})
    unnamed = tables.get("", {})
    numbered = [x for x, parts in unnamed.items() if x.parent == root and _are_parts(parts)]
    if "train" not in tables and len(numbered) == 1:
        tables["train"] = {numbered[0]: unnamed.pop(numbered[0])}
    return tables


def _list_files(kind: str, root: Path) -> list[Path]:
    """Returns the files of a kind in a folder and, unless one is for training, those of splits."""
    found = sorted(root.rglob(f"*.{kind}*") if kind in ARROW_KINDS else root.iterdir())
    files = [file for file in found if _is_of_kind(file, kind)]
    if kind in ARROW_KINDS or any(_find_split(file, root, kind)[0] == "train" for file in files):
        return files
    folders = (folder for folder in found if match_split_name(folder.name) and folder.is_dir())
    below = (file for folder in folders for file in sorted(folder.iterdir()))
    return files + [file for file in below if _is_of_kind(file, kind)]


def _is_of_kind(file: Path, kind: str) -> bool:
    """Whether a file is of a kind, and not hidden or what Hugging Face's datasets computed."""
    name = file.name.lower().removesuffix(".gz")
    hidden = (".", "cache-") if kind == "arrow" else "."
    return name.endswith(f".{kind}") and not name.startswith(hidden)


def _are_parts(files: list[Path]) -> bool:
    """Whether files without the name of a split are certainly parts of one table."""
    part = parse_part_name(files[0].name)
    return part.number is not None and (len(files) > 1 or part.total > 0 or part.stem == "part-")


def _find_split(file: Path, root: Path, kind: str) -> tuple[str, str]:
    """Returns the split of a file by its name or its folder, or "", and the pattern of its parts.

    Hugging Face's datasets have train-00000-of-00001.parquet, train/0000.parquet, imdb-train.arrow
    or train/data-00000-of-00001.arrow. All files in a folder of a split are parts of one table.
    """
    stem, pattern, _, total = parse_part_name(file.name)
    cached = [stem.rstrip("-").rpartition("-")[2]] if kind == "arrow" else []
    if split := next(filter(None, map(match_split_name, (stem, *cached))), None):
        return split, pattern
    folders = reversed(file.relative_to(root).parent.parts)
    if split := next(filter(None, map(match_split_name, folders)), None):
        return split, pattern if total else "*"
    return "", pattern


def _describe_parts(files: dict[str, list[Path]]) -> tuple[str, ...]:
    """Returns notes on the splits that are in several files."""
    notes: list[str] = []
    for split, parts in files.items():
        notes += check_parts(parts)
        if len(parts) > 1:
            folder, first, last = parts[0].parent, parts[0].name, parts[-1].name
            notes.append(f"{folder}: the {split} split has {len(parts)} files, {first} to {last}")
    return tuple(notes)


def _find_other_kinds(root: Path, splits: set[str]) -> list[Path]:
    """Returns files in a folder with the names of splits that are missing, but of another kind."""
    found = []
    for file in sorted(root.iterdir()):
        split = match_split_name(parse_part_name(file.name).stem)
        suffixes = file.name.lower().split(".")[1:]
        if split and split not in splits and _SUFFIXES.intersection(suffixes):
            found.append(file)
    return found


def _find_top(first: Path, second: Path) -> Path:
    """Returns the folder above or at the first path that the second one is not in."""
    above = [first, *first.parents]
    return next(path for path in reversed(above) if not second.is_relative_to(path))


def _explain_no_training(kind: str, root: Path, others: list[Path]) -> str:
    if kind != "arrow" and is_saved_dataset(root):
        return f"this is a dataset of Hugging Face in Arrow files: pass arrow:{root}"
    names = [str(file.relative_to(root)) for file in others]
    found = f"; it has {format_names(names)}" * bool(names)
    return (
        f"there is no file {root / f'train.{kind}'}{found}: rename the file to train on, or pass "
        "its path"
    )


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of Hugging Face's datasets wrote a folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
