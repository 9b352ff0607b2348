"""Reads and decodes the examples of TFDS datasets."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.images import choose_image_size, fit_image
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.schema import suggest_closest

_PARALLEL_CALLS = 4  # blocks that are decoded at the same time
_BLOCK = 64  # examples decoded per call; one call per example takes six times as long
_SHUFFLE_BLOCK = 10_000  # examples that are shuffled together before they are decoded
_SAMPLED_IMAGES = 200  # images that are read to choose the size if it varies


def read_records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Returns the serialized examples of a split as scalar strings, in file order."""
    instructions = builder.info.splits[split].file_instructions
    names = [file.filename for file in instructions]
    skips, takes = np.array([[file.skip, file.take] for file in instructions], "int64").T

    @tf.autograph.experimental.do_not_convert
    def read(name, skip, take):
        return tf.data.TFRecordDataset(name).skip(skip).take(take)

    return tf.data.Dataset.from_tensor_slices((names, skips, takes)).flat_map(read)


def choose_features(
    builder: tfds.core.DatasetBuilder, name: str, config: DataConfig
) -> tuple[Spec, Callable]:
    """Returns the spec of a prepared dataset, and a function from a serialized example to (x, y).

    Args:
        builder: Builder of the dataset.
        name: Name of the dataset for error messages.
        config: Columns, and the size and colours of images, whose channels "auto" keeps.

    Raises:
        UserError: if a column does not exist or no model can read the data.
    """
    features = builder.info.features
    columns, label = _choose_columns(builder, name, config.text, config.label)
    class_names, read_label = _read_target(builder, label, name)
    if len(columns) == 1 and isinstance(features[columns[0]], tfds.features.Image):
        shape = _choose_image_shape(builder, columns[0], name, config)
        spec = Spec("image", shape, class_names, resize=config.resize or "stretch")

        def read_input(example):
            return fit_image(example[columns[0]], shape, spec.resize)
    elif setting := next(filter(vars(config).get, ("image_size", "resize", "color")), None):
        raise UserError(f"{setting}={vars(config)[setting]}: {name} has no images to resize")
    elif all(isinstance(features[c], tfds.features.Text) for c in columns):
        spec = _make_text_spec(columns, class_names, name)

        def read_input(example):
            texts = [example[c] for c in columns]
            return texts[0] if len(texts) == 1 else tf.stack(texts)
    else:
        names = _name_features(builder, columns, name)
        spec = Spec("features", (len(names),), class_names, names)

        def read_input(example):
            numbers = [tf.reshape(tf.cast(example[c], tf.float32), [-1]) for c in columns]
            return tf.ensure_shape(tf.concat(numbers, axis=0), spec.shape)

    @tf.autograph.experimental.do_not_convert
    def decode(record):
        example = features.deserialize_example(record)
        return read_input(example), read_label(example[label])

    return spec, decode


def _make_text_spec(columns: list[str], class_names: tuple[str, ...] | None, name: str) -> Spec:
    """Returns the spec of texts (one column) or text pairs (two) that are not tokenized yet."""
    if len(columns) > 2:
        raise UserError(
            f"{name}: {len(columns)} text columns, {', '.join(columns)}: choose one with "
            "--text=A, or two with --text=A,B"
        )
    kind, shape = ("text", ()) if len(columns) == 1 else ("text_pair", (2,))
    return Spec(kind, shape, class_names)


def _choose_columns(
    builder: tfds.core.DatasetBuilder, name: str, text: Sequence[str], label: str | None
) -> tuple[list[str], str]:
    """Returns the names of the input columns and the label."""
    features, keys = builder.info.features, builder.info.supervised_keys
    for column in (*text, *([label] if label else [])):
        if column not in features:
            raise UserError(
                f"{name} has no column {column!r}.{suggest_closest(column, features)} It has: "
                f"{', '.join(features)}"
            )
    for column in text:
        if column == label or not isinstance(features[column], tfds.features.Text):
            raise UserError(f"text={column}: expected a text column of {name} other than the label")
    if keys is None:
        text_columns = [c for c in features if isinstance(features[c], tfds.features.Text)]
        keys = (text_columns, "label") if text_columns and "label" in features else ()
    if (text and label) or (len(keys) == 2 and isinstance(keys[1], str)):
        inputs = keys[0] if not text else list(text)
        return [inputs] if isinstance(inputs, str) else list(inputs), label or keys[1]
    raise UserError(
        f"{name} has no default input and label: choose columns with --text and --label. "
        f"It has: {', '.join(features)}"
    )


def _choose_image_shape(
    builder: tfds.core.DatasetBuilder, column: str, name: str, config: DataConfig
) -> tuple[int, int, int]:
    """Returns the image shape, with the given size, the fixed size or the median of a sample."""
    features = builder.info.features
    feature = features[column]
    if feature.np_dtype != np.uint8:
        raise UserError(f"{name}: its images are {np.dtype(feature.np_dtype)}; expected uint8")
    size = config.image_size or feature.shape[:2]
    if None in size:
        sizes = (
            read_records(builder, "train")
            .take(_SAMPLED_IMAGES)
            .map(
                tf.autograph.experimental.do_not_convert(
                    lambda record: tf.shape(features.deserialize_example(record)[column])
                )
            )
        )
        size = choose_image_size([tuple(shape[:2]) for shape in sizes.as_numpy_iterator()])
    channels = {"gray": 1, "rgb": 3}.get(config.color or "", feature.shape[-1] or 3)
    return (*size, channels)


def _name_features(
    builder: tfds.core.DatasetBuilder, columns: list[str], name: str
) -> tuple[str, ...]:
    """Returns one name per number of the columns, which are scalars or fixed-length vectors."""
    names = []
    for column in columns:
        feature = builder.info.features[column]
        dtype = np.dtype(feature.np_dtype)
        is_numeric = np.issubdtype(dtype, np.number) or dtype == np.bool_
        if not is_numeric or len(feature.shape) > 1 or None in feature.shape:
            raise UserError(
                f"{name}: the input {column!r} is {type(feature).__name__} of shape "
                f"{feature.shape}; expected an image, a text or numbers of a fixed shape"
            )
        width = feature.shape[0] if feature.shape else 0
        names += [f"{column}_{i}" for i in range(width)] or [column]
    return tuple(names)


def _read_target(
    builder: tfds.core.DatasetBuilder, label: str, name: str
) -> tuple[tuple[str, ...] | None, Callable]:
    """Returns the class names (None for a regression) and a function from a raw label to y."""
    feature = builder.info.features[label]
    if isinstance(feature, tfds.features.ClassLabel):
        return tuple(feature.names), lambda raw: tf.cast(raw, tf.int64)
    if feature.shape or not np.issubdtype(feature.np_dtype, np.number):
        raise UserError(
            f"{name}: the label {label!r} is {type(feature).__name__} of shape {feature.shape}; "
            "expected a class or a number"
        )
    if np.issubdtype(feature.np_dtype, np.floating):
        return None, lambda raw: tf.reshape(tf.cast(raw, tf.float32), [1])
    examples = builder.as_dataset(
        split="train", read_config=tfds.ReadConfig(try_autocache=False)
    ).as_numpy_iterator()
    values = np.unique([example[label] for example in examples]).astype("int64")

    def find_index(raw):
        return tf.searchsorted(values, tf.cast(raw, tf.int64)[None], out_type=tf.int64)[0]

    return tuple(map(str, values)), find_index


def has_labels(records: tf.data.Dataset, decode: Callable, spec: Spec) -> bool:
    """Whether a split has labels; TFDS has -1 for labels that are not published."""
    if spec.class_names is None:
        return True
    return any(int(y) >= 0 for _, y in records.take(10).map(decode))


def make_reader(records: tf.data.Dataset, decode: Callable, spec: Spec) -> Callable:
    """Returns the `reader` of a Stream, which selects and shuffles rows before decoding them."""
    label = tf.TensorSpec((), "int64") if spec.class_names else tf.TensorSpec((1,), "float32")
    # texts are strings here, and token ids only after tokenization
    signature = tf.TensorSpec(spec.shape, "string" if spec.is_text else spec.dtype), label

    @tf.autograph.experimental.do_not_convert
    def decode_block(block):
        return tf.map_fn(decode, block, fn_output_signature=signature)

    def read(seed, rows):
        examples = records
        if rows is not None:
            examples = _select_records(examples, rows)
        if seed is not None:
            examples = _shuffle_records(examples, seed)
        blocks = examples.batch(_BLOCK)
        return blocks.map(
            decode_block, num_parallel_calls=_PARALLEL_CALLS, deterministic=True
        ).unbatch()

    return read


def _select_records(records: tf.data.Dataset, rows: np.ndarray) -> tf.data.Dataset:
    """Returns the records whose rows are set in the mask."""
    mask = tf.data.Dataset.from_tensor_slices(rows).batch(_SHUFFLE_BLOCK)
    blocks = tf.data.Dataset.zip(records.batch(_SHUFFLE_BLOCK), mask)
    return blocks.map(tf.boolean_mask).unbatch()


def _shuffle_records(records: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Shuffles within blocks, since `Dataset.shuffle` does not accept a seed tensor of the graph.

    TFDS has shuffled the whole dataset when it was prepared.
    """

    @tf.autograph.experimental.do_not_convert
    def shuffle(number, block):
        return tf.random.experimental.stateless_shuffle(block, tf.random.fold_in(seed, number))

    return records.batch(_SHUFFLE_BLOCK).enumerate().map(shuffle).prefetch(1).unbatch()
