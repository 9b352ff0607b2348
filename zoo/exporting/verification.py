"""Verifies an export by calling it as TF Serving does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.distribution.keras_patches import flatten_layers
from zoo.errors import one_line
from zoo.exporting.explain_signature import EXPLAIN
from zoo.exporting.loading import load_model, load_spec
from zoo.exporting.reference import make_reference
from zoo.exporting.warmup import read_warmup

TOLERANCE = 1e-5  # relative to the largest number of an output, if that is above 1
# of models with layers that compute in 16 bits, whose graph may round between other operations:
# eight units in the last place
_MIXED_TOLERANCES = {"float16": 8 * 2.0**-11, "bfloat16": 8 * 2.0**-8}

# the inputs and outputs that TF Serving's APIs require
_METHOD_CONTRACTS = {
    "tensorflow/serving/classify": ({"inputs"}, {"classes", "scores"}),
    "tensorflow/serving/regress": ({"inputs"}, {"outputs"}),
}


class VerificationError(RuntimeError):
    """An export does not do what it should."""


def verify_export(version: Path, model: keras.Model | None = None) -> list[str]:
    """Loads a version as TF Serving does, and compares the outputs with those of the Keras model.

    Each signature is called with each of its warm-up records.

    Args:
        version: Folder of the version.
        model: The Keras model; None for the one inside the export.

    Returns:
        A line with the result for each signature.

    Raises:
        VerificationError: if a signature breaks its contract, has no warm-up record, or differs
            from the Keras model by more than `find_tolerance` allows.
    """
    spec = load_spec(version)
    if spec.needs_tensorflow_text:
        import tensorflow_text  # noqa: F401, registers operations of the graph
    records = read_warmup(version)
    model = load_model(version) if model is None else model
    reference, tolerance = make_reference(model, spec), find_tolerance(model)
    lines = []
    for name, calls in _call_signatures(version, records).items():
        if not calls:
            raise VerificationError(f"{name}: it has no warm-up record")
        triples = [(inputs, outputs, reference(name, inputs)) for inputs, outputs in calls]
        lines.append(compare_outputs(name, triples, tolerance, spec.thresholds))
    return lines


def find_tolerance(model: keras.Model) -> float:
    """Returns the largest difference, relative to the largest number, that rounding explains.

    It is 1e-5, and more for models with layers that compute in float16 or bfloat16.
    """
    dtypes = {layer.compute_dtype for layer in flatten_layers(model)}
    return max(TOLERANCE, *(_MIXED_TOLERANCES.get(dtype, 0.0) for dtype in dtypes))


def _call_signatures(
    version: Path, records: list[tuple[str, dict[str, np.ndarray]]]
) -> dict[str, list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]]:
    """Calls the graph with the tag `serve` with each warm-up record.

    Returns:
        The inputs and outputs of each call, by signature.
    """
    config = tf.compat.v1.ConfigProto()
    # one pass over the graph instead of two: 0.64 s of CPU for the first call of a cnn, not 0.95 s
    config.graph_options.rewrite_options.meta_optimizer_iterations = 1
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        try:
            loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version))
        except Exception as error:  # of many types, for damaged files
            raise VerificationError(
                f"TensorFlow cannot load it: {one_line(error)}: copy or export it again"
            ) from error
        signatures = {k: v for k, v in loaded.signature_def.items() if not k.startswith("__")}
        for name, signature in signatures.items():
            _check_contract(name, signature)
        recorded: dict[str, list[dict]] = {name: [] for name in signatures}
        for name, inputs in records:
            if name not in signatures:
                raise VerificationError(
                    f"{name}: there is a warm-up record for it, but no such signature"
                )
            recorded[name].append(inputs)
        calls: dict[str, list[tuple[dict, dict]]] = {name: [] for name in signatures}
        # the first records of all signatures at once, then the second ones: TensorFlow optimizes
        # the graph anew for each set of outputs, which takes half of the time of an export
        for number in range(max(map(len, recorded.values()), default=0)):
            given = {name: each[number] for name, each in recorded.items() if number < len(each)}
            for name, outputs in _run_signatures(session, signatures, given).items():
                calls[name].append((given[name], outputs))
    return calls


def _run_signatures(
    session: tf.compat.v1.Session, signatures: dict[str, Any], inputs: dict[str, dict]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the outputs of the signatures that there are inputs for, both by their names."""
    feed = {
        signatures[name].inputs[key].name: value
        for name, values in inputs.items()
        for key, value in values.items()
    }
    fetches = {
        name: {key: tensor.name for key, tensor in signatures[name].outputs.items()}
        for name in inputs
    }
    return session.run(fetches, feed)


def compare_outputs(
    name: str,
    calls: list[tuple[dict, dict, dict]],
    tolerance: float = TOLERANCE,
    thresholds: Sequence[float] = (),
) -> str:
    """Compares the outputs of a signature with the expected ones.

    Args:
        name: Name of the signature.
        calls: Inputs, outputs and expected outputs of each call, arrays by name.
        tolerance: The largest difference, from `find_tolerance`.
        thresholds: The thresholds of the spec.

    Returns:
        A line with the largest difference.

    Raises:
        VerificationError: if outputs are missing, have another shape or type, or differ by more
            than the tolerance.
    """
    largest = 0.0
    for _, outputs, expected in calls:
        if set(outputs) != set(expected):
            raise VerificationError(
                f"{name}: it returns {sorted(outputs)}, expected {sorted(expected)}"
            )
        is_tied = _find_ties(expected, tolerance, thresholds)
        for key, values in expected.items():
            title = f"{name}: {key}"
            difference = _measure_difference(title, outputs[key], values, is_tied, tolerance)
            largest = max(largest, difference)
    sizes = " and ".join(str(len(next(iter(inputs.values())))) for inputs, _, _ in calls)
    return f"{name}: batches of {sizes} match the Keras model to {largest:.0e}"


def _measure_difference(
    title: str,
    output: np.ndarray,
    expected: np.ndarray,
    is_tied: np.ndarray,
    tolerance: float,
) -> float:
    """Returns the largest difference of floats; 0 for labels and ids, which have to be equal.

    Raises:
        VerificationError: if the shape, the type or the values are not as expected.
    """
    if output.shape != expected.shape:
        raise VerificationError(f"{title} has shape {output.shape}, expected {expected.shape}")
    if expected.dtype.kind == "f":
        if output.dtype != np.float32:
            raise VerificationError(f"{title} is {output.dtype}, expected float32")
        differences = np.abs(output - expected)
        if title.startswith(f"{EXPLAIN}:"):  # of the class that is predicted
            differences = differences[~is_tied]
        difference = float(differences.max(initial=0) / max(1.0, np.abs(expected).max()))
        if not difference <= tolerance:
            raise VerificationError(f"{title} differs from the Keras model's by {difference:.1e}")
        return difference
    items = [x.decode() if isinstance(x, bytes) else x for x in output.ravel().tolist()]
    differs = np.array(items, object).reshape(output.shape) != expected
    if differs.reshape(len(differs), -1).any(-1)[~is_tied].any():
        raise VerificationError(f"{title} differs from the Keras model's")
    return 0.0


def _find_ties(
    expected: dict[str, np.ndarray], tolerance: float, thresholds: Sequence[float]
) -> np.ndarray:
    """Returns the examples for which rounding may change the labels, bool (batch,).

    Of two classes that are equally probable, either may come first; and a class whose probability
    is its threshold may be predicted or not.
    """
    scores = expected.get("scores", expected.get("probabilities"))
    if scores is None:  # of outputs without labels
        return np.zeros(len(next(iter(expected.values()))), bool)
    margin = max(1e-4, 2 * tolerance)
    distances = [np.diff(np.sort(scores, axis=-1), axis=-1)]
    if "is_selected" in expected:
        distances.append(np.abs(scores - np.array(thresholds or 0.5)))
    elif len(thresholds) == 2:  # in whatever order the two classes are
        distances += [np.abs(scores - threshold) for threshold in thresholds]
    return np.concatenate(distances, axis=-1).min(axis=-1) < margin


def _check_contract(name: str, signature: Any) -> None:
    """Checks the names, the dtypes and the batch size of a signature's inputs and outputs."""
    names = set(signature.inputs), set(signature.outputs)
    if _METHOD_CONTRACTS.get(signature.method_name, names) != names:
        raise VerificationError(
            f"{name}: {signature.method_name} cannot have the inputs {sorted(names[0])} and the "
            f"outputs {sorted(names[1])}"
        )
    supported = (tf.float32, tf.float64, tf.int32, tf.int64, tf.string, tf.uint8, tf.bool)
    for key, tensor in (*signature.inputs.items(), *signature.outputs.items()):
        dtype = tf.dtypes.as_dtype(tensor.dtype)
        if dtype not in supported:
            raise VerificationError(
                f"{name}: {key} is {dtype.name}, expected one of "
                f"{', '.join(x.name for x in supported)}"
            )
        if tensor.tensor_shape.unknown_rank or tensor.tensor_shape.dim[0].size != -1:
            raise VerificationError(f"{name}: {key} has a fixed batch size")
