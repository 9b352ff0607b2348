"""What each signature has to answer, by the Keras model and NumPy alone."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from scipy import special

from zoo import saved_model
from zoo.data import images, text
from zoo.data.spec import Spec
from zoo.serving.signatures import HEAD, raw_inputs

Answer = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def reference(model: keras.Model, spec: Spec) -> Answer:
    """From a signature's name and inputs, as `zoo.serving.examples` makes them, to its outputs."""
    predict = saved_model.predictor(model)
    head = next((layer for layer in model.layers if layer.name == HEAD), None)
    body = head and saved_model.predictor(
        keras.Model(model.input, {"features": head.input}), "features"
    )
    encode = text.encoder(spec.tokenizer)[0] if spec.tokenizer else None
    names = list(raw_inputs(spec))

    def answer(signature: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        raw = _raw(signature, given, spec)
        inputs = {name: tf.constant(raw[name]) for name in names}
        if encode:
            inputs = {"tokens": encode(*inputs.values())}
        if signature == "features":
            return {"features": np.asarray(body(inputs), "float32")}
        logits = predict(inputs).numpy()
        if spec.class_names is None:
            name = "outputs" if signature == "regress" else "prediction"
            return {name: logits[:, 0]}
        return _classes(signature, given, logits, np.array(spec.class_names, object))

    return answer


def _classes(signature, given, logits: np.ndarray, class_names: np.ndarray) -> dict:
    probabilities = special.softmax(logits, axis=-1)
    best = np.argsort(-probabilities, axis=-1, kind="stable")
    sorted_probabilities = np.take_along_axis(probabilities, best, axis=-1)
    if signature == "classify":
        return {"classes": class_names[best], "scores": sorted_probabilities}
    if signature == "top_k":
        k = np.clip(given["k"], 1, len(class_names))
        asked = np.arange(k.max()) < k[:, None]
        best, sorted_probabilities = best[:, : k.max()], sorted_probabilities[:, : k.max()]
        return {
            "labels": np.where(asked, class_names[best], ""),
            "class_ids": np.where(asked, best, -1),
            "probabilities": np.where(asked, sorted_probabilities, np.float32(0)),
        }
    return {
        "logits": logits,
        "probabilities": probabilities,
        "class_id": best[:, 0],
        "label": class_names[best[:, 0]],
    }


def _raw(signature: str, given: dict[str, np.ndarray], spec: Spec) -> dict[str, np.ndarray]:
    """The raw inputs that a signature's own inputs stand for."""
    if signature == "image_bytes":
        pixels = [images.decode_image(tf.constant(one), spec.shape) for one in given["image_bytes"]]
        return {"image": np.stack([one.numpy() for one in pixels])}
    if signature not in ("classify", "regress"):
        return given
    examples = [tf.train.Example.FromString(one) for one in given["inputs"]]
    return {
        name: np.stack([_value(one.features.feature[name], spec) for one in examples])
        for name in raw_inputs(spec)
    }


def _value(feature: tf.train.Feature, spec: Spec) -> np.ndarray:
    if feature.bytes_list.value:
        return np.array(feature.bytes_list.value[0], object)
    numbers = feature.int64_list.value or feature.float_list.value
    return np.array(numbers).reshape(spec.shape).astype(spec.dtype)
