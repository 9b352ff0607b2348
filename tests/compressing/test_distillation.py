"""The loss of a distillation, and what cannot be distilled."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy import special

import zoo
from zoo.compressing.distillation import check_distillation, make_distiller
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.errors import UserError
from zoo.exporting.loading import load_model
from zoo.recipe import Recipe


def make_data(names=("a", "b", "c")):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 20) if names else random.normal(size=(20, 1)).astype("float32")
    split = Arrays(random.normal(size=(20, 4)).astype("float32"), y)
    return Data("numbers", "", Spec("features", (4,), names), split, split, split, {})


def make_models(num_classes=3):
    keras.utils.set_random_seed(0)
    options = {"input_shape": (4,), "num_classes": num_classes}
    return zoo.get("mlp", hidden=(8,), **options), zoo.get("perceptron", **options)


def test_the_loss_of_the_paper(tmp_path):
    """A tenth of the cross-entropy, nine tenths of T^2 times the divergence at temperature T."""
    teacher, student = make_models()
    data = make_data()
    distiller = make_distiller(teacher, student, data, Recipe())
    x, y = {"features": data.train.x}, {"logits": data.train.y}
    logits = np.asarray(student(x)["logits"], "float64")
    soft, hard = (special.log_softmax(z / 3, axis=-1) for z in (logits, teacher(x)["logits"]))
    divergence = (np.exp(hard) * (hard - soft)).sum(axis=-1).mean()
    entropy = -special.log_softmax(logits, axis=-1)[range(20), data.train.y].mean()
    expected = 0.1 * entropy + 0.9 * 9 * divergence
    loss = distiller.compute_loss(x, y, distiller(x))
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert distiller.trainable_variables == student.trainable_variables
    distiller.save(tmp_path / "student.keras")
    saved = load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(saved(x)["logits"], logits, atol=1e-6)


def test_what_cannot_be_distilled():
    large, small = make_models()
    data = make_data()
    check_distillation(large, small, data, Recipe())
    with pytest.raises(UserError, match="mlp has 76 parameters here, and perceptron 24"):
        check_distillation(small, large, data, Recipe())
    with pytest.raises(UserError, match="has numbers to predict, and only classes"):
        check_distillation(large, small, make_data(None), Recipe())
    with pytest.raises(UserError, match="weights of classes or rows"):
        check_distillation(large, small, data, Recipe(class_weights="balanced"))
    weighted = dataclasses.replace(data.train, weights=np.ones(20, "float32"))
    with pytest.raises(UserError, match="are not used in a distillation"):
        check_distillation(large, small, dataclasses.replace(data, train=weighted), Recipe())
