"""Parses tf.Examples in the graph of an export."""

import functools
import math
from collections.abc import Sequence

import tensorflow as tf
from google.protobuf import descriptor_pb2

from zoo.data.images.decoding import decode_image
from zoo.data.spec import Spec
from zoo.data.tables.column_encoding import parse_number_strings
from zoo.data.tables.columns import Column
from zoo.exporting.raw_inputs import make_raw_input_specs

_NO_EXAMPLE = "expected serialized tf.Examples"


def parse_examples(serialized: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """Parses tf.Examples to the inputs of `serving_default`.

    An Example has one of these features: `image` (flattened pixels) or `image_bytes`; `text`, or
    `text_a` and `text_b`; each feature by its name, or all as `features`; the cells of a table by
    the names of the columns, as numbers or strings. Columns that lacked cells in the training split
    may be missing.

    Args:
        serialized: Serialized tf.Examples of shape (batch,).
        spec: Spec of the data.
    """
    keys, values = _split_features(serialized)
    if spec.tokenizer:
        return _parse_strings(keys, values, [*make_raw_input_specs(spec)])
    if spec.kind == "image":
        return {"image": _parse_images(keys, values, spec)}
    if spec.columns:
        return _parse_cells(keys, values, spec.columns)
    width = spec.shape[0]
    all_numbers, has_all = _parse_numbers(keys, values, ["features"], width)
    numbers, has_all = all_numbers[:, 0], has_all[:, 0]
    if spec.feature_names:
        each, has_each = _parse_numbers(keys, values, spec.feature_names, 1)
        what = "each example needs one number as the feature"
        _require_each(has_all[:, None] | has_each, spec.feature_names, what)
        numbers = tf.where(has_all[:, None], numbers, each[:, :, 0])
    else:
        _require(has_all, f"each example needs {width} numbers as 'features'")
    return {"features": tf.ensure_shape(numbers, [None, width])}


def _parse_cells(
    keys: tf.Tensor, values: tf.Tensor, columns: tuple[Column, ...]
) -> dict[str, tf.Tensor]:
    """Returns the cells of each column, float64 for a number and strings for others, (batch,).

    The columns are decoded together: one by one they took 230 operations each, and an export of
    100 columns 16 s.
    """
    names = [column.name for column in columns]
    numbers, has_number = _parse_numbers(keys, values, names, 1, tf.float64)
    numbers = numbers[:, :, 0]
    strings, has_string = _parse_bytes(keys, values, names)
    may_lack = [column.has_missing or "" in column.values for column in columns]
    what = "each example needs a number or a string as the feature"
    _require_each(has_number | has_string | may_lack, names, what)
    cells: dict[int, tf.Tensor] = {}
    units = {column.unit for column in columns if column.kind == "number"}
    for unit in sorted(units):
        places = [i for i, c in enumerate(columns) if c.kind == "number" and c.unit == unit]
        written, sent = (tf.gather(x, places, axis=1) for x in (strings, numbers))
        read = parse_number_strings(tf.reshape(written, [-1]), unit)
        read = tf.where(
            tf.gather(has_number, places, axis=1), sent, tf.reshape(read, tf.shape(sent))
        )
        cells |= dict(zip(places, tf.unstack(read, len(places), axis=1), strict=True))
    is_whole = numbers == tf.round(numbers)
    whole = tf.strings.as_string(tf.cast(numbers, tf.int64))
    shortest = tf.strings.as_string(tf.cast(numbers, tf.float32), shortest=True)
    texts = tf.where(has_number, tf.where(is_whole, whole, shortest), strings)
    texts = tf.unstack(texts, len(columns), axis=1)
    return {name: cells.get(i, texts[i]) for i, name in enumerate(names)}


def _parse_images(keys: tf.Tensor, values: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Returns the images of a batch as uint8 pixels (batch, rows, columns, channels)."""
    files, has_file = _parse_bytes(keys, values, ["image_bytes"])
    numbers, has_pixels = _parse_numbers(keys, values, ["image"], math.prod(spec.shape))
    files, has_file, has_pixels = files[:, 0], has_file[:, 0], has_pixels[:, 0]
    _require(
        has_file | has_pixels,
        f"each example needs one string as the feature 'image_bytes', or "
        f"{' x '.join(map(str, spec.shape))} numbers as 'image'",
    )
    # all zeros where the example has a file instead
    pixels = tf.cast(tf.round(tf.clip_by_value(numbers, 0, 255)), tf.uint8)
    pixels = tf.reshape(pixels, [-1, *spec.shape])

    def decode_row(row):
        row_has_file, file, row_pixels = row
        decoded = functools.partial(decode_image, file, spec.shape, spec.resize)
        return tf.cond(row_has_file, decoded, lambda: row_pixels)

    rows = (has_file, files, pixels)
    return tf.map_fn(decode_row, rows, fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8))


def _split_features(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the names and the serialized values of the features of each tf.Example.

    `tf.io.parse_example` has to know whether a feature has integers or floats, but a client that
    sends JSON may send either.

    Returns:
        Two string tensors of shape (batch, largest number of features), padded with "".
    """
    serialized = _check_message(serialized, fields=1)
    (features,) = _decode_parts(serialized, 1)
    _, (entries,) = _decode_repeated(_check_message(features, fields=1), "Features", ["feature"])
    rows = _check_message(tf.reshape(entries, [-1]), fields=2)
    _, (keys,) = _decode_repeated(rows, "Features.FeatureEntry", ["key"])
    _, values = _decode_parts(rows, 2)
    keys, values = (tf.reshape(column, tf.shape(entries)) for column in (keys, values))
    return keys, values


def _check_message(serialized: tf.Tensor, fields: int) -> tf.Tensor:
    """Returns n messages, and fails with INVALID_ARGUMENT if one does not begin as such.

    `decode_proto` fails with DATA_LOSS, which a server takes for an error of its own. What lies
    deeper is not looked at: the check costs a few operations for all features together.

    Args:
        serialized: The messages, strings (n,).
        fields: The number of fields that they may have, 1 to `fields`, all strings or messages.
    """
    start = tf.cast(tf.io.decode_raw(serialized, tf.uint8, fixed_length=6), tf.int64)
    tags = [number << 3 | 2 for number in range(1, fields + 1)]
    # the size of the first field, seven bits a byte; all bytes of a size but its last exceed 127
    digits = start[:, 1:]
    is_before_last = tf.cast(digits > 127, tf.int64)
    belongs = tf.math.cumprod(is_before_last, axis=1, exclusive=True)
    size = tf.reduce_sum(belongs * (digits % 128) * [128**i for i in range(5)], axis=1)
    end = 1 + tf.reduce_sum(belongs, axis=1) + size
    length = tf.cast(tf.strings.length(serialized), tf.int64)
    fits = tf.reduce_any(start[:, :1] == tags, axis=1) & (end <= length)
    valid = tf.debugging.Assert(tf.reduce_all(fits | (length == 0)), [_NO_EXAMPLE])
    with tf.control_dependencies([valid]):
        return tf.identity(serialized)


def _decode_repeated(
    serialized: tf.Tensor, message: str, fields: list[str], dtype: tf.DType = tf.string
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Decodes repeated fields of n messages.

    Returns:
        The number of values, (n, number of fields), and for each field the values, (n, longest),
        padded with zeros or "".
    """
    # decode_proto fails if there are no messages: add an empty one, and drop it from the results
    sizes, values = tf.io.decode_proto(
        tf.concat([serialized, [""]], axis=0),
        f"tensorflow.{message}",
        fields,
        [dtype] * len(fields),
    )
    return sizes[:-1], [value[:-1] for value in values]


def _decode_parts(serialized: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Decodes the fields 1 to `count` of n messages, which are messages themselves.

    A message may be sent in several parts, which protobuf merges: concatenated, they are the whole.
    Where the field is declared as one message, `decode_proto` has the last part only.

    Returns:
        For each field the serialized message, (n,), "" where the field is missing.
    """
    # an empty message is added as in `_decode_repeated`
    _, parts = tf.io.decode_proto(
        tf.concat([serialized, [""]], axis=0),
        "zoo.Parts",
        [f"part_{number}" for number in range(1, count + 1)],
        [tf.string] * count,
        descriptor_source=b"bytes://" + _describe_parts(count),
    )
    return [tf.strings.reduce_join(part[:-1], axis=1) for part in parts]


def _describe_parts(count: int) -> bytes:
    """Returns the serialized descriptors of a message of repeated strings, fields 1 to `count`."""
    file = descriptor_pb2.FileDescriptorProto(name="zoo/parts.proto", package="zoo")
    message = file.message_type.add(name="Parts")
    for number in range(1, count + 1):
        message.field.add(
            name=f"part_{number}",
            number=number,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
        )
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def _decode_features(keys: tf.Tensor, values: tf.Tensor, names: Sequence[str]) -> list[tf.Tensor]:
    """Returns the lists of strings, floats and integers of some features, serialized.

    Of several features with the same name the last one counts, as in protobuf.

    Returns:
        Three string tensors of shape (batch * number of names,).
    """
    rows, width, count = tf.shape(keys)[0], tf.shape(keys)[1], len(names)
    # the names come first: what has their numbers is one of them
    _, numbers = tf.unique(tf.concat([tf.constant([*names]), tf.reshape(keys, [-1])], axis=0))
    numbers = tf.reshape(numbers[count:], tf.shape(keys))
    places = tf.where(numbers < count, tf.range(rows)[:, None] * count + numbers, -1)
    positions = tf.broadcast_to(tf.range(1, width + 1), tf.shape(keys))
    last = tf.math.unsorted_segment_max(positions, places, rows * count)  # without those at -1
    last = tf.reshape(tf.maximum(last, 0), [rows, count])
    padded = tf.pad(values, [[0, 0], [1, 0]])  # "" where the feature is missing
    found = tf.gather(padded, last, axis=1, batch_dims=1)
    return _decode_parts(tf.reshape(found, [-1]), 3)


def _parse_numbers(
    keys: tf.Tensor,
    values: tf.Tensor,
    names: Sequence[str],
    width: int,
    dtype: tf.DType = tf.float32,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the numbers, integers or floats, of some features of each example.

    Returns:
        Numbers of `dtype` (batch, number of names, width), truncated or padded with zeros; and
        whether each example has exactly `width` numbers, bool (batch, number of names).
    """
    _, floats, integers = _decode_features(keys, values, names)
    float_counts, (floats,) = _decode_repeated(floats, "FloatList", ["value"], tf.float32)
    integer_counts, (integers,) = _decode_repeated(integers, "Int64List", ["value"], tf.int64)

    def fit_width(values):
        return tf.pad(values, [[0, 0], [0, width]])[:, :width]

    integers = tf.cast(fit_width(integers), dtype)
    numbers = tf.where(float_counts > 0, tf.cast(fit_width(floats), dtype), integers)
    has_all = (float_counts + integer_counts)[:, 0] == width
    return tf.reshape(numbers, [-1, len(names), width]), tf.reshape(has_all, [-1, len(names)])


def _parse_bytes(
    keys: tf.Tensor, values: tf.Tensor, names: Sequence[str]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the strings of some features of each example.

    Returns:
        The strings, (batch, number of names), and whether each example has exactly one, bool
        (batch, number of names).
    """
    lists, *_ = _decode_features(keys, values, names)
    counts, (strings,) = _decode_repeated(lists, "BytesList", ["value"])
    shape = [-1, len(names)]
    joined = tf.strings.reduce_join(strings, axis=1)
    return tf.reshape(joined, shape), tf.reshape(counts[:, 0] == 1, shape)


def _parse_strings(
    keys: tf.Tensor, values: tf.Tensor, names: Sequence[str]
) -> dict[str, tf.Tensor]:
    """Returns the strings of each feature, (batch,), and requires one of each for each example."""
    strings, has_one = _parse_bytes(keys, values, names)
    _require_each(has_one, names, "each example needs one string as the feature")
    return dict(zip(names, tf.unstack(strings, len(names), axis=1), strict=True))


def _require_each(conditions: tf.Tensor, names: Sequence[str], what: str) -> None:
    """Fails as `_require`, with the first name whose conditions, (batch, names), do not all hold.

    Args:
        conditions: bool (batch, number of names).
        names: Names of features.
        what: Begin of the message.
    """
    fulfilled = tf.reduce_all(conditions, axis=0)
    first = tf.gather(tf.constant([*names]), tf.argmin(tf.cast(fulfilled, tf.int32)))
    _require(fulfilled, tf.strings.join([what, " '", first, "'"]))


def _require(condition: tf.Tensor, message: str | tf.Tensor) -> None:
    """Fails with INVALID_ARGUMENT and the message unless the condition holds for each example."""
    tf.debugging.Assert(tf.reduce_all(condition), [message])
