"""Dataset splits, in memory (`Arrays`) or streamed from files (`Stream`)."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data.spec import Spec

# names of files, folders and splits of TFDS, in any case
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


_FILLERS = {"set", "split", "data", "dataset", "images", "imgs"}  # beside the name of a split


def match_split_name(name: str) -> str | None:
    """Returns the split that a name stands for, or None.

    Example:
        >>> [match_split_name(name) for name in ("Val", "training_set", "test-data", "train2")]
        ['validation', 'train', 'test', None]
    """
    words = [word.lower() for word in re.findall(r"[^\W_]+", name)]
    named = [word.removesuffix("set") for word in words if word not in _FILLERS]
    if len(named) != 1:
        return None
    return next((split for split, names in SPLIT_NAMES.items() if named[0] in names), None)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A split in memory.

    Attributes:
        x: Inputs of shape (n, *spec.shape), in memory or a `np.memmap`. Texts that are not
            tokenized yet are an object array of strings, (n,) or (n, 2) for pairs, or `RowTexts`;
            the rows of a table that are not encoded yet are `FrameRows`, or `TableRecords`.
        y: Targets: int64 class indices of shape (n,), of a multi-label task 0 or 1 for each class,
            uint8 (n, classes), or float32 numbers of shape (n, 1).
        groups: Group of each row, int64 (n,), which splits keep together; None for no groups.
        times: Time of each row, float64 (n,), by which splits are divided; None for no times.
        weights: Weight of each row in the loss of a training, float32 (n,); None for 1.
        slices: Group of each row by which scores are divided, an object array of strings (n,).
    """

    x: Any
    y: np.ndarray
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    slices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def select_rows(self, rows: np.ndarray) -> "Arrays":
        """Returns the split restricted to the rows set in a boolean mask of shape (n,)."""
        others = (self.groups, self.times, self.weights, self.slices)
        selected = (None if values is None else values[rows] for values in others)
        return Arrays(self.x[rows], self.y[rows], *selected)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split that is read from files and decoded while it is iterated.

    Attributes:
        total: Number of examples in the files.
        reader: Function from (seed, rows) to a `tf.data.Dataset` of single examples (x, y). They
            are shuffled by the seed, an int64 tensor of shape (2,), or in file order for None.
            Only rows set in the boolean mask `rows` of shape (total,) are read; all for None.
        rows: The mask to pass to the reader.
        paths: Paths of all examples in the files, if each has one of its own; otherwise empty.
        labels: Targets of all examples in file order, if they are known without reading them.
        files: Paths of the files that the examples are in, if these have none of their own.
        groups: As in `Arrays`, of the examples of the split.
        times: As in `Arrays`, of the examples of the split.
        slices: As in `Arrays`, of the examples of the split.
    """

    total: int
    reader: Callable[[tf.Tensor | None, np.ndarray | None], tf.data.Dataset]
    rows: np.ndarray | None = None
    paths: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    files: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    slices: np.ndarray | None = None

    def __len__(self) -> int:
        return self.total if self.rows is None else int(self.rows.sum())

    def read(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        """Returns the examples of the split, shuffled by the seed, or in file order for None."""
        return self.reader(seed, self.rows)

    def list_rows(self) -> np.ndarray:
        """Returns the numbers of the examples in the files, int64 (n,)."""
        return np.arange(self.total) if self.rows is None else np.flatnonzero(self.rows)

    def list_paths(self) -> list[str]:
        """Returns the paths of the examples, if each has a file of its own."""
        return [self.paths[row] for row in self.list_rows()] if self.paths else []

    def select_rows(self, rows: np.ndarray) -> "Stream":
        """Returns the split restricted to the rows set in a boolean mask of shape (len(self),)."""
        file_rows = np.zeros(self.total, bool)
        file_rows[self.list_rows()[rows]] = True
        others = (self.groups, self.times, self.slices)
        groups, times, slices = (None if x is None else x[rows] for x in others)
        return dataclasses.replace(self, rows=file_rows, groups=groups, times=times, slices=slices)


Split = Arrays | Stream


@dataclasses.dataclass(frozen=True)
class LabelledSplits:
    """The labelled splits of a data source.

    Attributes:
        version: Version of a TFDS dataset; empty for the user's files.
        spec: Description of the data.
        splits: The splits by name: "train", and "validation" and "test" if they exist.
        origins: The TFDS split expression or the path of each split.
        notes: As in `Data.notes`.
    """

    version: str
    spec: Spec
    splits: Mapping[str, Split]
    origins: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset with its three splits.

    Attributes:
        name: Name or path of the dataset, as in `DataConfig.name`.
        version: Version of a TFDS dataset; empty for the user's files.
        spec: Description of the data.
        train: Split for training.
        validation: Split that is evaluated after each epoch.
        test: Split that is evaluated once, after training.
        splits: Description of where each split comes from, by its name.
        notes: Sentences for the user on what was decided while the data was read, such as a
            replaced dataset or skipped files. They are printed and recorded.
        raw_test: The test split as clients send it, with texts as strings and rows of tables as
            records; None for other kinds.
        settings: The settings that it was read with, from `DataConfig.to_settings`.
        fingerprint: What identifies the data, from `zoo.data.fingerprint.compute_fingerprint`;
            empty if it was not loaded by `load_data`.
    """

    name: str
    version: str
    spec: Spec
    train: Split
    validation: Split
    test: Split
    splits: dict[str, str]
    notes: tuple[str, ...] = ()
    raw_test: Split | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_labels(split: Split) -> np.ndarray:
    """Returns the targets of all examples, in order, as `y` of `Arrays`."""
    if isinstance(split, Arrays):
        return split.y
    if split.labels is not None:
        return split.labels if split.rows is None else split.labels[split.rows]
    return np.stack([y for _, y in split.read(None).as_numpy_iterator()])


def has_known_labels(split: Split) -> bool:
    """Whether `read_labels` does not have to read the examples."""
    return isinstance(split, Arrays) or split.labels is not None


def take_inputs(split: Split, count: int) -> np.ndarray:
    """Returns the inputs of the first `count` examples, or of all if there are fewer."""
    if isinstance(split, Arrays):
        return split.x[:count]
    return np.stack([x for x, _ in split.read(None).take(count).as_numpy_iterator()])


def pick_inputs(split: Split, rows: list[int]) -> list:
    """Returns the inputs of the given row numbers, in their order."""
    if isinstance(split, Arrays):
        return [split.x[row] for row in rows]
    unique_rows = set(rows)
    inputs: dict[int, np.ndarray] = {}
    for row, (x, _) in enumerate(split.read(None).as_numpy_iterator()):
        if len(inputs) == len(unique_rows):
            break
        if row in unique_rows:
            inputs[row] = x
    return [inputs[row] for row in rows]


def iterate_raw_batches(split: Split, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches (x, y) in the order of the split."""
    if isinstance(split, Arrays):
        for start in range(0, len(split), batch_size):
            rows = slice(start, start + batch_size)
            yield split.x[rows], split.y[rows]
    else:
        examples = split.read(None).batch(batch_size)
        yield from disable_autotuning(examples).as_numpy_iterator()


def disable_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset in a fixed order, without tf.data's autotuning and graph rewrites."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options)
