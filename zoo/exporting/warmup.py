"""Makes the inputs of signatures from examples, and writes and reads warm-up records."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from zoo.data.spec import Spec
from zoo.errors import UserError, one_line
from zoo.exporting.messages import PredictionLog
from zoo.exporting.raw_inputs import make_raw_input_specs
from zoo.exporting.tensors import decode_tensor, encode_tensor, make_example
from zoo.storage.filenames import WARMUP

_BATCH_SIZES = (1, 32)


def make_signature_inputs(spec: Spec, samples: np.ndarray, signature: str) -> dict[str, np.ndarray]:
    """Returns the inputs of a signature for raw samples, by name.

    Args:
        spec: Spec of the data.
        samples: Raw inputs of shape (n, *shape); for texts strings of shape (n,) or (n, 2), for
            tables records of shape (n,).
        signature: Name of the signature.
    """
    names = list(make_raw_input_specs(spec))
    if spec.columns:
        raw = {name: samples[name] for name in names}
    else:
        columns = [samples] if len(names) == 1 else [samples[:, i] for i in range(len(names))]
        raw = dict(zip(names, columns, strict=True))
    if signature in ("classify", "regress"):
        rows = range(len(samples))
        examples = [make_example({name: raw[name][row] for name in names}) for row in rows]
        return {"inputs": np.array([e.SerializeToString() for e in examples], object)}
    if signature == "image_bytes":
        encoded = [tf.io.encode_png(image).numpy() for image in samples]
        return {"image_bytes": np.array(encoded, object)}
    if signature == "top_k":
        assert spec.class_names is not None  # a regression has no such signature
        return raw | {"k": np.full(len(samples), min(3, len(spec.class_names)), "int32")}
    return raw


def write_warmup(version: Path, spec: Spec, samples: np.ndarray, signatures: list[str]) -> None:
    """Writes requests for each signature, with 1 and 32 examples.

    TF Serving replays them when it loads the version.
    """
    file = version / WARMUP
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature in signatures:
            for size in _BATCH_SIZES:
                # a small dataset is repeated up to the batch size
                batch = samples[np.arange(size) % len(samples)]
                inputs = make_signature_inputs(spec, batch, signature)
                writer.write(_make_log(version.parent.name, signature, inputs).SerializeToString())


def read_warmup(version: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns the signature and the inputs of each warm-up record.

    Raises:
        UserError: if the file does not hold warm-up records.
    """
    file = version / WARMUP
    try:
        return [_read_log(log) for log in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]
    except (tf.errors.DataLossError, DecodeError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{file}: the warm-up records cannot be read: {one_line(error)}: export the model again"
        ) from error


def read_warmup_batch(version: Path, count: int) -> dict[str, np.ndarray]:
    """Returns inputs of `serving_default` for a number of examples, from the warm-up records.

    Args:
        version: Folder of a version of an export.
        count: Number of examples; those of the largest record are repeated up to it.

    Raises:
        UserError: if there are none.
    """
    records = [inputs for name, inputs in read_warmup(version) if name == "serving_default"]
    if not records:
        raise UserError(f"{version} has no warm-up examples: export it with zoo train")
    largest = max(records, key=lambda inputs: len(next(iter(inputs.values()))))
    rows = np.arange(count) % len(next(iter(largest.values())))
    return {name: array[rows] for name, array in largest.items()}


def _read_log(serialized: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the signature and the inputs of a serialized PredictionLog."""
    log = PredictionLog.FromString(serialized)
    kind = log.WhichOneof("log_type")
    if kind is None:
        raise TypeError("a record without a request")
    request = getattr(log, kind).request
    if kind == "predict_log":
        inputs = {name: decode_tensor(tensor) for name, tensor in request.inputs.items()}
    else:
        examples = request.input.example_list.examples
        inputs = {"inputs": np.array([e.SerializeToString() for e in examples], object)}
    return request.model_spec.signature_name, inputs


def _make_log(model: str, signature: str, inputs: dict[str, np.ndarray]) -> PredictionLog:
    """Returns a request for a signature as a PredictionLog."""
    log = PredictionLog()
    kind = {"classify": "classify_log", "regress": "regress_log"}.get(signature, "predict_log")
    request = getattr(log, kind).request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if kind == "predict_log":
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(encode_tensor(value))
    else:
        for serialized in inputs["inputs"]:
            request.input.example_list.examples.add().ParseFromString(serialized)
    return log
