"""R2 and micro F1 during the training, against scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score, r2_score

from zoo.training.metrics import ExampleMetric, MicroF1, R2Score


def in_batches(metric, target, output, size=64, weights=None):
    for start in range(0, len(target), size):
        rows = slice(start, start + size)
        metric.update_state(target[rows], output[rows], None if weights is None else weights[rows])
    return float(metric.result())


@pytest.mark.parametrize(("centre", "offset"), [(0, 0), (1e6, 1e6), (1e6, 0), (-2e5, 3e5)])
def test_r2_of_targets_far_from_zero(centre, offset):
    random = np.random.default_rng(0)
    target = (centre + random.normal(size=(300, 1)) * 4).astype("float32")
    for noise in (0.5, 8.0):
        output = (target + random.normal(size=(300, 1)) * noise).astype("float32")
        expected = r2_score(target.astype("float64"), output.astype("float64"))
        assert in_batches(R2Score(offset), target, output) == pytest.approx(expected, abs=1e-4)


def test_r2_of_constant_targets_is_that_of_scikit_learn():
    target = np.full((50, 1), 7.3, "float32")
    for error in (0, 1):
        expected = r2_score(np.zeros(50), np.full(50, error))
        assert in_batches(R2Score(3.0), target, target + error) == expected == 1 - error


def test_r2_counts_each_example_of_micro_batches_once():
    random = np.random.default_rng(0)
    target, output = random.normal(size=(2, 40, 1)).astype("float32")
    weights = np.where(np.arange(40) % 4, 2.5, 0).astype("float32")  # 0 for padding
    expected = r2_score(target[weights > 0], output[weights > 0])
    metric = ExampleMetric(R2Score(0.1))
    assert in_batches(metric, target, output, 16, weights) == pytest.approx(expected, abs=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.metric.offset == 0.1
    metric.reset_state()
    assert float(metric.result()) == 0


def test_micro_f1_of_logits():
    random = np.random.default_rng(0)
    target = (random.random((50, 3)) < 0.3).astype("float32")
    logits = random.normal(size=(50, 3)).astype("float32")
    expected = f1_score(target, logits > 0, average="micro")
    assert in_batches(MicroF1(), target, logits, 16) == pytest.approx(expected)
    # blended labels count from a half on, and padding does not
    blended = np.where(target > 0, 0.6, 0.4).astype("float32")
    weights = np.where(np.arange(50) % 4, 2.5, 0).astype("float32")
    expected = f1_score(target[weights > 0], logits[weights > 0] > 0, average="micro")
    metric = ExampleMetric(MicroF1())
    assert in_batches(metric, blended, logits, 16, weights) == pytest.approx(expected)
    assert in_batches(MicroF1(), 0 * target, 0 * logits) == 0
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert isinstance(again.metric, MicroF1)
