"""Steps of the optimizers that square gradients, against NumPy written from their sources."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.recipe import Recipe
from zoo.training.optimizers import make_optimizer


def read_adam(weights, gradients, rate, steps):
    """Kingma and Ba 2014, section 2, with the epsilon of its end."""
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for t in range(1, steps + 1):
        m = 0.9 * m + 0.1 * gradients
        v = 0.999 * v + 0.001 * gradients**2
        weights = weights - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return weights


def read_rmsprop(weights, gradients, rate, steps):
    """Tieleman and Hinton 2012, lecture 6.5 of 'Neural networks for machine learning'."""
    v = np.zeros_like(weights)
    for _ in range(steps):
        v = 0.9 * v + 0.1 * gradients**2
        weights = weights - rate * gradients / np.sqrt(v + 1e-7)
    return weights


def read_adagrad(weights, gradients, rate, steps):
    """Duchi, Hazan and Singer 2011, section 1.1, with Keras' first sum of 0.1."""
    v = np.full_like(weights, 0.1)
    for _ in range(steps):
        v = v + gradients**2
        weights = weights - rate * gradients / np.sqrt(v + 1e-7)
    return weights


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("name", "read"), [("adam", read_adam), ("rmsprop", read_rmsprop), ("adagrad", read_adagrad)]
)
def test_the_gradients_of_repeated_tokens_are_summed_up(name, read, compiled):
    """Token 1 is there twice and 3 once; the others are never there and stay."""
    table = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    weight = keras.Variable(table)
    recipe = Recipe(optimizer=name, schedule="constant", learning_rate=0.1)
    made = make_optimizer(recipe, 5)
    made.build([weight])
    slices = tf.constant([[1, 2, -3], [4, 5, 6], [0.5, -2, 1]])

    @tf.function(jit_compile=compiled)
    def step():
        made.apply(
            [tf.IndexedSlices(slices, tf.constant([1, 3, 1]), tf.constant([4, 3]))], [weight]
        )

    for _ in range(5):
        step()
    gradients = np.zeros((4, 3))
    gradients[1], gradients[3] = slices[0] + slices[2], slices[1]
    np.testing.assert_allclose(weight, read(table, gradients, 0.1, 5), rtol=1e-5, atol=1e-6)


def test_the_summed_gradient_is_clipped():
    """To the norm of the rows of a repeated token together, as in micro-batches of any size."""
    table = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    weight = keras.Variable(table)
    recipe = Recipe(optimizer="sgd", schedule="constant", learning_rate=1.0, clip_norm=2.0)
    made = make_optimizer(recipe, 1)
    made.build([weight])
    slices = tf.constant([[3.0, 0, 0], [0, 4, 0], [3, 0, 0], [-0.5, 0, 0]])
    made.apply([tf.IndexedSlices(slices, tf.constant([1, 3, 1, 1]), tf.constant([4, 3]))], [weight])
    gradient = np.zeros((4, 3))
    gradient[1, 0], gradient[3, 1] = 5.5, 4
    expected = table - gradient * 2 / np.linalg.norm(gradient)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
