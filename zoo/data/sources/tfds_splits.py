"""Chooses the splits of prepared TFDS datasets, and reads them as streams or as tables."""

import dataclasses
import itertools

import numpy as np
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.sources.table import make_table_splits
from zoo.data.sources.table_labels import read_labelled_rows
from zoo.data.sources.tfds_columns import (
    find_column,
    find_list_items,
    is_numeric,
    is_scalar,
    read_records,
    read_table,
)
from zoo.data.sources.tfds_features import make_decoder, make_reader
from zoo.data.splits import SPLIT_NAMES, Arrays, LabelledSplits, Stream, iterate_raw_batches
from zoo.errors import UserError, shorten_names

_BATCH = 1024  # examples that are looked at together


def choose_splits(
    builder: tfds.core.DatasetBuilder, name: str, train: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the expressions of the splits "train", "validation" and "test", and notes.

    Splits that are a part of the training data are not evaluated.

    Args:
        builder: Builder of a prepared dataset.
        name: Name of the dataset for messages.
        train: Split expression of the training data; None for the split that is called so, or the
            only one.

    Raises:
        UserError: if there is no such split, or it is empty.
    """
    known = list(builder.info.splits)
    by_role = {
        role: next((s for s in known if s.lower() in names), None)
        for role, names in SPLIT_NAMES.items()
    }
    notes = []
    expression = train or by_role["train"]
    if expression is None and len(known) == 1:
        (expression,) = known
        notes.append(f"{name}: its only split, {expression}, is taken for the training split")
    if expression is None:
        raise UserError(
            f"{name} has no split train: choose one with --train_split, such as "
            f"--train_split={known[0] if known else 'train'}. It has the splits "
            f"{shorten_names(known)}"
        )
    _check_training_split(builder, name, expression)
    expressions = {"train": expression}
    separate = [s for s in known if not _have_common_examples(builder, expression, s)]
    for role in ("validation", "test"):
        split = by_role[role]
        if split in separate:
            expressions[role] = split
        elif split not in (None, expression):
            notes.append(
                f"{name}: the {role} split is not scored, since {expression} has examples of it"
            )
    if unread := [s for s in separate if s not in expressions.values()]:
        notes.append(f"{name}: these splits are not read: {shorten_names(unread)}")
    return expressions, tuple(notes)


def _check_training_split(builder: tfds.core.DatasetBuilder, name: str, expression: str) -> None:
    """Raises a UserError if a split expression is invalid, or has no examples or some twice."""
    try:
        count = builder.info.splits[expression].num_examples
    except (ValueError, KeyError, AssertionError):
        raise UserError(
            f"train_split={expression!r}: {name} has the splits {', '.join(builder.info.splits)}; "
            "expected an expression such as 'train[:90%]'"
        ) from None
    if count <= 0:  # TFDS counts backwards where a part ends before it starts
        raise UserError(f"train_split={expression!r}: no examples of {name}: choose a larger part")
    if _has_repeated_examples(builder, expression):
        raise UserError(
            f"train_split={expression!r}: some examples of {name} are in it twice: choose parts "
            "that do not overlap"
        )


def _has_repeated_examples(builder: tfds.core.DatasetBuilder, expression: str) -> bool:
    """Whether the parts of a split expression have a same example."""
    parts = sorted(
        (part.filename, part.skip, part.skip + part.take if part.take >= 0 else np.inf)
        for part in builder.info.splits[expression].file_instructions
    )
    return any(
        file == next_file and start < end
        for (file, _, end), (next_file, start, _) in itertools.pairwise(parts)
    )


def _have_common_examples(builder: tfds.core.DatasetBuilder, first: str, second: str) -> bool:
    """Whether two split expressions select a same example, or the second selects none."""
    instructions = builder.info.splits[first].file_instructions
    others = builder.info.splits[second].file_instructions
    return not others or any(
        a.filename == b.filename
        and a.skip < b.skip + b.examples_in_shard
        and b.skip < a.skip + a.examples_in_shard
        for a in instructions
        for b in others
    )


def is_plain(builder: tfds.core.DatasetBuilder, columns: list[str], config: DataConfig) -> bool:
    """Whether the columns are an image, texts or plain numbers, which are streamed as they are."""
    features = [find_column(builder.info.features, column) for column in columns]
    if len(features) == 1 and not is_scalar(features[0]):
        return True  # an image, or what no model reads
    if (config.columns or config.known_columns) and not config.text:
        return False
    if all(isinstance(feature, tfds.features.Text) for feature in features):
        return bool(config.text) or len(features) <= 2
    return all(
        is_numeric(feature) and not isinstance(feature, tfds.features.ClassLabel)
        for feature in features
    )


def read_tables(
    builder: tfds.core.DatasetBuilder,
    name: str,
    expressions: dict[str, str],
    columns: list[str],
    config: DataConfig,
    notes: tuple[str, ...],
) -> LabelledSplits:
    """Reads columns of numbers, classes and texts as tables, in which values may be missing."""
    _check_task(builder, name, config)
    wanted = dict.fromkeys((*columns, config.label, config.group, config.time, config.slices))
    tables = {
        split_name: read_table(builder, expression, [c for c in wanted if c], name)
        for split_name, expression in expressions.items()
    }
    class_names = _find_class_names(builder, config)
    source = make_table_splits(name, tables, config, notes, class_names)
    unread = {config.time, config.slices} - {None, *columns}
    if not unread:
        return source
    names = tuple(column for column in source.spec.feature_names if column not in unread)
    splits = {
        split_name: dataclasses.replace(split, x=split.x.select_columns(names))
        for split_name, split in source.splits.items()
        if isinstance(split, Arrays)
    }
    spec = dataclasses.replace(source.spec, shape=(len(names),), feature_names=names)
    return dataclasses.replace(source, splits=splits, spec=spec)


def read_streams(
    builder: tfds.core.DatasetBuilder,
    name: str,
    expressions: dict[str, str],
    columns: list[str],
    config: DataConfig,
    notes: tuple[str, ...],
) -> LabelledSplits:
    """Reads an image, texts or numbers as they are, without the examples that have no label."""
    for setting in ("columns", "known_columns"):
        if getattr(config, setting):
            raise UserError(f"{setting}: {name} has no columns of a table: omit --columns")
    _check_task(builder, name, config)
    wanted = [c for c in (config.label, config.group, config.time, config.slices) if c]
    tables = {
        split_name: read_table(builder, expression, wanted, name)
        for split_name, expression in expressions.items()
    }
    assert config.label is not None  # of `choose_columns`
    labelled, target, label_notes = read_labelled_rows(
        tables, config.label, config, _find_class_names(builder, config)
    )
    train = expressions["train"]
    spec, decode = make_decoder(builder, name, train, columns, target, config)
    splits = {}
    for split_name, found in labelled.items():
        expression = expressions[split_name]
        y = np.zeros((len(found.rows), *found.y.shape[1:]), found.y.dtype)
        y[found.rows] = found.y
        stream = Stream(
            len(y),
            make_reader(read_records(builder, expression), decode, y, spec),
            labels=y,
            files=tuple(map(str, builder.info.splits[expression].filepaths)),
        )
        if not found.rows.all():
            stream = stream.select_rows(found.rows)
        splits[split_name] = dataclasses.replace(
            stream, groups=found.groups, times=found.times, slices=found.slices
        )
    return LabelledSplits("", spec, splits, expressions, notes + label_notes)


def _find_class_names(
    builder: tfds.core.DatasetBuilder, config: DataConfig
) -> tuple[str, ...] | None:
    """Returns the class names of a label that is a class or a list of classes."""
    feature = find_column(builder.info.features, str(config.label))
    feature = find_list_items(feature) or feature
    return tuple(feature.names) if isinstance(feature, tfds.features.ClassLabel) else None


def _check_task(builder: tfds.core.DatasetBuilder, name: str, config: DataConfig) -> None:
    """Raises a UserError if the labels are classes where numbers were asked for."""
    if config.task == "regression" and _find_class_names(builder, config):
        raise UserError(
            f"task=regression: the label {config.label!r} of {name} is a class: omit --task"
        )


def find_gaps(source: LabelledSplits) -> str:
    """Says where features are no finite numbers, or returns ""."""
    for split_name, split in source.splits.items():
        for x, _ in iterate_raw_batches(split, _BATCH):
            invalid = ~np.isfinite(x)
            if invalid.any():
                column = source.spec.feature_names[np.flatnonzero(invalid.any(axis=0))[0]]
                return f"column {column} has gaps (no finite number) in the {split_name} split"
    return ""
