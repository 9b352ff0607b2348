"""From a dataset's name or path to `Data`: train, validation and test splits, and their spec."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from zoo.data import catalog, folder, images, pipeline, table
from zoo.data import text as texts
from zoo.data.spec import Arrays, Data, Source, Spec, Split, Stream, Tokenizer, holdout_rows
from zoo.errors import UserError

__all__ = [
    "held",
    "labels",
    "load",
    "memory_budget",
    "name_of",
    "naming_unreadable",
    "pick",
    "prepare",
    "read",
    "samples",
]

# what takes the place of a default that cannot be downloaded
_OFFLINE = {"mnist": "mnist_5k", "imdb_reviews": "synthetic_reviews"}
_OWN = ("folder", "csv", "jsonl")  # kinds of files of the user's


def load(
    name: str | None,
    *,
    default: str = "mnist",
    data_dir: str | None = None,
    train_split: str | None = None,
    text: Sequence[str] = (),
    label: str | None = None,
    image_size: tuple[int, int] | None = None,
    tokenizer: str | Tokenizer = "words",
    preset: str = "",
    vocabulary_size: int = 20_000,
    length: int | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    budget: int | None = None,
) -> Data:
    """Finds, downloads and prepares a dataset: `read`, and then `prepare`, with their arguments.

    Raises:
        UserError: as they do.
    """
    found = read(
        name,
        default=default,
        data_dir=data_dir,
        train_split=train_split,
        text=text,
        label=label,
        image_size=image_size,
        holdout=holdout,
        seed=seed,
    )
    return prepare(
        found,
        tokenizer=tokenizer,
        preset=preset,
        vocabulary_size=vocabulary_size,
        length=length,
        budget=budget,
    )


def read(
    name: str | None,
    *,
    default: str = "mnist",
    data_dir: str | None = None,
    train_split: str | None = None,
    text: Sequence[str] = (),
    label: str | None = None,
    image_size: tuple[int, int] | None = None,
    holdout: float = 0.1,
    seed: int = 0,
) -> Data:
    """Finds and downloads a dataset, and divides it; its texts stay strings.

    Args:
        name: A TFDS name with its config (`mnist`, `glue/mrpc`), `folder:PATH`, `csv:PATH` or
            `jsonl:PATH`; None for the default.
        default: The TFDS name for None. If it cannot be downloaded, a small dataset that needs no
            network takes its place, and `Data.note` says so; a name is never replaced.
        data_dir: Where TFDS keeps prepared data; None for TFDS' own place.
        train_split: TFDS' split expression for the training data, such as 'train[:90%]'.
        text: Column of texts, or the two columns of pairs. Empty for TFDS' own, and for files
            whose columns are numbers.
        label: Column to predict; None for TFDS' own.
        image_size: (rows, columns) that images are resized to; None for their own or, where they
            differ, their median.
        holdout: Share of the training split that becomes the validation split, or the test split,
            where the dataset has none.
        seed: Which rows are held out.

    Raises:
        UserError: for a name, path or file that does not do, or a download that fails.
    """
    note = ""
    try:
        source = _find(name or default, data_dir, train_split, text, label, image_size)
    except catalog.Unavailable as error:
        if name is not None or default not in _OFFLINE:
            raise
        name = _OFFLINE[default]
        note = f"the default dataset {default} was replaced by the small {name}: {error}"
        source = _find(name, data_dir, train_split, text, label, image_size)
    parts, origins = _divide(source, holdout, seed)
    return Data(
        name=name or default,
        version=source.version,
        spec=source.spec,
        splits=origins,
        note=note,
        **parts,
    )


def prepare(
    data: Data,
    *,
    tokenizer: str | Tokenizer = "words",
    preset: str = "",
    vocabulary_size: int = 20_000,
    length: int | None = None,
    budget: int | None = None,
) -> Data:
    """What `read` found, as models take it: texts as token ids, and in memory if it fits.

    Args:
        data: The dataset.
        tokenizer: Kind of the tokenizer that is adapted to the training texts ("words",
            "characters" or "wordpiece"), or a tokenizer.
        preset: Pretrained BERT whose tokenizer is taken instead.
        vocabulary_size: Most tokens of an adapted tokenizer.
        length: Most tokens of a text; None for the 95th percentile of the training texts or, of a
            tokenizer that is given, its own.
        budget: Bytes of decoded data that may be held in memory; more is streamed. None for a
            quarter of the memory.

    Raises:
        UserError: for a length or a preset where there are no texts, or a preset that cannot be
            loaded.
    """
    spec = data.spec
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    if spec.is_text:
        if preset:
            tokenizer = texts.from_preset(preset, parts["train"], length)
        elif isinstance(tokenizer, str):
            tokenizer = texts.adapt(
                parts["train"], tokenizer, vocabulary_size=vocabulary_size, length=length
            )
        elif length is not None:
            tokenizer = texts.with_length(tokenizer, parts["train"], length)
        parts, spec = texts.tokenized(parts, spec, tokenizer)
    elif length is not None or preset:
        option = "preset" if preset else "length"
        raise UserError(
            f"{option}={preset or length}: {data.name} has no texts: leave --{option} out"
        )
    parts = held(parts, spec, memory_budget() if budget is None else budget)
    return dataclasses.replace(
        data, spec=spec, raw_test=data.test if spec.is_text else None, **parts
    )


def held(splits: dict[str, Split], spec: Spec, budget: int) -> dict[str, Split]:
    """The splits in memory, if together they take no more than `budget` bytes; else as they are."""
    example = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
    if sum(map(len, splits.values())) * example > budget:
        return splits
    with naming_unreadable(spec, *splits.values()):
        return {part: _decoded(split, spec, part) for part, split in splits.items()}


def labels(split: Split) -> np.ndarray:
    """The targets of all examples, in order: int64 (n,) or float32 (n, 1)."""
    if isinstance(split, Arrays):
        return split.y
    return np.stack([y for _, y in split.read(None).as_numpy_iterator()])


@contextlib.contextmanager
def naming_unreadable(spec: Spec, *splits: Split) -> Iterator[None]:
    """Within, a streamed file that cannot be decoded is a UserError that names it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        streams = [split for split in splits if isinstance(split, Stream)]
        if not streams:
            raise
        paths = dict.fromkeys(path for stream in streams for path in stream.paths)
        raise images.unreadable(list(paths), spec.shape, error) from error


def samples(split: Split, count: int) -> np.ndarray:
    """The inputs of the split's first examples, (count or fewer, ...)."""
    if isinstance(split, Arrays):
        return split.x[:count]
    return np.stack([x for x, _ in split.read(None).take(count).as_numpy_iterator()])


def pick(split: Split, rows: list[int]) -> list:
    """The inputs of these rows of the split, in the order of the rows."""
    if isinstance(split, Arrays):
        return [split.x[row] for row in rows]
    wanted, found = set(rows), {}
    for row, (x, _) in enumerate(split.read(None).as_numpy_iterator()):
        if len(found) == len(wanted):
            break
        if row in wanted:
            found[row] = x
    return [found[row] for row in rows]


def memory_budget() -> int:
    """A quarter of this machine's memory, in bytes."""
    return psutil.virtual_memory().total // 4


def name_of(dataset: str) -> str:
    """A dataset's name or path as part of a file name: 'csv:data/iris.csv' gives 'iris'."""
    kind, colon, path = dataset.partition(":")
    if colon and kind in _OWN:
        return Path(path).resolve().stem
    return dataset.replace("/", "-").replace(":", "-")


def _find(name, data_dir, train_split, text, label, image_size) -> Source:
    kind, colon, path = name.partition(":")
    if colon and kind in _OWN:
        if train_split is not None:
            raise UserError(
                f"train_split={train_split!r}: only TFDS datasets have split expressions; {name} "
                "is divided by its subfolders or files named train and test, or by --holdout"
            )
        if kind != "folder":
            if image_size is not None:
                raise UserError(f"image_size={image_size}: {name} has no images to resize")
            return table.load(kind, path, text, label)
        if text or label:
            raise UserError(f"{name} has no columns: leave --text and --label out")
        return folder.load(path, image_size)
    return catalog.load(name, data_dir, train_split, image_size, text, label)


def _divide(source: Source, holdout: float, seed: int) -> tuple[dict[str, Split], dict[str, str]]:
    """Completes the three splits.

    Without a labelled test split the validation split takes its place; what is then missing is cut
    from the training split.
    """
    splits, origins = dict(source.splits), dict(source.origins)
    if "test" not in splits and "validation" in splits:
        splits["test"], origins["test"] = splits.pop("validation"), origins.pop("validation")
    for part in ("test", "validation"):
        if part in splits:
            continue
        train = splits["train"]
        if len(train) < 2:
            raise UserError(
                f"the training split has {len(train)} examples: too few to hold some out for {part}"
            )
        rows = holdout_rows(len(train), holdout, seed)
        splits[part], splits["train"] = train.only(rows), train.only(~rows)
        origins[part] = f"a seeded {holdout:.0%} of {origins['train']}"
    return splits, origins


def _decoded(split: Split, spec: Spec, part: str) -> Arrays:
    if isinstance(split, Arrays):
        return split
    x = np.empty((len(split), *spec.shape), spec.dtype)
    y = np.empty((len(split),), "int64") if spec.class_names else np.empty((len(split), 1), "f4")
    batches = pipeline.without_autotuning(split.read(None).batch(256)).as_numpy_iterator()
    start = 0
    # on a terminal only, and only if it takes a while
    with tqdm(total=len(split), desc=f"reading {part}", disable=None, delay=2, leave=False) as bar:
        for some_x, some_y in batches:
            x[start : start + len(some_y)], y[start : start + len(some_y)] = some_x, some_y
            start += len(some_y)
            bar.update(len(some_y))
    return Arrays(x, y)
