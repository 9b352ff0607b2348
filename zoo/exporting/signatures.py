"""The signatures of an export: from raw input to named outputs, for any batch size.

| signature | input | output |
|---|---|---|
| `serving_default` | `image`; `features` or the columns of a table; `text`; or `text_a` and `text_b` | `logits`, `probabilities`, `class_id`, `label`; or `prediction` |
| `image_bytes` | `image_bytes`: encoded images | the same |
| `classify` | `inputs`: serialized tf.Example | `classes` and `scores`, best first |
| `regress` | `inputs`: serialized tf.Example | `outputs` |
| `features` | as `serving_default` | `features`: the input of the head |
| `top_k` | as `serving_default`, and `k` for each example | `labels`, `class_ids`, `probabilities`, best first |

A multi-label task has `scores`, the probability of each class on its own, in place of
`probabilities`. Its `serving_default` returns `logits`, `scores`, `is_selected` and `labels`: whether
each class is above its threshold, and the names of those that are, best first. TF Serving returns
no ragged tensors, so `labels` has a column for each class, and "" where there are no more labels.

Where two classes have a decision threshold, `class_id` and `label` follow it, and the class that it
decides on is the best.

`zoo.exporting.explain_signature` makes one more on demand.
"""  # noqa: E501, a table

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from zoo.data.images.decoding import decode_image
from zoo.data.spec import Spec
from zoo.exporting.raw_inputs import make_input_encoder, make_raw_input_specs
from zoo.exporting.tf_example import parse_examples
from zoo.exporting.validation import name_probabilities
from zoo.layers.outputs import FEATURES, HEAD, expose_features

Function = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
Signature = tuple[Function, dict[str, tf.TensorSpec]]

_DECODABLE_CHANNELS = (1, 3, 4)  # numbers of channels that TensorFlow decodes images to


def make_signatures(model: keras.Model, spec: Spec) -> tuple[dict[str, Signature], list[Any]]:
    """Returns the signatures that are possible for the data, and the lookup tables that they use.

    A signature is a function from inputs to outputs by name, and the specs of its inputs.
    """
    raw_specs = make_raw_input_specs(spec)
    encode, tables = make_input_encoder(spec)
    predict_all = expose_features(model)

    # traced once for all signatures: a trace takes much longer than a prediction
    @tf.function(autograph=False)
    def call_model(inputs):
        # TF Serving does not check shapes, and a wrong one can crash the process in an operation
        checked = {name: tf.ensure_shape(inputs[name], x.shape) for name, x in raw_specs.items()}
        return predict_all(encode(checked))

    def predict(inputs):
        return make_outputs(call_model(inputs)["logits"], spec)

    signatures: dict[str, Signature] = {"serving_default": (predict, raw_specs)}
    if spec.kind == "image" and spec.shape[-1] in _DECODABLE_CHANNELS:
        signatures["image_bytes"] = (
            lambda inputs: predict({"image": _decode_images(inputs["image_bytes"], spec)}),
            {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")},
        )
    if spec.tokenizer or not spec.is_text:
        is_regression = spec.class_names is None
        name, convert = ("regress", _regress) if is_regression else ("classify", _classify)
        signatures[name] = (
            lambda inputs: convert(predict(parse_examples(inputs["inputs"], spec)), spec),
            {"inputs": tf.TensorSpec((None,), tf.string, "inputs")},
        )
    if any(layer.name == HEAD for layer in model.layers):
        signatures["features"] = (
            lambda inputs: {"features": tf.cast(call_model(inputs)[FEATURES], tf.float32)},
            raw_specs,
        )
    if spec.class_names is not None and "k" not in raw_specs:
        signatures["top_k"] = (
            lambda inputs: _select_top_k(predict(inputs), inputs["k"], spec),
            raw_specs | {"k": tf.TensorSpec((None,), tf.int32, "k")},
        )
    return signatures, tables


def make_outputs(logits: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """Returns the outputs of `serving_default`."""
    if spec.class_names is None:
        return {"prediction": logits[:, 0]}
    if spec.multilabel:
        return _make_label_outputs(logits, spec)
    probabilities, class_id = tf.nn.softmax(logits), tf.argmax(logits, axis=-1)
    if spec.threshold is not None:
        class_id = tf.cast(probabilities[:, 1] > spec.threshold, tf.int64)
    return {
        "logits": logits,
        "probabilities": probabilities,
        "class_id": class_id,
        "label": tf.gather(tf.constant(spec.class_names), class_id),
    }


def _make_label_outputs(logits: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """Returns the outputs of `serving_default` of a multi-label task."""
    scores = tf.sigmoid(logits)
    is_selected = scores > tf.constant(spec.thresholds or 0.5, tf.float32)
    best, ids = tf.math.top_k(tf.where(is_selected, scores, -1.0), spec.num_classes)
    return {
        "logits": logits,
        "scores": scores,
        "is_selected": is_selected,
        "labels": tf.where(best >= 0, tf.gather(tf.constant(spec.class_names), ids), ""),
    }


def _classify(outputs: dict[str, tf.Tensor], spec: Spec) -> dict[str, tf.Tensor]:
    """Returns the outputs of `classify`, which the Classify API has to have."""
    scores, ids = _rank_classes(outputs, spec.num_classes, spec)
    return {"classes": tf.gather(tf.constant(spec.class_names), ids), "scores": scores}


def _rank_classes(outputs: dict[str, tf.Tensor], k: Any, spec: Spec) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the probabilities and ids of the first k classes, float32 and int32 (batch, k).

    The most probable class is first; with a decision threshold, the predicted one.
    """
    probabilities = outputs[name_probabilities(spec)]
    if spec.threshold is None:
        return tf.math.top_k(probabilities, k)
    ids = tf.stack([outputs["class_id"], 1 - outputs["class_id"]], axis=1)[:, :k]
    return tf.gather(probabilities, ids, batch_dims=1), tf.cast(ids, tf.int32)


def _regress(outputs: dict[str, tf.Tensor], spec: Spec) -> dict[str, tf.Tensor]:
    """Returns the output of `regress`, which the Regress API has to have."""
    return {"outputs": outputs["prediction"]}


def _select_top_k(outputs: dict[str, tf.Tensor], k: tf.Tensor, spec: Spec) -> dict[str, tf.Tensor]:
    """Returns the k most probable classes of each example.

    TF Serving may batch requests with different k. Rows with a smaller k than the largest one are
    padded with empty labels, ids of -1 and probabilities of 0.
    """
    count = tf.shape(outputs[name_probabilities(spec)])[0]
    # a k of another length would be broadcast
    one_each = tf.debugging.Assert(tf.shape(k)[0] == count, ["expected one k for each example"])
    with tf.control_dependencies([one_each]):
        k = tf.clip_by_value(k, 1, spec.num_classes)
    probabilities, ids = _rank_classes(outputs, tf.reduce_max(k), spec)
    is_within_k = tf.range(tf.shape(ids)[1]) < k[:, None]
    return {
        "labels": tf.where(is_within_k, tf.gather(tf.constant(spec.class_names), ids), ""),
        "class_ids": tf.cast(tf.where(is_within_k, ids, -1), tf.int64),
        name_probabilities(spec): tf.where(is_within_k, probabilities, 0.0),
    }


def _decode_images(encoded: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Decodes and resizes image files as in training.

    Args:
        encoded: Contents of the files, strings of shape (batch,).
        spec: Spec of the data.

    Returns:
        uint8 pixels of shape (batch, rows, columns, channels).
    """
    return tf.map_fn(
        lambda file: decode_image(file, spec.shape, spec.resize),
        encoded,
        fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8),
    )
