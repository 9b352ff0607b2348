"""Images of the user's own: PATH/class/image, or PATH/train/class/image and PATH/test beside it."""

import os
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from zoo.data import images
from zoo.data.spec import Source, Spec, Stream
from zoo.errors import UserError

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif"}
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_PARALLEL = 4  # images decoded at once
_SAMPLE = 1_000  # images whose size is looked at


def load(path: str, image_size: tuple[int, int] | None) -> Source:
    """Finds the images of each class; a class is a folder, its name the label.

    Images are grey if all are, otherwise RGB.

    Raises:
        UserError: if there is no such folder, fewer than two classes, a class without images, or
            an image that cannot be read.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(
            f"folder:{path}: there is no such folder; expected one folder a class in it"
        )
    parts = {_SPLITS[p.name]: p for p in _folders(root) if p.name in _SPLITS}
    if "train" not in parts:
        parts = {"train": root}
    class_names = tuple(p.name for p in _folders(parts["train"]))
    if len(class_names) < 2:
        raise UserError(
            f"folder:{path}: {parts['train']} has {len(class_names)} folders of classes; expected "
            "at least 2, each with the images of one class"
        )
    files = {part: _files(where, class_names) for part, where in parts.items()}
    size, channels = _size_and_channels(files["train"][0])
    shape = (*(image_size or size), channels)
    splits = {part: _stream(paths, labels, shape) for part, (paths, labels) in files.items()}
    return Source(
        "", Spec("image", shape, class_names), splits, {part: str(p) for part, p in parts.items()}
    )


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(where: Path, class_names: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Paths and labels of all images in the folders of the classes."""
    strange = {p.name for p in _folders(where)} - set(class_names)
    if strange:
        raise UserError(
            f"{where / min(strange)}: this class is not in the training folder, which has "
            f"{', '.join(class_names)}"
        )
    paths, labels = [], []
    for label, name in enumerate(class_names):
        found = sorted(str(p) for p in (where / name).glob("**/*") if p.suffix.lower() in _ENDINGS)
        if not found:
            raise UserError(
                f"{where / name}: no images for this class; expected files that end in "
                f"{', '.join(sorted(_ENDINGS))}"
            )
        paths += found
        labels += [label] * len(found)
    return paths, labels


def _size_and_channels(paths: list[str]) -> tuple[tuple[int, int], int]:
    """Common (rows, columns), and 1 channel if all are grey, from a seeded sample's headers."""
    some = np.random.default_rng(0).permutation(paths)[:_SAMPLE]
    sizes, modes = [], set()
    for path in some:
        try:
            with warnings.catch_warnings():
                # Pillow reads the header alone
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    sizes.append((image.height, image.width))
                    modes.add(image.mode)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise images.too_large(path) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"{path}: this is no readable PNG, JPEG, BMP or GIF image ({error}): replace it or "
                "take it out of the folder"
            ) from error
    return images.common_size(sizes), 1 if modes <= {"L", "1"} else 3


def _stream(paths: list[str], labels: list[int], shape: tuple[int, int, int]) -> Stream:
    all_paths, all_labels = tf.constant(paths), tf.constant(labels, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def decode(row):
        encoded = tf.io.read_file(tf.gather(all_paths, row))
        return images.decode_image(encoded, shape), tf.gather(all_labels, row)

    def read(seed, rows):
        order = np.arange(len(paths)) if rows is None else np.flatnonzero(rows)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(tf.constant(order), seed)
        numbers = tf.data.Dataset.from_tensor_slices(order)
        return numbers.map(decode, num_parallel_calls=_PARALLEL, deterministic=True)

    return Stream(len(paths), read, paths=tuple(paths))
