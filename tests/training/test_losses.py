import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.losses import FocalLoss

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (50, 4)).astype("float32")
CLASSES = RANDOM.integers(0, 4, 50)


@pytest.mark.parametrize("gamma", [0, 0.5, 2, 5])
def test_the_focal_loss_is_that_of_the_paper(gamma):
    p = special.softmax(LOGITS.astype("float64"), axis=1)[np.arange(50), CLASSES]
    expected = -((1 - p) ** gamma) * np.log(p)
    given = FocalLoss(gamma, reduction=None)(np.eye(4)[CLASSES], LOGITS)
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-7)
    assert float(FocalLoss(gamma)(np.eye(4)[CLASSES], LOGITS)) == pytest.approx(expected.mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_is_the_one_of_keras_where_that_is_exact(smoothing):
    theirs = keras.losses.CategoricalFocalCrossentropy(
        1.0, 2.0, from_logits=True, label_smoothing=smoothing
    )
    own, target = FocalLoss(2.0, smoothing), np.eye(4)[CLASSES]
    assert float(own(target, LOGITS)) == pytest.approx(float(theirs(target, LOGITS)), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_of_several_labels_each_has_a_focal_loss(smoothing):
    labels, p = RANDOM.integers(0, 2, (50, 4)), special.expit(LOGITS.astype("float64"))
    present = labels * (1 - smoothing) + smoothing / 2
    losses = -present * (1 - p) ** 2 * np.log(p) - (1 - present) * p**2 * np.log(1 - p)
    given = FocalLoss(2.0, smoothing, multilabel=True, reduction=None)(labels, LOGITS)
    np.testing.assert_allclose(given, losses.mean(axis=1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 2.0, 3.5])
def test_of_several_labels_it_is_the_one_of_keras(gamma):
    """There alpha weighs present labels and 1 - alpha absent ones, the same for all labels."""
    labels = RANDOM.integers(0, 2, (50, 4)).astype("float32")
    theirs = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    own = FocalLoss(gamma, multilabel=True)
    assert float(own(labels, LOGITS)) == pytest.approx(float(theirs(labels, LOGITS)), rel=1e-5)
    theirs = keras.losses.BinaryFocalCrossentropy(True, 0.75, gamma, from_logits=True)
    own = FocalLoss(gamma, multilabel=True, positive_weights=[3] * 4)
    assert float(own(labels, LOGITS)) / 4 == pytest.approx(float(theirs(labels, LOGITS)), rel=1e-5)


def test_hard_and_easy_examples_have_finite_gradients():
    logits = tf.constant([[0.0, 30.0], [30.0, 0.0]])
    for gamma in (0.3, 2.0):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = FocalLoss(gamma, reduction=None)(tf.constant([[1.0, 0.0]] * 2), logits)
        gradient = tape.gradient(loss, logits).numpy()
        assert float(loss[0]) == pytest.approx(30, rel=1e-5)
        np.testing.assert_allclose(gradient[0], [-1, 1], rtol=1e-4)
        np.testing.assert_allclose(gradient[1], 0, atol=1e-3)


def test_it_is_saved_and_read():
    loss = FocalLoss(1.5, 0.1, multilabel=True, positive_weights=[1.0, 2.0])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert (again.gamma, again.label_smoothing, again.multilabel) == (1.5, 0.1, True)
    assert again.positive_weights == [1, 2]


def test_its_exponent_needs_it():
    with pytest.raises(UserError, match="focal_gamma=2: it is only used with loss='focal'"):
        Recipe(focal_gamma=2)
