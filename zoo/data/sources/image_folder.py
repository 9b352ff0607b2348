"""Reads folders of images: PATH/CLASS/IMAGE, or PATH/SPLIT/CLASS/IMAGE for several splits."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.config import DataConfig
from zoo.data.image_files import (
    ImageHeader,
    format_names,
    format_skipped,
    is_hidden,
    list_folder,
    list_image_files,
    list_image_suffixes,
    read_image_header,
)
from zoo.data.images import REMEDY, choose_image_size, find_image_fault, load_image
from zoo.data.spec import Spec
from zoo.data.splits import LabelledSplits, Stream
from zoo.errors import UserError

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_USUAL_NAMES = {"train", "validation", "val", "test"}
_PARALLEL_CALLS = 4  # images that are decoded at the same time
_SAMPLED_IMAGES = 1_000  # images whose headers are read to choose the size


@dataclasses.dataclass
class _Skipped:
    """What was found in the folder and is not used."""

    hidden: int = 0
    others: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    empty_classes: list[str] = dataclasses.field(default_factory=list)
    unclassified: int = 0  # images outside of the class folders

    def add_entries(self, entries: Sequence[Path]) -> None:
        """Counts the entries of a folder which should have nothing but folders."""
        shown = [path for path in entries if not is_hidden(path)]
        self.hidden += len(entries) - len(shown)
        suffixes = [path.suffix.lower() for path in shown if path.is_file()]
        images = [suffix for suffix in suffixes if suffix in list_image_suffixes()]
        self.unclassified += len(images)
        self.others += collections.Counter(suffixes) - collections.Counter(images)

    def format_note(self, root: str) -> list[str]:
        """Returns a note, or none if nothing was skipped."""
        items = format_skipped(self.hidden, self.others)
        if count := len(self.empty_classes):
            folders = (
                "class folder without images" if count == 1 else "class folders without images"
            )
            items.append(f"{count:,} {folders} ({format_names(self.empty_classes)})")
        if self.unclassified:
            images = "image" if self.unclassified == 1 else "images"
            items.append(f"{self.unclassified:,} {images} outside of the class folders")
        return [f"{root}: skipped {', '.join(items)}"] if items else []


def load_image_folder(path: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a folder with one subfolder of images per class.

    Args:
        path: The folder, or a folder with subfolders for the splits: train (or training) and,
            optionally, validation (val, valid, dev) and test (testing).
        config: `image_size`, `resize`, `color`, `skip_broken` and `known_classes` are used.

    Raises:
        UserError: if the folder does not exist, has fewer than two classes, or an image cannot be
            read.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(
            f"folder:{path}: there is no such folder; expected one with a subfolder per class"
        )
    skipped = _Skipped()
    folders, notes = _find_splits(root, f"folder:{path}", skipped)
    files = {}
    class_names = config.known_classes or ()
    for name in sorted(folders, key="train".__ne__):  # its classes are those of all splits
        by_class = _list_classes(folders[name], skipped)
        source = "the model" if config.known_classes else "the training folder"
        _check_classes(folders[name], by_class, class_names, source)
        class_names = class_names or tuple(by_class)
        files[name] = _join_classes(by_class, class_names)
    if len(class_names) < 2:
        (skips,) = skipped.format_note(f"; {folders['train']}") or ("",)
        raise UserError(
            f"folder:{path}: {folders['train']} has {len(class_names)} class folders with images; "
            f"expected at least 2, each with the images of one class{skips}"
        )
    notes += skipped.format_note(f"folder:{path}")
    if config.skip_broken:
        faults: dict[str, str] = {}
        for name, (paths, labels) in files.items():
            broken = _find_broken(paths, name)
            files[name] = _drop_files(paths, labels, broken)
            faults |= broken
        notes += _describe_broken(path, list(faults.values()))
    shape, traits = _choose_shape(files["train"][0], config)
    spec = Spec("image", shape, class_names, resize=config.resize or "stretch")
    splits = {name: _make_stream(*listed, spec) for name, listed in files.items()}
    origins = {name: str(folder) for name, folder in folders.items()}
    return LabelledSplits("", spec, splits, origins, (*notes, *traits))


def _find_splits(root: Path, name: str, skipped: _Skipped) -> tuple[dict[str, Path], list[str]]:
    """Returns the folder of each split, and notes. A folder without splits is that of "train"."""
    entries = list_folder(root)
    folders = _list_folders(entries)
    splits: dict[str, Path] = {}
    for folder in folders:
        split = _SPLITS.get(folder.name.lower())
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
                f"{name}: it has {found}: expected train, with a subfolder of images per class"
            )
        return {"train": root}, []
    skipped.add_entries(entries)
    notes = []
    if any(folder.name not in _USUAL_NAMES for folder in splits.values()):
        pairs = [f"{folder.name} ({split})" for split, folder in splits.items()]
        notes.append(f"{name}: its folders are taken for splits: {', '.join(pairs)}")
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
    paths_by_class = {}
    for class_folder in _list_folders(entries):
        files = list_image_files(class_folder)
        skipped.hidden += files.hidden
        skipped.others += files.others
        name = class_folder.name
        if not files.paths:
            skipped.empty_classes.append(str(class_folder))
        else:
            paths_by_class[name] = files.paths
    return paths_by_class


def _check_classes(
    folder: Path, found: Iterable[str], class_names: tuple[str, ...], source: str
) -> None:
    """Raises a UserError if a class is not one of `class_names`, where there are any."""
    unknown = sorted(set(found) - set(class_names))
    if class_names and unknown:
        raise UserError(
            f"{folder / unknown[0]}: this class is not in {source}, which has "
            f"{', '.join(class_names)}"
        )


def _join_classes(
    paths_by_class: dict[str, tuple[str, ...]], class_names: tuple[str, ...]
) -> tuple[list[str], list[int]]:
    """Returns the paths and the labels of the images of all classes."""
    paths = [path for name in class_names for path in paths_by_class.get(name, ())]
    counts = [len(paths_by_class.get(name, ())) for name in class_names]
    return paths, np.repeat(np.arange(len(class_names)), counts).tolist()


def _find_broken(paths: list[str], split_name: str) -> dict[str, str]:
    """Returns what is wrong with the images that cannot be decoded, by their path."""
    with (
        concurrent.futures.ThreadPoolExecutor(_PARALLEL_CALLS) as pool,
        progress_bar(len(paths), f"checking {split_name}") as bar,
    ):
        faults = {}
        for path, fault in zip(paths, pool.map(find_image_fault, paths), strict=True):
            bar.update(1)
            if fault:
                faults[path] = fault
    return faults


def _drop_files(
    paths: list[str], labels: list[int], broken: Container[str]
) -> tuple[list[str], list[int]]:
    kept = [row for row, path in enumerate(paths) if path not in broken]
    return [paths[row] for row in kept], [labels[row] for row in kept]


def _describe_broken(path: str, faults: list[str]) -> list[str]:
    if not faults:
        return []
    noun = "image that cannot be read" if len(faults) == 1 else "images that cannot be read"
    return [f"folder:{path}: skipped {len(faults):,} {noun} ({format_names(faults)})"]


def _choose_shape(paths: list[str], config: DataConfig) -> tuple[tuple[int, int, int], list[str]]:
    """Returns the (rows, columns, channels) to read images as, and notes on their conversion.

    The size is the median of a sample, and the images are greyscale if all of the sample are,
    unless the settings name others.
    """
    if not paths:
        raise UserError("the training split has no image that can be read")
    sample = np.random.default_rng(0).permutation(np.array(paths, object))[:_SAMPLED_IMAGES]
    try:
        headers = [read_image_header(path) for path in sample]
    except UserError as error:
        raise UserError(f"{error}: {REMEDY}") from error
    is_grey = all(header.is_grey for header in headers)
    channels = {"gray": 1, "rgb": 3}.get(config.color or "", 1 if is_grey else 3)
    size = config.image_size or choose_image_size([header.size for header in headers])
    return (*size, channels), _describe_traits(headers, len(paths))


def _describe_traits(headers: list[ImageHeader], total: int) -> list[str]:
    counts = collections.Counter(trait for header in headers for trait in header.traits)
    if not counts:
        return []
    traits = ", ".join(f"{count:,} {trait}" for trait, count in counts.most_common())
    looked_at = "" if len(headers) == total else " that were looked at"
    return [f"of the {len(headers):,} training images{looked_at}, {traits}"]


def _make_stream(paths: list[str], labels: list[int], spec: Spec) -> Stream:
    all_paths, all_labels = tf.constant(paths, tf.string), tf.constant(labels, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def decode(row):
        image = load_image(tf.gather(all_paths, row), spec.shape, spec.resize)
        return image, tf.gather(all_labels, row)

    def read(seed, rows):
        order = np.arange(len(paths)) if rows is None else np.flatnonzero(rows)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(tf.constant(order), seed)
        dataset = tf.data.Dataset.from_tensor_slices(order)
        return dataset.map(decode, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)

    return Stream(len(paths), read, paths=tuple(paths), labels=np.array(labels, "int64"))
