"""Real examples as requests: the inputs of each signature, and TF Serving's warm-up records."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.serving.signatures import raw_inputs

WARMUP = "assets.extra/tf_serving_warmup_requests"

_BATCH_SIZES = (1, 32)


def inputs(spec: Spec, samples: np.ndarray, signature: str) -> dict[str, np.ndarray]:
    """What a signature takes for raw samples, by name.

    Args:
        spec: What the data is.
        samples: Raw inputs, (n, *shape); for texts strings of shape (n,) or (n, 2).
        signature: Its name.
    """
    names = list(raw_inputs(spec))
    columns = [samples] if len(names) == 1 else [samples[:, i] for i in range(len(names))]
    raw = dict(zip(names, columns, strict=True))
    if signature in ("classify", "regress"):
        rows = range(len(samples))
        examples = [example({name: raw[name][row] for name in names}) for row in rows]
        return {"inputs": np.array([e.SerializeToString() for e in examples], object)}
    if signature == "image_bytes":
        encoded = [tf.io.encode_png(image).numpy() for image in samples]
        return {"image_bytes": np.array(encoded, object)}
    if signature == "top_k":
        return raw | {"k": np.full(len(samples), min(3, spec.num_classes), "int32")}
    return raw


def example(features: dict[str, Any]) -> tf.train.Example:
    """A tf.Example of strings, bytes, numbers or arrays of numbers, by name."""
    made = tf.train.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        if isinstance(value, str | bytes):
            feature.bytes_list.value.append(value.encode() if isinstance(value, str) else value)
            continue
        numbers = np.ravel(value)
        kind = "int64_list" if np.issubdtype(numbers.dtype, np.integer) else "float_list"
        getattr(feature, kind).value.extend(numbers.tolist())
    return made


def write_warmup(version: Path, spec: Spec, samples: np.ndarray, signatures: list[str]) -> None:
    """Writes a record for each signature and batch size, which TF Serving replays when it loads."""
    file = version / WARMUP
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature in signatures:
            for size in _BATCH_SIZES:
                # a small dataset is repeated up to the batch size
                batch = samples[np.arange(size) % len(samples)]
                given = inputs(spec, batch, signature)
                writer.write(_log(version.parent.name, signature, given).SerializeToString())


def read_warmup(version: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The signature and the inputs of each warm-up record.

    Raises:
        UserError: if the file holds something else.
    """
    file = version / WARMUP
    try:
        return [_read(one) for one in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]
    except (tf.errors.DataLossError, DecodeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: these are no warm-up records: {reason}") from error


def _read(serialized: bytes) -> tuple[str, dict[str, np.ndarray]]:
    log = prediction_log_pb2.PredictionLog.FromString(serialized)
    kind = log.WhichOneof("log_type")
    if kind is None:
        raise TypeError("a record without a request")
    request = getattr(log, kind).request
    if kind == "predict_log":
        given = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    else:
        examples = request.input.example_list.examples
        given = {"inputs": np.array([e.SerializeToString() for e in examples], object)}
    return request.model_spec.signature_name, given


def _log(
    model: str, signature: str, given: dict[str, np.ndarray]
) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    kind = {"classify": "classify_log", "regress": "regress_log"}.get(signature, "predict_log")
    request = getattr(log, kind).request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if kind == "predict_log":
        for name, value in given.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    else:
        for serialized in given["inputs"]:
            request.input.example_list.examples.add().ParseFromString(serialized)
    return log
