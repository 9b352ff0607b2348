"""What a model costs: bytes, gzipped bytes, and latencies."""

import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.data.batching import batch_order, make_evaluation_batches
from zoo.data.spec import Spec
from zoo.data.splits import Split, take_inputs
from zoo.evaluation.predictions import Predictions, concat_predictions, make_predictor
from zoo.exporting.runtimes import load_onnx, load_runtime
from zoo.storage.filenames import KERAS_MODEL

Predictor = Callable[[np.ndarray], np.ndarray]  # from a batch of inputs to its outputs

BATCH_SIZES = (1, 32)
_CALLS, _WARM_UPS, _FEWEST_CALLS = 100, 10, 20
_SECONDS = 2.0  # for the calls of one batch size, if these are enough for the fewest


def load_predictor(
    model: keras.Model | None, file: Path | None, kind: str, spec: Spec
) -> Predictor:
    """Returns a function that predicts a batch on the CPU.

    A LiteRT file takes one example per call, so that a batch is as many calls. It and ONNX Runtime
    use one thread, TensorFlow all cores.

    Args:
        model: The Keras model; or None.
        file: The converted file, if there is no model.
        kind: Name of the file's format.
        spec: Spec of the data.
    """
    if model is not None:
        predict = make_predictor(model)
        return lambda x: predict({spec.input_name: tf.constant(x, spec.dtype)}).numpy()
    assert file is not None
    if kind.startswith("onnx"):
        predict_batch = load_onnx(file, spec)
    else:
        run = load_runtime(kind, file, spec)

        def predict_batch(x):
            return np.concatenate([run(example) for example in x])

    return lambda x: predict_batch(_pad_texts(x, spec))


def _pad_texts(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Returns texts, which batches cut to the longest of them, in the length of converted files."""
    return np.pad(x, ((0, 0), (0, spec.shape[0] - x.shape[1]))) if spec.is_text else x


def predict_with(predict: Predictor, split: Split, spec: Spec, batch_size: int) -> Predictions:
    """Predicts all examples of a split, in which texts are token ids."""
    batches = make_evaluation_batches(split, spec, batch_size=batch_size)
    pairs = (
        (predict(inputs[spec.input_name].numpy()), target["logits"].numpy())
        for inputs, target in batches
    )
    return concat_predictions(pairs, len(batches), batch_order(split, spec))


def measure_size(model: keras.Model | None, file: Path | None) -> dict[str, int]:
    """Returns the "bytes" of the converted file or else of the .keras file, and "gzip_bytes"."""
    with tempfile.TemporaryDirectory() as folder:
        if model is not None:
            file = Path(folder, KERAS_MODEL)
            model.save(file)
        assert file is not None
        content = file.read_bytes()
    return {"bytes": len(content), "gzip_bytes": len(gzip.compress(content, mtime=0))}


def measure_latencies(predict: Predictor, split: Split) -> dict[str, float]:
    """Returns the milliseconds of a call with 1 and with 32 examples of a split.

    The keys are "latency_ms_1" and "latency_ms_32". Each is that of the fastest of 100 calls, or of
    as many as fit into two seconds, but of at least 20, after ten others: what else runs on the
    machine can only make a call slower.
    """
    inputs = take_inputs(split, max(BATCH_SIZES))
    latencies = {}
    for size in BATCH_SIZES:
        batch = np.resize(inputs, (size, *inputs.shape[1:]))
        seconds, deadline = [], time.perf_counter() + _SECONDS
        for call in range(_WARM_UPS + _CALLS):
            started = time.perf_counter()
            predict(batch)
            ended = time.perf_counter()
            seconds.append(ended - started)
            if call + 1 >= _WARM_UPS + _FEWEST_CALLS and ended > deadline:
                break
        latencies[f"latency_ms_{size}"] = round(min(seconds[_WARM_UPS:]) * 1e3, 4)
    return latencies
