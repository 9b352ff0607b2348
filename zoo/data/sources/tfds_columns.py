"""Chooses and reads the columns of TFDS datasets: features, those in other features with a dot."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig, format_column_kinds
from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import STRING
from zoo.errors import UserError, shorten_names
from zoo.schema import suggest_closest

_BATCH = 1024  # records that are parsed at once


def read_records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Returns the serialized examples of a split as scalar strings, in file order."""
    instructions = builder.info.splits[split].file_instructions
    names = [file.filename for file in instructions]
    skips, takes = np.array([[file.skip, file.take] for file in instructions], "int64").T

    @tf.autograph.experimental.do_not_convert
    def read(name, skip, take):
        return tf.data.TFRecordDataset(name).skip(skip).take(take)

    return tf.data.Dataset.from_tensor_slices((names, skips, takes)).flat_map(read)


def list_columns(features: tfds.features.FeaturesDict) -> dict[str, tuple[str, ...]]:
    """Returns the keys of each feature by its name: {"meta.age": ("meta", "age")}."""
    columns = {}
    for name, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            for inner, keys in list_columns(feature).items():
                columns[f"{name}.{inner}"] = (name, *keys)
        else:
            columns[name] = (name,)
    return columns


def find_column(features: tfds.features.FeaturesDict, name: str) -> Any:
    """Returns a feature by its name."""
    return take_column(features, features, name)


def take_column(example: Any, features: tfds.features.FeaturesDict, name: str) -> Any:
    """Returns the value of a feature in a decoded example."""
    for key in list_columns(features)[name]:
        example = example[key]
    return example


def is_numeric(feature: Any) -> bool:
    """Whether a feature is a number or a truth value, or a vector of a fixed length of them."""
    if isinstance(feature, tfds.features.Text) or not isinstance(feature.shape, tuple):
        return False
    dtype = np.dtype(feature.np_dtype)
    is_number = np.issubdtype(dtype, np.number) or dtype == np.bool_
    return is_number and len(feature.shape) <= 1 and None not in feature.shape


def is_scalar(feature: Any) -> bool:
    """Whether a feature is one number, class or text, or a vector of a fixed length of numbers."""
    is_text = isinstance(feature, tfds.features.Text) or (
        getattr(feature, "shape", None) == () and feature.np_dtype in (object, np.bytes_, str)
    )
    return is_text or is_numeric(feature)


def find_list_items(feature: Any) -> Any:
    """Returns the feature of the items of a list of classes, whole numbers or texts, or None."""
    if not isinstance(feature, tfds.features.Sequence) or feature.shape != (None,):
        return None
    items = feature.feature
    is_whole = np.issubdtype(np.dtype(items.np_dtype), np.integer)
    return items if is_whole or isinstance(items, tfds.features.Text) else None


def name_numbers(column: str, feature: Any) -> list[str]:
    """Returns one name per number of a feature: ["x_0", "x_1"], or ["x"] for a scalar."""
    width = feature.shape[0] if feature.shape else 0
    return [f"{column}_{i}" for i in range(width)] or [column]


def choose_columns(
    builder: tfds.core.DatasetBuilder, name: str, config: DataConfig
) -> tuple[list[str], str, tuple[str, ...]]:
    """Returns the names of the input columns, the name of the label, and notes.

    Raises:
        UserError: if a column does not exist, or it is not clear which one is the label or the
            input.
    """
    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        raise UserError(f"{name}: its examples are {type(features).__name__}; expected columns")
    columns = list_columns(features)
    wanted = [config.label, config.group, config.time, config.slices]
    for column in (*config.text, *filter(None, wanted)):
        if column not in columns:
            raise UserError(
                f"{name} has no column {column!r}.{suggest_closest(column, columns)} It has: "
                f"{shorten_names(columns)}"
            )
    for column in config.text:
        is_text = isinstance(find_column(features, column), tfds.features.Text)
        if column == config.label or not is_text:
            raise UserError(f"text={column}: expected a text column of {name} other than the label")
    inputs, label = _find_supervised_keys(builder, columns)
    label = config.label or label or ("label" if "label" in columns else None)
    if label is None:
        raise UserError(
            f"{name} has no default input and label: choose the column to predict with "
            f"--label=COLUMN. It has: {shorten_names(columns)}"
        )
    feature = find_column(features, label)
    if is_numeric(feature) and feature.shape:
        raise UserError(
            f"{name}: the label {label!r} is a vector of shape {feature.shape}; expected a class, "
            "a number, a text, or a list of classes: choose another column with --label"
        )
    if config.text:
        return list(config.text), label, ()
    given = {label, config.group}
    inputs = [column for column in inputs if column not in {label, config.group}]
    is_table = bool(config.columns or config.known_columns)
    if inputs and not (is_table and _are_texts(features, inputs)):
        return inputs, label, ()
    others = [column for column in columns if column not in given]
    inputs = _guess_inputs(features, others, name, is_table)
    unread = [column for column in others if column not in inputs]
    # a trained or pretrained model of texts reads nothing else
    advises = not (config.preset or config.known_classes or config.task)
    return inputs, label, _describe_unread(features, inputs, unread, name, advises=advises)


def _are_texts(features: tfds.features.FeaturesDict, columns: Iterable[str]) -> bool:
    found = (find_column(features, column) for column in columns)
    return all(isinstance(feature, tfds.features.Text) for feature in found)


def _describe_unread(
    features: tfds.features.FeaturesDict,
    inputs: list[str],
    unread: list[str],
    name: str,
    *,
    advises: bool,
) -> tuple[str, ...]:
    """Returns a note on columns that are not read; with advice on how to, if beside texts."""
    if not unread:
        return ()
    advice = ""
    if (
        advises
        and _are_texts(features, inputs)
        and any(is_scalar(find_column(features, x)) for x in unread)
    ):
        kinds = format_column_kinds(inputs[:1], "text")
        advice = f" (--model=mlp {kinds} reads them beside the texts)"
    return (f"{name}: these columns are not read: {shorten_names(unread)}{advice}",)


def _find_supervised_keys(
    builder: tfds.core.DatasetBuilder, columns: Iterable[str]
) -> tuple[list[str], str | None]:
    """Returns the inputs, and the label if there is a single one, that the dataset names."""
    keys = builder.info.supervised_keys
    if keys is None:
        return [], None

    def expand(names):  # a name may be that of a group of columns
        return [
            column
            for name in tf.nest.flatten(names)
            for column in columns
            if column == name or column.startswith(f"{name}.")
        ]

    labels = expand(keys[1])
    return expand(keys[0]), labels[0] if len(labels) == 1 else None


def _guess_inputs(
    features: tfds.features.FeaturesDict, columns: list[str], name: str, is_table: bool
) -> list[str]:
    """Returns the columns that models read: the only image, one or two texts, or all scalars.

    Of what is to be read as the columns of a table, they are all scalars if there are some.
    """
    found = {column: find_column(features, column) for column in columns}
    masks = tfds.features.LabeledImage
    images = [c for c, feature in found.items() if isinstance(feature, tfds.features.Image)]
    images = [c for c in images if not isinstance(found[c], masks)]
    texts = [c for c, feature in found.items() if isinstance(feature, tfds.features.Text)]
    scalars = [c for c, feature in found.items() if is_scalar(feature)]
    if is_table and scalars:
        return scalars
    if len(images) > 1:
        raise UserError(
            f"{name} has several images, {shorten_names(images)}: name the one to read as the "
            "supervised_keys of its builder"
        )
    inputs = images or (texts if len(texts) <= 2 else []) or scalars
    if not inputs:
        kinds = ", ".join(f"{c} ({type(feature).__name__})" for c, feature in found.items())
        raise UserError(
            f"{name}: no column that a model can read: {kinds or 'the label is the only column'}; "
            "expected an image, a text or numbers of a fixed shape"
        )
    return inputs


def read_table(
    builder: tfds.core.DatasetBuilder, split: str, columns: Sequence[str], name: str
) -> Table:
    """Reads columns of a split as a table of strings, null where a value is missing.

    Vectors become a column for each number, classes their names, and lists lists of strings.

    Args:
        builder: Builder of the dataset.
        split: A split expression.
        columns: Names of scalars, vectors of a fixed length, or lists of classes.
        name: Name of the dataset for error messages.

    Raises:
        UserError: if a column is of another kind.
    """
    features = builder.info.features
    keys = {column: "/".join(list_columns(features)[column]) for column in columns}
    parsers = {keys[c]: _make_parser(find_column(features, c), c, name) for c in columns}
    batches = [
        tf.io.parse_example(batch, parsers) for batch in read_records(builder, split).batch(_BATCH)
    ]
    frame = {}
    for column in columns:
        feature = find_column(features, column)
        if items := find_list_items(feature):
            lists = [row for batch in batches for row in batch[keys[column]]]
            frame[column] = pd.Series([_format_list(row.numpy(), items) for row in lists])
            continue
        parts = [batch[keys[column]].numpy() for batch in batches]
        shape = (0, *feature.shape)
        values = np.concatenate([np.empty(shape, parts[0].dtype) if parts else [], *parts])
        names = name_numbers(column, feature)
        for number, cells in zip(names, values.reshape(len(values), len(names)).T, strict=True):
            frame[number] = _format_cells(cells, feature)
    return Table(Path(name, split), "tfds", pd.DataFrame(frame))


def _make_parser(
    feature: Any, column: str, name: str
) -> tf.io.FixedLenFeature | tf.io.RaggedFeature:
    """Returns how a feature is read from a serialized example."""
    if items := find_list_items(feature):
        is_text = isinstance(items, tfds.features.Text)
        return tf.io.RaggedFeature(tf.string if is_text else tf.int64)
    # numbers may be stored as bytes, in an encoding of TFDS' own
    stored = feature.get_serialized_info().tf_dtype if is_numeric(feature) else None
    if not is_scalar(feature) or stored == tf.string:
        shape = getattr(feature, "shape", "unknown")
        raise UserError(
            f"{name}: the column {column!r} is {type(feature).__name__} of shape {shape}; expected "
            "a class, a number, a text, or a list of classes: choose another column"
        )
    if stored is None:
        return tf.io.FixedLenFeature((), tf.string)
    return tf.io.FixedLenFeature(feature.shape, tf.float32 if stored.is_floating else tf.int64)


def _format_list(values: np.ndarray, items: Any) -> list[str] | None:
    """Returns the items of a list as strings; None if one is missing, which TFDS writes as -1."""
    if values.dtype.kind == "i" and (values < 0).any():
        return None
    return _format_cells(values, items).tolist()


def _format_cells(values: np.ndarray, feature: Any) -> pd.Series:
    """Returns values as strings, null where they are missing."""
    if isinstance(feature, tfds.features.ClassLabel):
        known = np.array([*feature.names, None], object)  # TFDS writes -1 where one is missing
        cells = pd.Series(known[np.where(values < 0, len(known) - 1, values)])
    elif values.dtype.kind == "f":
        # the shortest decimals that are the same 32-bit number
        cells = pd.Series(values.astype("float32")).map(str).mask(np.isnan(values))
    elif values.dtype.kind == "i":
        is_truth = feature.np_dtype == np.bool_
        cells = pd.Series(values.astype(bool) if is_truth else values).map(str)
    else:
        cells = pd.Series([value.decode("utf-8", "replace") for value in values], dtype=object)
    return cells.astype(STRING)
