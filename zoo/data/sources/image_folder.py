"""Reads folders of images: PATH/CLASS/IMAGE, or PATH/SPLIT/CLASS/IMAGE for several splits."""

import os
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from zoo.data.images import choose_image_size, decode_image, too_large_error
from zoo.data.spec import Spec
from zoo.data.splits import LabelledSplits, Stream
from zoo.errors import UserError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif"}
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_PARALLEL_CALLS = 4  # images that are decoded at the same time
_SAMPLED_IMAGES = 1_000  # images whose headers are read to choose the size


def load_image_folder(path: str, image_size: tuple[int, int] | None) -> LabelledSplits:
    """Reads the labelled splits of a folder with one subfolder of images per class.

    Images are greyscale if all sampled images are; otherwise RGB.

    Args:
        path: The folder, or a folder with subfolders train and, optionally, validation (or val)
            and test.
        image_size: (rows, columns) to resize to; None for the median size of the training images.

    Raises:
        UserError: if the folder does not exist, has fewer than two classes or a class without
            images, or an image cannot be read.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(
            f"folder:{path}: there is no such folder; expected one with a subfolder per class"
        )
    folders = {_SPLITS[p.name]: p for p in _list_folders(root) if p.name in _SPLITS}
    if "train" not in folders:
        folders = {"train": root}
    class_names = tuple(p.name for p in _list_folders(folders["train"]))
    if len(class_names) < 2:
        raise UserError(
            f"folder:{path}: {folders['train']} has {len(class_names)} class folders; expected "
            "at least 2, each with the images of one class"
        )
    files = {name: _list_images(folder, class_names) for name, folder in folders.items()}
    size, channels = _choose_size_and_channels(files["train"][0])
    shape = (*(image_size or size), channels)
    splits = {name: _make_stream(paths, labels, shape) for name, (paths, labels) in files.items()}
    origins = {name: str(folder) for name, folder in folders.items()}
    return LabelledSplits("", Spec("image", shape, class_names), splits, origins)


def _list_folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list_images(folder: Path, class_names: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Returns the paths and labels of all images in the class folders."""
    unknown = {p.name for p in _list_folders(folder)} - set(class_names)
    if unknown:
        raise UserError(
            f"{folder / min(unknown)}: this class is not in the training folder, which has "
            f"{', '.join(class_names)}"
        )
    paths, labels = [], []
    for label, name in enumerate(class_names):
        files = (folder / name).glob("**/*")
        class_paths = sorted(str(p) for p in files if p.suffix.lower() in _SUFFIXES)
        if not class_paths:
            raise UserError(
                f"{folder / name}: no images for this class; expected files that end in "
                f"{', '.join(sorted(_SUFFIXES))}"
            )
        paths += class_paths
        labels += [label] * len(class_paths)
    return paths, labels


def _choose_size_and_channels(paths: list[str]) -> tuple[tuple[int, int], int]:
    """Returns the median (rows, columns) and the channels (1 if all are greyscale) of a sample."""
    sample = np.random.default_rng(0).permutation(paths)[:_SAMPLED_IMAGES]
    sizes, modes = [], set()
    for path in sample:
        try:
            with warnings.catch_warnings():
                # Image.open reads only the header
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    sizes.append((image.height, image.width))
                    modes.add(image.mode)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise too_large_error(path) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"{path}: not a readable PNG, JPEG, BMP or GIF image ({error}): replace it or "
                "remove it from the folder"
            ) from error
    return choose_image_size(sizes), 1 if modes <= {"L", "1"} else 3


def _make_stream(paths: list[str], labels: list[int], shape: tuple[int, ...]) -> Stream:
    all_paths, all_labels = tf.constant(paths), tf.constant(labels, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def decode(row):
        encoded = tf.io.read_file(tf.gather(all_paths, row))
        return decode_image(encoded, shape), tf.gather(all_labels, row)

    def read(seed, rows):
        order = np.arange(len(paths)) if rows is None else np.flatnonzero(rows)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(tf.constant(order), seed)
        dataset = tf.data.Dataset.from_tensor_slices(order)
        return dataset.map(decode, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)

    return Stream(len(paths), read, paths=tuple(paths))
