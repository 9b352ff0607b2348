"""Finds the files of the splits in a folder of tables."""

import os
from pathlib import Path

from zoo.data.images.image_files import format_names
from zoo.data.sources.arrow_files import ARROW_KINDS, list_parts
from zoo.data.splits import match_split_name
from zoo.errors import UserError

# of files that may have a split
_SUFFIXES = {
    *("csv", "tsv", "json", "jsonl", "ndjson"),
    *("parquet", "arrow", "feather", "xls", "xlsx", "ods"),
}


def find_split_files(kind: str, path: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Returns the file of each split, the first one of several, and notes on what is passed over.

    Args:
        kind: Kind of the table, which is also the file extension in a folder.
        path: A file, which is the training split, or a folder.

    Raises:
        UserError: if there is no file to train on.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        if not root.is_file():
            raise UserError(f"{kind}:{path}: there is no file {root}")
        return {"train": root}, ()
    files: dict[str, Path] = {}
    others: list[Path] = []
    parts: set[Path] = set()
    for file in sorted(root.rglob(f"*.{kind}*") if kind in ARROW_KINDS else root.iterdir()):
        name = file.name.lower().removesuffix(".gz")
        if not name.endswith(f".{kind}") or name.startswith(".") or file in parts:
            continue
        split = _find_split(file, name.removesuffix(f".{kind}"), root, kind)
        if split in files and files[split].parent != file.parent:
            first, second = files[split].parent, file.parent
            raise UserError(
                f"{kind}:{path}: {first} and {second} both have the {split} split: pass the folder "
                f"of one of them, such as {kind}:{_find_top(first, second)}"
            )
        if split and split not in files:
            files[split] = file
            if kind in ARROW_KINDS:
                parts.update(list_parts(file))
        else:
            others.append(file)
    if "train" not in files:
        raise UserError(f"{kind}:{path}: {_explain_no_training(kind, root, others)}")
    if len(files) == 1 and "validation" in files:
        others.append(files["validation"])
    others += _find_other_kinds(root, files)
    names = ", ".join(str(file.relative_to(root)) for file in others)
    return files, (f"{root}: these files are not read: {names}",) if others else ()


def _find_other_kinds(root: Path, files: dict[str, Path]) -> list[Path]:
    """Returns files in a folder with the names of splits that are missing, but of another kind."""
    found = []
    for file in sorted(root.iterdir()):
        stem, *suffixes = file.name.lower().split(".")
        split = match_split_name(stem)
        if split and split not in files and _SUFFIXES.intersection(suffixes):
            found.append(file)
    return found


def _find_split(file: Path, stem: str, root: Path, kind: str) -> str | None:
    """Returns the split of a file by its name or, of Hugging Face's datasets, its folder.

    They have train-00000-of-00001.parquet, train/0000.parquet, imdb-train.arrow or
    train/data-00000-of-00001.arrow, and data-00000-of-00001.arrow where there are no splits.
    """
    stem = stem.split("-0")[0]
    if kind not in ARROW_KINDS:
        return match_split_name(stem)
    cached = [stem.rpartition("-")[2]] if kind == "arrow" else []
    names = (stem, *cached, *reversed(file.relative_to(root).parent.parts))
    if split := next(filter(None, map(match_split_name, names)), None):
        return split
    return "train" if stem == "data" and file.parent == root else None


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
