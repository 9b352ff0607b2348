"""Reads folders of images: PATH/CLASS/IMAGE, or PATH/SPLIT/CLASS/IMAGE for several splits."""

import collections
import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.images.image_files import (
    format_names,
    format_skipped,
    is_hidden,
    list_folder,
    list_image_files,
    list_image_suffixes,
)
from zoo.data.sources.image_streams import make_image_splits
from zoo.data.sources.labelled_folders import find_labelled_folders, load_labelled_folders
from zoo.data.splits import Arrays, LabelledSplits, match_split_name
from zoo.data.tables.labels import Target, choose_spellings, describe_class_variants
from zoo.errors import UserError, format_count, shorten_names

_USUAL_NAMES = {"train", "validation", "val", "test"}


@dataclasses.dataclass
class _Skipped:
    """What was found in the folder and is not used."""

    hidden: int = 0
    others: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    empty_classes: list[str] = dataclasses.field(default_factory=list)
    unclassified: int = 0  # images outside of the class folders
    nested: list[str] = dataclasses.field(default_factory=list)  # folders within class folders
    renamed: list[str] = dataclasses.field(default_factory=list)  # folders of the class of others

    def add_entries(self, entries: Sequence[Path]) -> None:
        """Counts the entries of a folder which should have nothing but folders."""
        shown = [path for path in entries if not is_hidden(path)]
        self.hidden += len(entries) - len(shown)
        suffixes = [path.suffix.lower() for path in shown if path.is_file()]
        images = [suffix for suffix in suffixes if suffix in list_image_suffixes()]
        self.unclassified += len(images)
        self.others += collections.Counter(suffixes) - collections.Counter(images)

    def format_notes(self, root: str) -> list[str]:
        """Returns notes on what was skipped, and on folders within class folders."""
        items = format_skipped(self.hidden, self.others)
        if count := len(self.empty_classes):
            folders = format_count(count, "class folder")
            items.append(f"{folders} without images ({format_names(self.empty_classes)})")
        if self.unclassified:
            items.append(f"{format_count(self.unclassified, 'image')} outside of the class folders")
        notes = [f"{root}: skipped {shorten_names(items)}"] if items else []
        if self.nested:
            notes.append(
                f"{root}: the images in folders of class folders are of the outer class "
                f"({format_names(self.nested)}){self._suggest_inner_classes()}"
            )
        if self.renamed:
            notes.append(
                f"{root}: folders whose names look the same are of one class: "
                f"{format_names(self.renamed)}"
            )
        return notes

    def _suggest_inner_classes(self) -> str:
        """Returns advice if all class folders have the same folders, which may be the classes."""
        inner: dict[str, set[str]] = {}
        for folder in map(Path, self.nested):
            inner.setdefault(str(folder.parent), set()).add(folder.name)
        first = next(iter(inner.values()))
        if len(inner) < 2 or len(first) < 2 or any(names != first for names in inner.values()):
            return ""
        return (
            f": each has the folders {format_names(sorted(first))}; if these are the classes, call "
            "the folders around them train, validation and test"
        )


def load_image_folder(path: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a folder with one subfolder of images per class, or a table.

    Args:
        path: The folder, or a folder with subfolders for the splits: train (or training) and,
            optionally, validation (val, valid, dev) and test (testing). If one of them has a table
            of labels beside its images, the labels are those of the table.
        config: Settings of images, and of the columns of such a table.

    Raises:
        UserError: if the folder does not exist, has fewer than two classes, or an image or a label
            cannot be read.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        found = "this is a file" if root.is_file() else "there is no such folder"
        raise UserError(f"folder:{path}: {found}; expected a folder with a subfolder per class")
    label_files, label_notes = find_labelled_folders(root)
    if label_files:
        return load_labelled_folders(f"folder:{path}", label_files, config, label_notes)
    skipped = _Skipped()
    folders, notes = _find_splits(root, f"folder:{path}", skipped)
    notes += _check_settings(f"folder:{path}", config)
    classes = {name: _list_classes(folder, skipped) for name, folder in folders.items()}
    if config.merge_label_case:
        notes += _merge_classes(classes, config)
    else:
        notes += describe_class_variants(classes["train"], f"folder:{path}")
    class_names = config.known_classes or tuple(classes["train"])
    source = "the model" if config.known_classes else "the training folder"
    for name, by_class in classes.items():
        _check_classes(folders[name], by_class, class_names, source)
    listings = {name: _join_classes(found, class_names) for name, found in classes.items()}
    if len(classes["train"]) < (1 if config.known_classes else 2):
        skips = "".join(skipped.format_notes(f"; {folders['train']}"))
        found = format_count(len(classes["train"]), "class folder")
        expected = "those of the model" if config.known_classes else "at least 2"
        raise UserError(
            f"folder:{path}: {folders['train']} has {found} with images; expected {expected}, each "
            f"with the images of one class{skips}{_suggest_inner_folder(folders['train'])}"
        )
    notes += skipped.format_notes(f"folder:{path}")
    origins = {name: str(folder) for name, folder in folders.items()}
    target = Target(class_names)
    return make_image_splits(f"folder:{path}", listings, target, config, origins, notes)


def _check_settings(name: str, config: DataConfig) -> list[str]:
    """Checks the settings for a folder whose classes are subfolders; returns notes on unused ones.

    Raises:
        UserError: if columns are named, or another task than a classification is asked for.
    """
    if config.task not in (None, "classification"):
        raise UserError(
            f"task={config.task}: {name} has a folder per class: omit --task, or put a table of "
            "the labels, labels.csv, beside the images"
        )
    notes = []
    for setting in ("label", "group", "time", "slices", "columns", "separator", "encoding"):
        if not getattr(config, setting):
            continue
        if setting == "slices" or not config.known_classes:
            raise UserError(
                f"{setting}={getattr(config, setting)}: {name} has no columns: omit --{setting}, "
                "or put a table of the labels, labels.csv, beside the images"
            )
        notes.append(f"{name}: the labels are the folders of the images; {setting} is not used")
    return notes


def _merge_classes(classes: dict[str, dict[str, tuple[str, ...]]], config: DataConfig) -> list[str]:
    """Merges classes that differ only in case, in place; returns notes on them."""
    counts = {name: len(paths) for name, paths in classes["train"].items()}
    spellings, notes = choose_spellings(counts, config), []
    for split, by_class in classes.items():
        merged: dict[str, tuple[str, ...]] = {}
        for name, paths in by_class.items():
            new = spellings.get(name.lower(), name)
            merged[new] = tuple(sorted((*merged.get(new, ()), *paths)))
            if new != name:
                notes.append(f"class {name!r} of the {split} split was merged with {new!r}")
        classes[split] = dict(sorted(merged.items()))
    return notes


def _find_splits(root: Path, name: str, skipped: _Skipped) -> tuple[dict[str, Path], list[str]]:
    """Returns the folder of each split, and notes. A folder without splits is that of "train"."""
    entries = list_folder(root)
    folders = _list_folders(entries)
    splits: dict[str, Path] = {}
    for folder in folders:
        split = match_split_name(folder.name)
        if split in splits:
            raise UserError(
                f"{name}: {splits[split].name} and {folder.name} are both the {split} split: "
                "rename or remove one of them"
            )
        if split:
            splits[split] = folder
    nested = {split for split, folder in splits.items() if _list_folders(list_folder(folder))}
    if "train" not in nested:
        if splits and (nested or len(splits) == len(folders)):
            found = ", ".join(sorted(folder.name for folder in folders))
            raise UserError(
                f"{name}: it has {found}: expected train, with a subfolder of images per class, or "
                "with labels.csv, or with metadata.csv that has a column file_name"
            )
        return {"train": root}, []
    skipped.add_entries(entries)
    notes = []
    if any(folder.name not in _USUAL_NAMES for folder in splits.values()):
        pairs = [f"{folder.name} ({split})" for split, folder in splits.items()]
        notes.append(f"{name}: its folders are taken for splits: {shorten_names(pairs)}")
    if unused := [folder.name for folder in folders if folder not in splits.values()]:
        notes.append(f"{name}: beside the splits, {format_names(unused)} is not used")
    for split in sorted(splits.keys() - nested):
        unlabelled = splits[split].name
        notes.append(f"{name}: {unlabelled} has no class folders and is not the {split} split")
    return {split: folder for split, folder in splits.items() if split in nested}, notes


def _list_folders(entries: Sequence[Path]) -> list[Path]:
    return [path for path in entries if path.is_dir() and not is_hidden(path)]


def _list_classes(folder: Path, skipped: _Skipped) -> dict[str, tuple[str, ...]]:
    """Returns the paths of the images of each class that has some."""
    entries = list_folder(folder)
    skipped.add_entries(entries)
    paths_by_class: dict[str, tuple[str, ...]] = {}
    for class_folder in _list_folders(entries):
        files = list_image_files(class_folder)
        skipped.hidden += files.hidden
        skipped.others += files.others
        # what was packed by a Mac has accents apart from their letters
        name = unicodedata.normalize("NFC", class_folder.name)
        if not files.paths:
            skipped.empty_classes.append(str(class_folder))
        else:
            if name in paths_by_class:
                skipped.renamed.append(str(class_folder))
            paths_by_class[name] = tuple(sorted((*paths_by_class.get(name, ()), *files.paths)))
            parents = {Path(file).parent for file in files.paths}
            skipped.nested += sorted(map(str, parents - {class_folder}))
    return dict(sorted(paths_by_class.items()))


def _suggest_inner_folder(folder: Path) -> str:
    """Returns advice to pass the only folder within a folder, and so on, that has class folders."""
    inner = folder
    while len(found := _list_folders(list_folder(inner))) == 1:
        inner = found[0]
    return f": pass folder:{inner}" if found and inner != folder else ""


def _check_classes(
    folder: Path, found: Iterable[str], class_names: tuple[str, ...], source: str
) -> None:
    """Raises a UserError if a class is not one of `class_names`, where there are any."""
    unknown = sorted(set(found) - set(class_names))
    if class_names and unknown:
        has_case = unknown[0].lower() in {name.lower() for name in class_names}
        advice = "pass --merge_label_case" if has_case else "rename or remove the folder"
        raise UserError(
            f"{folder / unknown[0]}: this class is not in {source}, which has "
            f"{shorten_names(class_names)}: {advice}"
        )


def _join_classes(
    paths_by_class: dict[str, tuple[str, ...]], class_names: tuple[str, ...]
) -> Arrays:
    """Returns the paths and the classes of the images of all classes."""
    paths = [path for name in class_names for path in paths_by_class.get(name, ())]
    counts = [len(paths_by_class.get(name, ())) for name in class_names]
    return Arrays(np.array(paths, object), np.repeat(np.arange(len(class_names)), counts))
