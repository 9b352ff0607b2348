"""Computes the expected outputs of each signature from the Keras model and NumPy."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from scipy import special

from zoo.data.images.decoding import decode_image
from zoo.data.spec import Spec
from zoo.evaluation.decision_threshold import choose_classes
from zoo.evaluation.label_thresholds import select_labels
from zoo.evaluation.predictions import make_feature_predictor
from zoo.exporting.explain_signature import EXPLAIN, make_explain_signature
from zoo.exporting.raw_inputs import make_input_encoder, make_raw_input_specs
from zoo.exporting.validation import decode_output, name_probabilities
from zoo.layers.outputs import FEATURES

Reference = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def make_reference(model: keras.Model, spec: Spec) -> Reference:
    """Returns a function from a signature's name and inputs to its expected outputs.

    The inputs are those that `zoo.exporting.warmup.make_signature_inputs` makes.
    """
    predict = make_feature_predictor(model)
    encode, _ = make_input_encoder(spec)
    raw_specs = make_raw_input_specs(spec)

    @functools.cache
    def make_explain():  # traced only if it is called
        explain, _ = make_explain_signature(model, spec)
        return tf.function(explain, input_signature=[raw_specs], autograph=False)

    def compute_outputs(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if signature == EXPLAIN:
            explained = make_explain()({name: tf.constant(x) for name, x in inputs.items()})
            arrays = {k: decode_output(x.numpy(), x.dtype.name) for k, x in explained.items()}
            return arrays | compute_outputs("serving_default", inputs)
        raw = _recover_raw_inputs(signature, inputs, spec)
        outputs = predict(encode({name: tf.constant(raw[name]) for name in raw_specs}))
        if signature == "features" and FEATURES in outputs:
            return {"features": np.asarray(outputs[FEATURES], "float32")}
        logits = outputs["logits"].numpy()
        if spec.class_names is None:
            name = "outputs" if signature == "regress" else "prediction"
            return {name: logits[:, 0]}
        return _compute_class_outputs(signature, inputs, logits, spec)

    return compute_outputs


def _compute_class_outputs(
    signature: str, inputs: dict[str, np.ndarray], logits: np.ndarray, spec: Spec
) -> dict[str, np.ndarray]:
    """Returns the outputs of `classify`, `top_k` or `serving_default`."""
    class_names = np.array(spec.class_names, object)
    probabilities = special.expit(logits) if spec.multilabel else special.softmax(logits, axis=-1)
    best = np.argsort(-probabilities, axis=-1, kind="stable")
    if spec.threshold is not None:
        predicted = choose_classes(logits, spec.threshold)
        best = np.stack([predicted, 1 - predicted], axis=-1)
    sorted_probabilities = np.take_along_axis(probabilities, best, axis=-1)
    if signature == "classify":
        return {"classes": class_names[best], "scores": sorted_probabilities}
    if signature == "top_k":
        k = np.clip(inputs["k"], 1, len(class_names))
        is_within_k = np.arange(k.max()) < k[:, None]
        best, sorted_probabilities = best[:, : k.max()], sorted_probabilities[:, : k.max()]
        return {
            "labels": np.where(is_within_k, class_names[best], ""),
            "class_ids": np.where(is_within_k, best, -1),
            name_probabilities(spec): np.where(is_within_k, sorted_probabilities, np.float32(0)),
        }
    if spec.multilabel:
        selected = select_labels(logits, spec.thresholds)
        best = np.argsort(-np.where(selected, probabilities, -1), axis=-1, kind="stable")
        is_label = np.take_along_axis(selected, best, axis=-1)
        labels = np.where(is_label, class_names[best], "")
        named = {"is_selected": selected, "labels": labels}
        return {"logits": logits, "scores": probabilities, **named}
    return {
        "logits": logits,
        "probabilities": probabilities,
        "class_id": best[:, 0],
        "label": class_names[best[:, 0]],
    }


def _recover_raw_inputs(
    signature: str, inputs: dict[str, np.ndarray], spec: Spec
) -> dict[str, np.ndarray]:
    """Converts the inputs of a signature to those of `serving_default`."""
    if signature == "image_bytes":
        images = [
            decode_image(tf.constant(file), spec.shape, spec.resize)
            for file in inputs["image_bytes"]
        ]
        return {"image": np.stack([image.numpy() for image in images])}
    if signature not in ("classify", "regress"):
        return inputs
    examples = [tf.train.Example.FromString(serialized) for serialized in inputs["inputs"]]
    shape, dtype = ((), "float64") if spec.columns else (spec.shape, spec.dtype)
    return {
        name: np.stack([_read_feature(x.features.feature[name], shape, dtype) for x in examples])
        for name in make_raw_input_specs(spec)
    }


def _read_feature(feature: tf.train.Feature, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Returns the string of a feature, or its numbers in the given shape and dtype."""
    if feature.bytes_list.value:
        return np.array(feature.bytes_list.value[0], object)
    numbers = feature.int64_list.value or feature.float_list.value
    return np.array(numbers).reshape(shape).astype(dtype)
