"""Loads splits into memory if they fit, and reads the rows of those that do not."""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.images.decoding import UNREADABLE, unreadable_file_error
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, Stream, disable_autotuning
from zoo.data.targets import make_empty_targets


def load_into_memory(splits: dict[str, Split], spec: Spec, budget: int) -> dict[str, Split]:
    """Loads the splits into memory if together they take at most `budget` bytes.

    Returns:
        The splits as `Arrays`, or the given splits if they are larger.
    """
    example_size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
    if sum(map(len, splits.values())) * example_size > budget:
        return splits
    with report_unreadable_files(*splits.values()):
        return {name: _decode_split(split, spec, name) for name, split in splits.items()}


@contextlib.contextmanager
def report_unreadable_files(*splits: Split) -> Iterator[None]:
    """Context manager that raises a UserError naming the streamed file that cannot be decoded."""
    try:
        yield
    except UNREADABLE as error:
        streams = [split for split in splits if isinstance(split, Stream)]
        if not streams:
            raise
        paths = dict.fromkeys(path for stream in streams for path in stream.paths)
        raise unreadable_file_error(list(paths), error) from error


def choose_budget(budget: int | None) -> int:
    """Returns a memory budget in bytes: a quarter of the machine's memory for None."""
    return psutil.virtual_memory().total // 4 if budget is None else budget


def make_row_gatherer(x: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from row numbers (m,) to these rows of an array (n, ...).

    Those of a `np.memmap` are read from its file when the function is called.
    """
    if not isinstance(x, np.memmap):
        inputs = tf.constant(x)
        return lambda rows: tf.gather(inputs, rows)

    def gather_mapped(rows: tf.Tensor) -> tf.Tensor:
        batch = tf.numpy_function(lambda rows: np.asarray(x[rows]), [rows], tf.as_dtype(x.dtype))
        return tf.ensure_shape(batch, [None, *x.shape[1:]])

    return gather_mapped


def _decode_split(split: Split, spec: Spec, split_name: str) -> Arrays:
    if isinstance(split, Arrays):
        return split
    x = np.empty((len(split), *spec.shape), spec.dtype)
    y = make_empty_targets(spec, len(split))
    batches = disable_autotuning(split.read(None).batch(256)).as_numpy_iterator()
    start = 0
    with progress_bar(len(split), f"reading {split_name}") as bar:
        for batch_x, batch_y in batches:
            rows = slice(start, start + len(batch_y))
            x[rows], y[rows] = batch_x, batch_y
            start = rows.stop
            bar.update(len(batch_y))
    return Arrays(x, y)
