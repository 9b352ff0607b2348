"""Datasets of TensorFlow Datasets, by name."""

import contextlib
import io
import queue
import threading
from collections.abc import Callable, Sequence
from urllib.error import URLError
from urllib.parse import urlsplit

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data import images, mnist_5k, synthetic_reviews  # noqa: F401, imports register datasets
from zoo.data.spec import Source, Spec, Stream
from zoo.errors import UserError
from zoo.schema import closest

_PARALLEL = 4  # blocks decoded at once
_BLOCK = 64  # examples decoded in one call: one call for each takes six times as long
_SHUFFLE_BLOCK = 10_000  # examples, still encoded
_SAMPLE = 200  # images whose size is looked at where a dataset has many
_PATIENCE = 8  # seconds for the network to answer

_NETWORK_ERRORS = (requests.RequestException, URLError, ConnectionError, TimeoutError)


class Unavailable(UserError):
    """A dataset that is not prepared and cannot be downloaded."""


def load(
    name: str,
    data_dir: str | None,
    train_split: str | None,
    image_size: tuple[int, int] | None,
    text: Sequence[str],
    label: str | None,
) -> Source:
    """Prepares the TFDS dataset `name` if it is not there yet, and reads its labelled splits.

    Inputs and label are TFDS' supervised keys; without these, or where `text` and `label` name
    others, the texts and the column `label`.

    Raises:
        Unavailable: if it is not prepared and cannot be downloaded.
        UserError: for an unknown name or split, or data that no model reads.
    """
    builder = _builder(name, data_dir)
    _prepare(builder, name)
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"{name} is prepared in {builder.data_dir} as {builder.info.file_format.value}: "
            "expected tfrecord: prepare it again with TFDS' file_format='tfrecord'"
        )
    train = train_split or "train"
    expressions = {"train": train}
    # a split that is trained on is not scored
    expressions |= {
        s: s for s in ("validation", "test") if s in builder.info.splits and s not in train
    }
    spec, decode = _reading(builder, name, image_size, text, label)
    splits, origins = {}, {}
    for part, expression in expressions.items():
        try:
            size = builder.info.splits[expression].num_examples
        except (ValueError, KeyError):
            raise UserError(
                f"train_split={expression!r}: {name} has the splits "
                f"{', '.join(builder.info.splits)}; write for example 'train[:90%]'"
            ) from None
        records = _records(builder, expression)
        if not _labelled(records, decode, spec):
            continue
        splits[part], origins[part] = Stream(size, _reader(records, decode, spec)), expression
    if "train" not in splits:
        raise UserError(f"{name}: the split {train!r} has no labels to train on")
    return Source(str(builder.version), spec, splits, origins)


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise UserError(
            f"no dataset is named {name!r}.{closest(name.split('/')[0], known)} Expected one of "
            f"the {len(known)} of TensorFlow Datasets (mnist, cifar10, iris, ...), folder:PATH of "
            "images by class, csv:PATH or jsonl:PATH"
        ) from None
    except Exception as error:
        raise UserError(f"dataset {name!r}: {_one_line(error)}") from error


def _prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    if builder.is_prepared():
        return
    ways_out = (
        "connect to the network, name a folder that has it with --data_dir, or take "
        "--dataset=mnist_5k or synthetic_reviews, which need no download"
    )
    urls = list(builder.url_infos or ())
    if urls and not _reachable(urls):
        raise Unavailable(
            f"{name} is not prepared in {builder.data_dir} and its server "
            f"{urlsplit(urls[0]).hostname} does not answer: {ways_out}"
        )
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        if urls:
            builder.download_and_prepare(download_config=config)
        else:
            # nothing is downloaded, whatever TFDS would say
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                builder.download_and_prepare(download_config=config)
    except _NETWORK_ERRORS as error:
        raise Unavailable(
            f"{name} cannot be downloaded ({_one_line(error)}): {ways_out}"
        ) from error
    except OSError:
        raise  # of the disk
    except Exception as error:
        raise Unavailable(f"{name} cannot be prepared ({_one_line(error)}): {ways_out}") from error


def _reachable(urls: list[str]) -> bool:
    """Whether one of the servers answers; TFDS itself would retry for minutes."""
    answers: queue.Queue[bool] = queue.Queue()
    servers = {urlsplit(url).hostname: url for url in urls}

    def ask(url):
        try:
            requests.head(url, timeout=_PATIENCE / 2)
            answers.put(True)
        except requests.RequestException:
            answers.put(False)

    # daemons, since a name server that is silent outlasts the time-out
    for url in servers.values():
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    try:
        return any(answers.get(timeout=_PATIENCE) for _ in servers)
    except queue.Empty:
        return False


def _records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """The split's serialized examples: strings, in the order of the files."""
    places = builder.info.splits[split].file_instructions
    names = [place.filename for place in places]
    skips, takes = np.array([[place.skip, place.take] for place in places], "int64").T

    @tf.autograph.experimental.do_not_convert
    def read(name, skip, take):
        return tf.data.TFRecordDataset(name).skip(skip).take(take)

    return tf.data.Dataset.from_tensor_slices((names, skips, takes)).flat_map(read)


def _reading(
    builder: tfds.core.DatasetBuilder,
    name: str,
    image_size: tuple[int, int] | None,
    text: Sequence[str],
    label: str | None,
) -> tuple[Spec, Callable]:
    """The spec, and the function from a serialized example to (x, y)."""
    features = builder.info.features
    columns, label = _columns(builder, name, text, label)
    class_names, read_label = _target(builder, label, name)

    if len(columns) == 1 and isinstance(features[columns[0]], tfds.features.Image):
        shape = _image_shape(builder, columns[0], name, image_size)
        spec = Spec("image", shape, class_names)

        def read_input(example):
            return images.resize(example[columns[0]], shape)
    elif image_size is not None:
        raise UserError(f"image_size={image_size}: {name} has no images to resize")
    elif all(isinstance(features[c], tfds.features.Text) for c in columns):
        spec = _text_spec(columns, class_names, name)

        def read_input(example):
            texts = [example[c] for c in columns]
            return texts[0] if len(texts) == 1 else tf.stack(texts)
    else:
        names = _feature_names(builder, columns, name)
        spec = Spec("features", (len(names),), class_names, names)

        def read_input(example):
            numbers = [tf.reshape(tf.cast(example[c], tf.float32), [-1]) for c in columns]
            return tf.ensure_shape(tf.concat(numbers, axis=0), spec.shape)

    @tf.autograph.experimental.do_not_convert
    def decode(record):
        example = features.deserialize_example(record)
        return read_input(example), read_label(example[label])

    return spec, decode


def _text_spec(columns: list[str], class_names: tuple[str, ...] | None, name: str) -> Spec:
    """The spec of texts in one column, or pairs in two, before they are tokenized."""
    if len(columns) > 2:
        raise UserError(
            f"{name}: {len(columns)} columns of text, {', '.join(columns)}: name one with "
            "--text=A, or two with --text=A,B"
        )
    kind, shape = ("text", ()) if len(columns) == 1 else ("text_pair", (2,))
    return Spec(kind, shape, class_names)


def _columns(
    builder: tfds.core.DatasetBuilder, name: str, text: Sequence[str], label: str | None
) -> tuple[list[str], str]:
    """Names of the inputs and of the label."""
    features, keys = builder.info.features, builder.info.supervised_keys
    for column in (*text, *([label] if label else [])):
        if column not in features:
            raise UserError(
                f"{name} has no column {column!r}.{closest(column, features)} It has: "
                f"{', '.join(features)}"
            )
    for column in text:
        if column == label or not isinstance(features[column], tfds.features.Text):
            raise UserError(f"text={column}: expected a column of texts beside the label of {name}")
    if keys is None:
        found = [c for c in features if isinstance(features[c], tfds.features.Text)]
        keys = (found, "label") if found and "label" in features else ()
    if (text and label) or (len(keys) == 2 and isinstance(keys[1], str)):
        inputs = keys[0] if not text else list(text)
        return [inputs] if isinstance(inputs, str) else list(inputs), label or keys[1]
    raise UserError(
        f"{name} is not made for classification or regression: TFDS names no input and label. "
        f"Name columns of it with --text and --label: {', '.join(features)}"
    )


def _image_shape(
    builder: tfds.core.DatasetBuilder, column: str, name: str, image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Shape that all images get: the one asked for, their own, or the median of some."""
    features = builder.info.features
    feature = features[column]
    if feature.np_dtype != np.uint8:
        raise UserError(f"{name}: its images are {np.dtype(feature.np_dtype)}, expected 8-bit ones")
    size = image_size or feature.shape[:2]
    if None in size:
        some = (
            _records(builder, "train")
            .take(_SAMPLE)
            .map(
                tf.autograph.experimental.do_not_convert(
                    lambda record: tf.shape(features.deserialize_example(record)[column])
                )
            )
        )
        size = images.common_size([tuple(shape[:2]) for shape in some.as_numpy_iterator()])
    return (*size, feature.shape[-1] or 3)


def _feature_names(
    builder: tfds.core.DatasetBuilder, columns: list[str], name: str
) -> tuple[str, ...]:
    """A name for each number of these columns: scalars, or vectors of a fixed length."""
    names = []
    for column in columns:
        feature = builder.info.features[column]
        kind = np.dtype(feature.np_dtype)
        numeric = np.issubdtype(kind, np.number) or kind == np.bool_
        if not numeric or len(feature.shape) > 1 or None in feature.shape:
            raise UserError(
                f"{name}: the input {column!r} is {type(feature).__name__} of shape "
                f"{feature.shape}; the models here read images, texts and plain numbers"
            )
        width = feature.shape[0] if feature.shape else 0
        names += [f"{column}_{i}" for i in range(width)] or [column]
    return tuple(names)


def _target(
    builder: tfds.core.DatasetBuilder, label: str, name: str
) -> tuple[tuple[str, ...] | None, Callable]:
    """Class names (None: a regression) and the function from a raw label to y."""
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

    def index_of(raw):
        return tf.searchsorted(values, tf.cast(raw, tf.int64)[None], out_type=tf.int64)[0]

    return tuple(map(str, values)), index_of


def _labelled(records: tf.data.Dataset, decode: Callable, spec: Spec) -> bool:
    """Whether a split has labels: where they are hidden, TFDS gives -1."""
    if spec.class_names is None:
        return True
    return any(int(y) >= 0 for _, y in records.take(10).map(decode))


def _reader(records: tf.data.Dataset, decode: Callable, spec: Spec) -> Callable:
    """The `reader` of a Stream: rows are left out and shuffled before they are decoded."""
    label = tf.TensorSpec((), "int64") if spec.class_names else tf.TensorSpec((1,), "float32")
    # of texts too, which are strings until they are tokenized
    signature = tf.TensorSpec(spec.shape, "string" if spec.is_text else spec.dtype), label

    @tf.autograph.experimental.do_not_convert
    def decoded(block):
        return tf.map_fn(decode, block, fn_output_signature=signature)

    def read(seed, rows):
        examples = records
        if rows is not None:
            examples = _only(examples, rows)
        if seed is not None:
            examples = _shuffled(examples, seed)
        blocks = examples.batch(_BLOCK)
        return blocks.map(decoded, num_parallel_calls=_PARALLEL, deterministic=True).unbatch()

    return read


def _only(records: tf.data.Dataset, rows: np.ndarray) -> tf.data.Dataset:
    """The records whose rows are set in the mask."""
    keep = tf.data.Dataset.from_tensor_slices(rows).batch(_SHUFFLE_BLOCK)
    blocks = tf.data.Dataset.zip(records.batch(_SHUFFLE_BLOCK), keep)
    return blocks.map(tf.boolean_mask).unbatch()


def _shuffled(records: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Shuffles within blocks: `Dataset.shuffle` takes no seed that is made in the graph.

    The files are in a random order already, since TFDS shuffles when it prepares them.
    """

    @tf.autograph.experimental.do_not_convert
    def shuffle(number, block):
        return tf.random.experimental.stateless_shuffle(block, tf.random.fold_in(seed, number))

    return records.batch(_SHUFFLE_BLOCK).enumerate().map(shuffle).prefetch(1).unbatch()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
