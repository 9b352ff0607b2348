"""Reads and decodes the examples of TFDS datasets."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.images.decoding import choose_image_size, fit_image
from zoo.data.sources.tfds_columns import (
    find_column,
    is_numeric,
    list_columns,
    name_numbers,
    read_records,
    take_column,
)
from zoo.data.spec import Spec
from zoo.data.tables.labels import Target
from zoo.errors import UserError, shorten_names

_PARALLEL_CALLS = 4  # blocks that are decoded at the same time
_BLOCK = 64  # examples decoded per call; one call per example takes six times as long
_SHUFFLE_BLOCK = 10_000  # examples that are shuffled together before they are decoded
_SAMPLED_IMAGES = 200  # images that are read to choose the size if it varies


def make_decoder(
    builder: tfds.core.DatasetBuilder,
    name: str,
    split: str,
    columns: list[str],
    target: Target,
    config: DataConfig,
) -> tuple[Spec, Callable]:
    """Returns the spec of a prepared dataset, and a function from a serialized example to x.

    Args:
        builder: Builder of the dataset.
        name: Name of the dataset for error messages.
        split: Split whose images tell the size.
        columns: Names of the input columns: an image, texts, or numbers.
        target: What the labels are.
        config: Size and colours of images, whose channels "auto" keeps.

    Raises:
        UserError: if no model can read the columns.
    """
    features, class_names = builder.info.features, target.class_names
    found = [find_column(features, c) for c in columns]
    if len(columns) == 1 and isinstance(found[0], tfds.features.Image):
        shape = _choose_image_shape(builder, columns[0], name, split, config)
        spec = Spec("image", shape, class_names, resize=config.resize_mode)

        def convert(values):
            return fit_image(values[0], shape, spec.resize)
    elif setting := next(filter(vars(config).get, ("image_size", "resize", "color")), None):
        raise UserError(f"{setting}={vars(config)[setting]}: {name} has no images to resize")
    elif all(isinstance(feature, tfds.features.Text) for feature in found):
        spec = _make_text_spec(columns, class_names, name)

        def convert(values):
            return values[0] if len(values) == 1 else tf.stack(values)
    else:
        names = _name_features(builder, columns, name)
        spec = Spec("features", (len(names),), class_names, names)

        def convert(values):
            numbers = [tf.reshape(tf.cast(value, tf.float32), [-1]) for value in values]
            return tf.ensure_shape(tf.concat(numbers, axis=0), spec.shape)

    @tf.autograph.experimental.do_not_convert
    def decode(record):
        example = features.deserialize_example(record)
        return convert([take_column(example, features, c) for c in columns])

    return dataclasses.replace(spec, multilabel=target.multilabel), decode


def _make_text_spec(columns: list[str], class_names: tuple[str, ...] | None, name: str) -> Spec:
    """Returns the spec of texts (one column) or text pairs (two) that are not tokenized yet."""
    if len(columns) > 2:
        raise UserError(
            f"{name}: {len(columns)} text columns, {shorten_names(columns)}: choose one with "
            "--text=A, or two with --text=A,B"
        )
    kind, shape = ("text", ()) if len(columns) == 1 else ("text_pair", (2,))
    return Spec(kind, shape, class_names)


def _choose_image_shape(
    builder: tfds.core.DatasetBuilder, column: str, name: str, split: str, config: DataConfig
) -> tuple[int, int, int]:
    """Returns the image shape, with the given size, the fixed size or the median of a sample."""
    features = builder.info.features
    feature = find_column(features, column)
    if feature.np_dtype != np.uint8:
        raise UserError(f"{name}: its images are {np.dtype(feature.np_dtype)}; expected uint8")
    stored_channels = feature.shape[-1] or 3
    if stored_channels not in (1, 3):
        raise UserError(
            f"{name}: its images have {stored_channels} channels; expected 1 (gray) or 3 (rgb)"
        )
    size = config.image_size or feature.shape[:2]
    if None in size and config.preset_size:
        size = config.preset_size
    elif None in size:

        @tf.autograph.experimental.do_not_convert
        def read_shape(record):
            return tf.shape(take_column(features.deserialize_example(record), features, column))

        sizes = read_records(builder, split).take(_SAMPLED_IMAGES).map(read_shape)
        size = choose_image_size([tuple(shape[:2]) for shape in sizes.as_numpy_iterator()])
    channels = {"gray": 1, "rgb": 3}.get(config.color or "", stored_channels)
    return (*size, channels)


def _name_features(
    builder: tfds.core.DatasetBuilder, columns: list[str], name: str
) -> tuple[str, ...]:
    """Returns one name per number of the columns, which are scalars or fixed-length vectors."""
    names: list[str] = []
    for column in columns:
        feature = find_column(builder.info.features, column)
        if not is_numeric(feature):
            raise UserError(
                f"{name}: the input {column!r} is {type(feature).__name__} of shape "
                f"{feature.shape}; expected an image, a text or numbers of a fixed shape. It has: "
                f"{shorten_names(list_columns(builder.info.features))}"
            )
        names += name_numbers(column, feature)
    return tuple(names)


def make_reader(
    records: tf.data.Dataset, decode: Callable, labels: np.ndarray, spec: Spec
) -> Callable:
    """Returns the `reader` of a Stream, which selects and shuffles rows before decoding them.

    Args:
        records: The serialized examples.
        decode: Function from a serialized example to x.
        labels: Targets of the examples: int64 (n,) or float32 (n, 1).
        spec: Spec of the examples; texts are not tokenized yet.
    """
    targets = tf.constant(labels)
    # texts are strings here, and token ids only after tokenization
    signature = tf.TensorSpec(spec.shape, "string" if spec.is_text else spec.dtype)

    @tf.autograph.experimental.do_not_convert
    def decode_block(block, y):
        return tf.map_fn(decode, block, fn_output_signature=signature), y

    def read(seed, rows):
        examples = tf.data.Dataset.zip(records, tf.data.Dataset.from_tensor_slices(targets))
        if rows is not None:
            examples = _select_records(examples, rows)
        if seed is not None:
            examples = _shuffle_records(examples, seed)
        blocks = examples.batch(_BLOCK)
        return blocks.map(
            decode_block, num_parallel_calls=_PARALLEL_CALLS, deterministic=True
        ).unbatch()

    return read


def _select_records(examples: tf.data.Dataset, rows: np.ndarray) -> tf.data.Dataset:
    """Returns the examples whose rows are set in the mask."""
    mask = tf.data.Dataset.from_tensor_slices(rows).batch(_SHUFFLE_BLOCK)
    blocks = tf.data.Dataset.zip(examples.batch(_SHUFFLE_BLOCK), mask)

    @tf.autograph.experimental.do_not_convert
    def select(block, chosen):
        return tuple(tf.boolean_mask(part, chosen) for part in block)

    return blocks.map(select).unbatch()


def _shuffle_records(examples: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Shuffles within blocks, since `Dataset.shuffle` does not accept a seed tensor of the graph.

    TFDS has shuffled the whole dataset when it was prepared.
    """

    @tf.autograph.experimental.do_not_convert
    def shuffle(number, block):
        rows = tf.range(tf.shape(block[0])[0])
        order = tf.random.experimental.stateless_shuffle(rows, tf.random.fold_in(seed, number))
        return tuple(tf.gather(part, order) for part in block)

    return examples.batch(_SHUFFLE_BLOCK).enumerate().map(shuffle).prefetch(1).unbatch()
