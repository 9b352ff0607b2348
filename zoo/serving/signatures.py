"""The signatures of an export: raw input in, named outputs out, for any batch size.

| signature | input | output |
|---|---|---|
| `serving_default` | `image`; `features`; `text`; or `text_a` and `text_b` | `logits`, `probabilities`, `class_id`, `label`; or `prediction` |
| `image_bytes` | `image_bytes`: encoded images | the same |
| `classify` | `inputs`: serialized tf.Example | `classes` and `scores`, best first |
| `regress` | `inputs`: serialized tf.Example | `outputs` |
| `features` | as `serving_default` | `features`: what the head reads |
| `top_k` | as `serving_default`, and `k` of each example | `labels`, `class_ids`, `probabilities`, best first |
"""  # noqa: E501, a table

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from zoo.data import images, text
from zoo.data.spec import Spec

Function = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
Signature = tuple[Function, dict[str, tf.TensorSpec]]

HEAD = "head"
_DECODABLE = (1, 3, 4)  # channels that TensorFlow decodes images to


def raw_inputs(spec: Spec) -> dict[str, tf.TensorSpec]:
    """Names, shapes and types of what `serving_default` takes."""
    if spec.tokenizer:
        names = ("text",) if spec.kind == "text" else ("text_a", "text_b")
        return {name: tf.TensorSpec((None,), tf.string, name) for name in names}
    shape = (None,) if spec.is_text else spec.shape
    return {spec.input_name: tf.TensorSpec((None, *shape), spec.dtype, spec.input_name)}


def signatures(
    model: keras.Model, spec: Spec
) -> tuple[dict[str, Signature], list[keras.layers.Layer]]:
    """All signatures that suit the data, by name, and layers that hold lookup tables for them."""
    raw = raw_inputs(spec)
    tables = []
    encode = None
    if spec.tokenizer:
        encode, table = text.encoder(spec.tokenizer)
        table.build(None)
        tables.append(table)

    def inputs_of(received):
        # TF Serving compares no shapes, and a wrong one can end the process within an operation
        inputs = {name: tf.ensure_shape(received[name], raw[name].shape) for name in raw}
        return {"tokens": encode(*inputs.values())} if encode else inputs

    def predict(received):
        return _outputs(model(inputs_of(received), training=False)["logits"], spec)

    made: dict[str, Signature] = {"serving_default": (predict, raw)}
    if spec.kind == "image" and spec.shape[-1] in _DECODABLE:
        made["image_bytes"] = (
            lambda received: predict({"image": _decoded(received["image_bytes"], spec)}),
            {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")},
        )
    if not (spec.is_text and encode is None):
        examples = {"inputs": tf.TensorSpec((None,), tf.string, "inputs")}
        name, give = (
            ("regress", _regression) if spec.class_names is None else ("classify", _classification)
        )
        made[name] = (
            lambda received: give(predict(_from_examples(received["inputs"], spec)), spec),
            examples,
        )
    if any(layer.name == HEAD for layer in model.layers):
        body = keras.Model(model.input, {"features": model.get_layer(HEAD).input})

        def features(received):
            found = body(inputs_of(received), training=False)["features"]
            return {"features": tf.cast(found, tf.float32)}

        made["features"] = (features, raw)
    if spec.class_names is not None:
        made["top_k"] = (
            lambda received: _top_k(predict(received), received["k"], spec),
            raw | {"k": tf.TensorSpec((None,), tf.int32, "k")},
        )
    return made, tables


def _outputs(logits: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    if spec.class_names is None:
        return {"prediction": logits[:, 0]}
    class_id = tf.argmax(logits, axis=-1)
    return {
        "logits": logits,
        "probabilities": tf.nn.softmax(logits),
        "class_id": class_id,
        "label": tf.gather(tf.constant(spec.class_names), class_id),
    }


def _classification(outputs: dict[str, tf.Tensor], spec: Spec) -> dict[str, tf.Tensor]:
    scores, ids = tf.math.top_k(outputs["probabilities"], len(spec.class_names))
    return {"classes": tf.gather(tf.constant(spec.class_names), ids), "scores": scores}


def _regression(outputs: dict[str, tf.Tensor], spec: Spec) -> dict[str, tf.Tensor]:
    return {"outputs": outputs["prediction"]}


def _top_k(outputs: dict[str, tf.Tensor], k: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """The k best classes of each example.

    TF Serving may batch requests with different k: rows with a smaller one end in empty labels, ids
    of -1 and probabilities of 0.
    """
    k = tf.clip_by_value(k, 1, len(spec.class_names))
    probabilities, ids = tf.math.top_k(outputs["probabilities"], tf.reduce_max(k))
    asked = tf.range(tf.shape(ids)[1]) < k[:, None]
    return {
        "labels": tf.where(asked, tf.gather(tf.constant(spec.class_names), ids), ""),
        "class_ids": tf.cast(tf.where(asked, ids, -1), tf.int64),
        "probabilities": tf.where(asked, probabilities, 0.0),
    }


def _decoded(encoded: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Encoded images (batch,) to uint8 (batch, rows, columns, channels), as in training."""
    return tf.map_fn(
        lambda one: images.decode_image(one, spec.shape),
        encoded,
        fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8),
    )


def _from_examples(serialized: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """Serialized tf.Example (batch,) to raw inputs.

    The features of an Example are `image` (flattened pixels) or `image_bytes`; `text`, or `text_a`
    and `text_b`; or the columns by their names, or all of them as `features`.
    """
    keys, values = _features(serialized)
    if spec.tokenizer:
        return {name: _strings(keys, values, name) for name in raw_inputs(spec)}
    if spec.kind == "image":
        return {"image": _images(keys, values, spec)}
    width = spec.shape[0]
    taken, whole = _numbers(keys, values, "features", width)
    if not spec.feature_names:
        _check(whole, f"each example needs {width} numbers as 'features'")
    columns = []
    for name in spec.feature_names:
        column, is_one = _numbers(keys, values, name, 1)
        _check(whole | is_one, f"each example needs one number as the feature '{name}'")
        columns.append(column)
    if columns:
        taken = tf.where(whole[:, None], taken, tf.concat(columns, axis=1))
    return {"features": tf.ensure_shape(taken, [None, width])}


def _images(keys: tf.Tensor, values: tf.Tensor, spec: Spec) -> tf.Tensor:
    encoded, is_encoded = _bytes(keys, values, "image_bytes")
    pixels, whole = _numbers(keys, values, "image", math.prod(spec.shape))
    _check(
        is_encoded | whole,
        f"each example needs one string as the feature 'image_bytes', or "
        f"{' x '.join(map(str, spec.shape))} numbers as 'image'",
    )
    # of an image that is given as bytes the pixels are zeros here
    given = tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)
    given = tf.reshape(given, [-1, *spec.shape])

    def one(row):
        is_encoded, string, pixel = row
        return tf.cond(is_encoded, lambda: images.decode_image(string, spec.shape), lambda: pixel)

    rows = (is_encoded, encoded, given)
    return tf.map_fn(one, rows, fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8))


def _features(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Names and serialized values of the features of each tf.Example: (batch, most), then "".

    Not `tf.io.parse_example`, which needs to know whether a feature holds integers or floats: JSON
    may send either.
    """
    (features,) = _parts(serialized, "Example", ["features"])
    _, (entries,) = _decode(features, "Features", ["feature"])
    pairs = _parts(tf.reshape(entries, [-1]), "Features.FeatureEntry", ["key", "value"])
    keys, values = (tf.reshape(one, tf.shape(entries)) for one in pairs)
    return keys, values


def _decode(
    serialized: tf.Tensor, message: str, fields: list[str], dtype: tf.DType = tf.string
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Sizes, (n, fields), and padded values, (n, longest) for each field, of n messages.

    The operation fails on no messages at all: an empty one is added, and left out again.
    """
    sizes, values = tf.io.decode_proto(
        tf.concat([serialized, [""]], axis=0),
        f"tensorflow.{message}",
        fields,
        [dtype] * len(fields),
    )
    return sizes[:-1], [value[:-1] for value in values]


def _parts(serialized: tf.Tensor, message: str, fields: list[str]) -> list[tf.Tensor]:
    """Fields of n messages that are themselves strings or messages: strings (n,), "" if not there.

    Of a message that comes in several parts these are one after the other, which is the whole.
    """
    _, values = _decode(serialized, message, fields)
    return [tf.strings.reduce_join(value, axis=1) for value in values]


def _of(keys: tf.Tensor, values: tf.Tensor, name: str, fields: list[str]) -> list[tf.Tensor]:
    """The lists that one feature of each example may hold, still serialized: (batch,)."""
    feature = tf.strings.reduce_join(tf.where(keys == name, values, ""), axis=1)
    return _parts(feature, "Feature", fields)


def _numbers(
    keys: tf.Tensor, values: tf.Tensor, name: str, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The numbers of one feature of each example, integers or floats.

    Returns:
        float32 (batch, width), cut or padded with zeros, and whether each example has that many.
    """
    floats, integers = _of(keys, values, name, ["float_list", "int64_list"])
    sizes, (floats,) = _decode(floats, "FloatList", ["value"], tf.float32)
    more, (integers,) = _decode(integers, "Int64List", ["value"], tf.int64)

    def fitted(numbers):
        return tf.pad(numbers, [[0, 0], [0, width]])[:, :width]

    taken = tf.where(sizes > 0, fitted(floats), tf.cast(fitted(integers), tf.float32))
    return tf.ensure_shape(taken, [None, width]), (sizes + more)[:, 0] == width


def _bytes(keys: tf.Tensor, values: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """The string of one feature of each example, (batch,), and whether there is one and no more."""
    (lists,) = _of(keys, values, name, ["bytes_list"])
    sizes, (strings,) = _decode(lists, "BytesList", ["value"])
    return tf.strings.reduce_join(strings, axis=1), sizes[:, 0] == 1


def _strings(keys: tf.Tensor, values: tf.Tensor, name: str) -> tf.Tensor:
    """The one string of a feature of each example: (batch,)."""
    string, is_one = _bytes(keys, values, name)
    _check(is_one, f"each example needs one string as the feature '{name}'")
    return string


def _check(holds: tf.Tensor, message: str) -> None:
    """An INVALID_ARGUMENT with this message for the batch, unless it holds everywhere."""
    tf.debugging.Assert(tf.reduce_all(holds), [message])
