"""What models, training and export know of a dataset, and the splits that it comes in."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UserError
from zoo.schema import is_line

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """How texts become token ids; `zoo.data.text` does it.

    Attributes:
        kind: "words", "characters" or "wordpiece" (that of BERT).
        vocabulary: The tokens in the order of their ids; id 0 is padding.
        length: Most tokens of an example; what is longer loses its end.
        lowercase: Whether the texts are lowercased.
    """

    kind: str
    vocabulary: tuple[str, ...]
    length: int
    lowercase: bool = True


@dataclasses.dataclass(frozen=True)
class Spec:
    """What the data is.

    Attributes:
        kind: "image" (uint8 pixels), "features" (float32 vectors), "text" or "text_pair" (int32
            token ids, padded with 0).
        shape: Shape of one example: (rows, columns, channels), (n,), or (most tokens,).
        class_names: Names in the order of the labels; None if the target is a number.
        feature_names: Names of the n features; empty for other kinds.
        tokenizer: How the texts became token ids; None for other kinds.
    """

    kind: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None

    def __post_init__(self):
        # labels.txt has one name on each line, and TensorFlow's strings are UTF-8
        for name in self.class_names or ():
            if not is_line(name):
                raise UserError(f"class {name[:100]!r}: expected a name in one line of UTF-8")

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None for a regression."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def input_name(self) -> str:
        """Name of the model's input."""
        return "tokens" if self.is_text else self.kind

    @property
    def dtype(self) -> str:
        """Type of the model's input."""
        return "int32" if self.is_text else "uint8" if self.kind == "image" else "float32"

    @property
    def is_text(self) -> bool:
        """Whether the examples are texts or pairs of them."""
        return self.kind in ("text", "text_pair")


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A split in memory: `x` of shape (n, *spec.shape), `y` int64 (n,) or float32 (n, 1).

    Before they are tokenized texts are an object array of strings, (n,) or (n, 2).
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def only(self, rows: np.ndarray) -> "Arrays":
        """The part whose rows are set in a boolean mask of shape (n,)."""
        return Arrays(self.x[rows], self.y[rows])


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split that is decoded as it is read.

    Attributes:
        total: Number of examples in the files.
        reader: From (seed, rows) to a `tf.data.Dataset` of single examples (x, y): shuffled by the
            seed alone (int64 tensor of shape (2,)) or, for None, in the order of the files; only
            those whose rows are set in the boolean mask, or, for None, all.
        rows: The mask that is given to the reader.
        paths: The files of the examples, where each has its own.
    """

    total: int
    reader: Callable[["tf.Tensor | None", np.ndarray | None], "tf.data.Dataset"]
    rows: np.ndarray | None = None
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.total if self.rows is None else int(self.rows.sum())

    def read(self, seed: "tf.Tensor | None") -> "tf.data.Dataset":
        """The split's examples, shuffled by the seed or in order."""
        return self.reader(seed, self.rows)

    def only(self, rows: np.ndarray) -> "Stream":
        """The part whose rows are set in a boolean mask of shape (len(self),)."""
        within = np.zeros(self.total, bool)
        within[np.arange(self.total) if self.rows is None else np.flatnonzero(self.rows)] = rows
        return dataclasses.replace(self, rows=within)


Split = Arrays | Stream


@dataclasses.dataclass(frozen=True)
class Source:
    """What a reader of files found: its spec, and the labelled splits that it has.

    Attributes:
        version: The dataset's own version; empty for files of the user's.
        spec: What the data is.
        splits: "train", and "validation" and "test" where they exist.
        origins: What each split is called in the dataset.
    """

    version: str
    spec: Spec
    splits: dict[str, Split]
    origins: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset, ready for training.

    Attributes:
        name: The name or path that it was asked for by.
        version: The dataset's own version; empty for files of the user's.
        spec: What the data is.
        train: What is trained on.
        validation: What is looked at after each epoch.
        test: What is scored once, at the end.
        splits: Where each of the three came from, in words.
        note: A warning that belongs to every result, such as a replaced dataset; else empty.
        raw_test: The test split as a client would send it, where that differs: texts as strings.
    """

    name: str
    version: str
    spec: Spec
    train: Split
    validation: Split
    test: Split
    splits: dict[str, str]
    note: str = ""
    raw_test: Split | None = None


def holdout_rows(size: int, share: float, seed: int) -> np.ndarray:
    """A boolean mask of `size` rows with a seeded `share` of them set, at least one."""
    count = min(max(1, round(size * share)), size - 1)
    mask = np.zeros(size, bool)
    mask[np.random.default_rng([seed, size]).choice(size, count, replace=False)] = True
    return mask
