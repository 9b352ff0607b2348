"""Joins a dataset with further ones of the same columns and classes, split by split."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.data.config import DataConfig, adopt_image_settings
from zoo.data.memory import choose_budget, load_into_memory
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, Split, iterate_raw_batches
from zoo.data.tables.column_learning import measure_spread
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.split_ranges import compare_sizes, describe_added_sizes
from zoo.errors import UserError, shorten_names

_BATCH_SIZE = 256  # texts that are read at a time
_SPLITS = ("train", "validation", "test")


def join_data(data: Data, config: DataConfig, read: Callable[[DataConfig], Data]) -> Data:
    """Returns a dataset with those of `config.added`, as one dataset.

    Each dataset is divided on its own, so that the held-out rows of the first one are those that it
    has without the others. Those of the added ones come after them; `slices` has the dataset of
    each row.

    Args:
        data: The first dataset, from `zoo.data.loading.read_data`.
        config: Its settings, which the added ones share.
        read: Reads a dataset and divides it.

    Raises:
        UserError: if an added dataset has other columns, classes or inputs, or images are larger
            than the memory budget.
    """
    configs = [dataclasses.replace(config, name=data.name, added=())]
    configs += [_make_config(config, data, name) for name in config.added]
    parts = [data, *map(read, configs[1:])]
    notes = []
    for part in parts[1:]:
        _check_same_inputs(data, part)
        notes += _describe_other_sizes(data, part)
    if strings := _find_mixed_columns(parts):
        parts = [read(dataclasses.replace(each, strings=strings)) for each in configs]
    # what is streamed has no order in common
    budget = choose_budget(config.memory_budget) // len(parts)
    loaded = [_load_splits(part, data.spec, budget) for part in parts]
    joined = {name: _join_splits([each[name] for each in loaded], parts) for name in _SPLITS}
    if config.group:
        notes.append(
            f"the rows of a {config.group} are kept together within each dataset, not across them"
        )
    return dataclasses.replace(
        data,
        train=joined["train"],
        validation=joined["validation"],
        test=joined["test"],
        splits={
            name: " and ".join(filter(None, dict.fromkeys(part.splits[name] for part in parts)))
            for name in _SPLITS
        },
        notes=tuple(dict.fromkeys((*(x for part in parts for x in part.notes), *notes))),
    )


def _make_config(config: DataConfig, data: Data, name: str) -> DataConfig:
    """Returns the settings that read an added dataset as the first one was read."""
    spec = data.spec
    config = dataclasses.replace(
        adopt_image_settings(config, spec),
        name=name,
        added=(),
        train_split=None,
        task=spec.task,
        known_classes=spec.class_names or None,
        exact_classes=True,  # it is trained on
        known_unit=spec.label_unit,
    )
    # TFDS datasets have texts and labels without names
    if data.version and ":" in name and spec.is_text and not config.text:
        return dataclasses.replace(config, text=("text",), label=config.label or "label")
    return config


def _check_same_inputs(data: Data, added: Data) -> None:
    """Raises a UserError if an added dataset does not have the inputs of the first one."""
    one, other = data.spec, added.spec
    if one.kind != other.kind or (one.kind == "image" and one.shape != other.shape):
        raise UserError(
            f"{added.name} has {_describe_inputs(other)}, but {data.name} has "
            f"{_describe_inputs(one)}: choose data of the same kind"
        )
    missing = [name for name in one.feature_names or () if name not in (other.feature_names or ())]
    if one.kind == "features" and missing:
        raise UserError(
            f"{added.name}: there is no column {missing[0]!r}, which {data.name} has. It has: "
            f"{shorten_names(other.feature_names or ())}"
        )


def _describe_other_sizes(data: Data, added: Data) -> list[str]:
    """Returns notes on numbers of an added dataset that are of another size, as in another unit."""
    one, other = data.train, added.train
    if not (isinstance(one, Arrays) and isinstance(other, Arrays) and len(one)):
        return []
    notes: list[str] = []
    if isinstance(one.x, FrameRows) and isinstance(other.x, FrameRows):
        notes += describe_added_sizes(other.x, one.x, added.name, data.name)
    if data.spec.task == "regression":
        train, numbers = (split.y[:, 0].astype("float64") for split in (one, other))
        if sizes := compare_sizes(numbers, train, *measure_spread(train), data.name):
            notes.append(f"numbers to predict: in {added.name} {sizes}")
    return notes


def _find_mixed_columns(parts: Sequence[Data]) -> tuple[str, ...]:
    """Returns the columns of tables that have numbers in some datasets, and strings in others."""
    inputs = [getattr(part.train, "x", None) for part in parts]
    tables = [x for x in inputs if isinstance(x, FrameRows)]
    names = [name for table in tables[:1] for name in table.columns]
    return tuple(name for name in names if len({table.has_numbers(name) for table in tables}) > 1)


def _describe_inputs(spec: Spec) -> str:
    return f"{spec.kind} of shape {spec.shape}" if spec.kind == "image" else spec.kind


def _load_splits(data: Data, spec: Spec, budget: int) -> dict[str, Arrays]:
    """Returns the splits in memory.

    Raises:
        UserError: if streamed images or texts are larger than the budget.
    """
    splits: dict[str, Split] = {name: getattr(data, name) for name in _SPLITS}
    if spec.is_text:
        left, texts = budget, dict[str, Split]()
        for name, split in splits.items():
            texts[name], size = (
                (split, 0) if isinstance(split, Arrays) else _read_texts(split, left)
            )
            left -= size
        splits = texts if left >= 0 else splits
    elif not all(isinstance(split, Arrays) for split in splits.values()):
        splits = load_into_memory(splits, spec, budget)
    arrays = {name: split for name, split in splits.items() if isinstance(split, Arrays)}
    if len(arrays) < len(splits):
        raise UserError(
            f"{data.name}: added datasets have to fit into memory, and this one takes more than "
            f"{budget >> 20} MiB: raise --memory_budget"
        )
    return arrays


def _read_texts(split: Split, budget: int) -> tuple[Arrays, int]:
    """Returns a split of texts in memory, and its bytes; it ends where they exceed the budget."""
    texts: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    size = 0
    for x, y in iterate_raw_batches(split, _BATCH_SIZE):
        size += sum(map(len, x.flat))
        texts.append(np.vectorize(lambda text: text.decode("utf-8", "replace"), otypes="O")(x))
        labels.append(y)
        if size > budget:
            break
    return Arrays(np.concatenate(texts), np.concatenate(labels)), size


def _join_splits(splits: Sequence[Arrays], parts: Sequence[Data]) -> Arrays:
    """Returns one split of several; `slices` has the dataset of each row, if it has no others."""
    inputs = [_select_columns(split.x, splits[0].x) for split in splits]
    join = getattr(type(inputs[0]), "concat", np.concatenate)
    if len({type(x) for x in inputs}) > 1:  # texts of a table, and others
        inputs, join = [x[:] for x in inputs], np.concatenate
    pairs = zip(splits, parts, strict=True)
    names = [np.full(len(split), part.name, object) for split, part in pairs]
    slices = [split.slices for split in splits if split.slices is not None]
    weights = [split.weights for split in splits if split.weights is not None]
    return Arrays(
        join(inputs),
        np.concatenate([split.y for split in splits]),
        weights=np.concatenate(weights) if weights else None,
        slices=np.concatenate(slices or names),
    )


def _select_columns(x: Any, first: Any) -> Any:
    """Returns rows of a table with the columns of the first one, in their order."""
    if isinstance(x, FrameRows) and x.columns != first.columns:
        return x.select_columns(first.columns)
    return x
