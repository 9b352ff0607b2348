"""Predictions of a model on a split."""

import dataclasses
import time
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from zoo.console import show_progress
from zoo.data.batching import batch_order, make_evaluation_batches
from zoo.data.spec import Spec
from zoo.data.splits import Split, take_inputs
from zoo.layers.outputs import expose_features

_LATENCY_CALLS = 110  # of which the first ten warm up


def make_predictor(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Returns a function from {input name: x} to the logits, traced once for all batch sizes.

    Keras' own `predict` would split a batch among the replicas of a strategy.
    """
    return _trace_once(model, lambda inputs: model(inputs, training=False)["logits"])


def make_feature_predictor(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Returns what `make_predictor` does, but to all outputs of `expose_features` by name."""
    return _trace_once(model, expose_features(model))


def _trace_once(
    model: keras.Model, function: Callable
) -> tf.types.experimental.PolymorphicFunction:
    (name, tensor), *_ = model.input.items()
    signature = {name: tf.TensorSpec(tensor.shape, tensor.dtype)}
    return tf.function(function, input_signature=[signature], autograph=False)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The predictions of a model on a split of n examples.

    Attributes:
        target: True classes, int64 (n,); of a multi-label task 0 or 1 for each class, float32
            (n, classes); for a regression the true numbers, float32 (n, 1).
        output: Logits, float32 (n, classes); for a regression the numbers, float32 (n, 1).
        rows: Row number of each example in the split, int64 (n,).
        selected: Labels that a server predicts, whose thresholds are not known, bool (n, classes).
        classes: Classes that a server predicts, int64 (n,), whose threshold is not known.
    """

    target: np.ndarray
    output: np.ndarray
    rows: np.ndarray
    selected: np.ndarray | None = None
    classes: np.ndarray | None = None

    def select_examples(self, chosen: np.ndarray) -> "Predictions":
        """Returns the predictions of the examples set in a boolean mask of shape (n,)."""
        return Predictions(
            self.target[chosen],
            self.output[chosen],
            self.rows[chosen],
            None if self.selected is None else self.selected[chosen],
            None if self.classes is None else self.classes[chosen],
        )


def predict_split(model: keras.Model, split: Split, spec: Spec, batch_size: int) -> Predictions:
    """Predicts all examples of a split, in which texts are token ids."""
    predict = make_predictor(model)
    batches = make_evaluation_batches(split, spec, batch_size=batch_size)
    pairs = ((predict(inputs).numpy(), target["logits"].numpy()) for inputs, target in batches)
    return concat_predictions(pairs, len(batches), batch_order(split, spec))


def measure_latency(model: keras.Model, split: Split) -> float:
    """Returns the median time, in milliseconds, of a prediction of the split's first example.

    The model has been called before it is measured.
    """
    ((name, tensor),) = model.input.items()
    inputs = {name: tf.constant(take_inputs(split, 1), tensor.dtype)}
    predict = make_predictor(model)
    seconds = []
    for _ in range(_LATENCY_CALLS):
        started = time.perf_counter()
        predict(inputs).numpy()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[_LATENCY_CALLS // 10 :]) * 1e3)


def concat_predictions(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], batches: int, rows: np.ndarray
) -> Predictions:
    """Concatenates the predictions of batches, and shows a progress bar if that takes long.

    Args:
        pairs: Output and target of each batch.
        batches: Number of batches.
        rows: Row number of each example in the split.
    """
    outputs, targets = zip(*show_progress(pairs, batches, "testing"), strict=True)
    return Predictions(np.concatenate(targets), np.concatenate(outputs), rows)
