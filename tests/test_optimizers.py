"""The step of Adam against NumPy written from the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import optimizers
from zoo.recipe import Recipe


def read_adam(weights, gradients, rate, steps):
    """Kingma and Ba 2014, section 2, with the epsilon of its end."""
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for t in range(1, steps + 1):
        m = 0.9 * m + 0.1 * gradients
        v = 0.999 * v + 0.001 * gradients**2
        weights = weights - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return weights


@pytest.mark.parametrize("compiled", [False, True])
def test_adam_sums_up_the_gradients_of_repeated_tokens(compiled):
    """Token 1 is there twice and 3 once; the others move by what Adam remembers, so not at all."""
    table = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    weight = keras.Variable(table)
    made = optimizers.optimizer(Recipe(schedule="constant", learning_rate=0.1), 5)
    made.build([weight])
    slices = np.array([[1, 2, -3], [4, 5, 6], [0.5, -2, 1]], "float32")

    @tf.function(jit_compile=compiled)
    def step():
        made.apply([tf.IndexedSlices(slices, [1, 3, 1], [4, 3])], [weight])

    for _ in range(5):
        step()
    gradients = np.zeros((4, 3))
    gradients[1], gradients[3] = slices[0] + slices[2], slices[1]
    np.testing.assert_allclose(weight, read_adam(table, gradients, 0.1, 5), rtol=1e-5, atol=1e-6)
