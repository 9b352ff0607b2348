"""Makes streams of image files: what size and colours they are read in, and which are broken."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.config import DataConfig
from zoo.data.images.decoding import REMEDY, choose_image_size, find_image_fault, load_image
from zoo.data.images.image_files import ImageHeader, format_names, read_image_header
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, LabelledSplits, Stream
from zoo.data.tables.labels import Target
from zoo.errors import UserError, format_count

_PARALLEL_CALLS = 4  # images that are decoded at the same time
_SAMPLED_IMAGES = 1_000  # images whose headers are read to choose the size


def make_image_splits(
    name: str,
    listings: Mapping[str, Arrays],
    target: Target,
    config: DataConfig,
    origins: Mapping[str, str],
    notes: Sequence[str],
) -> LabelledSplits:
    """Makes splits that read images of one size from files.

    Args:
        name: Name of the dataset, for messages.
        listings: The paths of the images, an object array (n,) of strings, and their targets, by
            split; "train" is among them.
        target: What the targets are.
        config: `image_size`, `resize`, `color` and `skip_broken` are used.
        origins: As in `LabelledSplits`.
        notes: Notes on the data so far.

    Raises:
        UserError: if an image cannot be read.
    """
    listings, broken_notes = dict(listings), list[str]()
    if config.skip_broken:
        listings, broken_notes = _drop_broken(name, listings)
    shape, traits = _choose_shape(listings["train"].x.tolist(), config)
    resize = config.resize_mode
    spec = Spec(
        "image",
        shape,
        target.class_names,
        resize=resize,
        multilabel=target.multilabel,
        label_unit=target.written_unit,
    )
    notes = (*notes, *broken_notes, *traits)
    return LabelledSplits("", spec, _make_streams(listings, spec), origins, notes)


def _drop_broken(name: str, listings: dict[str, Arrays]) -> tuple[dict[str, Arrays], list[str]]:
    """Returns the listings without images that cannot be decoded, and a note on these."""
    faults: list[str] = []
    for split, listed in listings.items():
        with (
            concurrent.futures.ThreadPoolExecutor(_PARALLEL_CALLS) as pool,
            progress_bar(len(listed), f"checking {split}") as bar,
        ):
            found = []
            for fault in pool.map(find_image_fault, listed.x):
                bar.update(1)
                found.append(fault)
        listings[split] = listed.select_rows(np.array([not fault for fault in found], bool))
        faults += filter(None, found)
    if not faults:
        return listings, []
    skipped = format_count(len(faults), "image")
    return listings, [f"{name}: skipped {skipped} that cannot be read ({format_names(faults)})"]


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
    size = config.image_size or config.preset_size
    size = size or choose_image_size([header.size for header in headers])
    notes = _describe_traits(headers, len(paths))
    if config.preset_size and not (config.image_size and config.resize):
        fitted = "resized" if config.resize else "cropped to the middle and resized"
        notes.append(f"images are {fitted} to {size[0]}x{size[1]}, as the preset was trained")
    return (*size, channels), notes


def _describe_traits(headers: list[ImageHeader], total: int) -> list[str]:
    counts = collections.Counter(trait for header in headers for trait in header.traits)
    if not counts:
        return []
    traits = ", ".join(f"{count:,} {trait}" for trait, count in counts.most_common())
    looked_at = "" if len(headers) == total else " that were looked at"
    return [f"of the {len(headers):,} training images{looked_at}, {traits}"]


def _make_streams(listings: Mapping[str, Arrays], spec: Spec) -> dict[str, Stream]:
    """Returns the splits as streams of one reader, so that one pass reads all."""
    paths = tuple(path for listed in listings.values() for path in listed.x)
    labels = np.concatenate([listed.y for listed in listings.values()])
    whole = Stream(len(paths), _make_reader(paths, labels, spec), paths=paths, labels=labels)
    streams, start = {}, 0
    for split, listed in listings.items():
        rows = np.zeros(len(paths), bool)
        rows[start : start + len(listed)] = True
        streams[split] = dataclasses.replace(
            whole, rows=rows, groups=listed.groups, times=listed.times, slices=listed.slices
        )
        start += len(listed)
    return streams


def _make_reader(paths: Sequence[str], labels: np.ndarray, spec: Spec) -> Callable:
    """Returns the `reader` of a Stream."""
    all_paths, targets = tf.constant(paths, tf.string), tf.constant(labels)

    @tf.autograph.experimental.do_not_convert
    def decode(row):
        image = load_image(tf.gather(all_paths, row), spec.shape, spec.resize)
        return image, tf.gather(targets, row)

    def read(seed, rows):
        order = np.arange(len(paths)) if rows is None else np.flatnonzero(rows)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(tf.constant(order), seed)
        dataset = tf.data.Dataset.from_tensor_slices(order)
        return dataset.map(decode, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)

    return read
