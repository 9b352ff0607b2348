import dataclasses
import math

import docstring_parser
import keras
import numpy as np
import pytest

from zoo.errors import UserError
from zoo.recipe import OPTIMIZERS, Recipe
from zoo.training.optimizers import make_optimizer
from zoo.training.schedules import make_schedule

MUON_FAILS = keras.__version__.startswith("3.12.")
NAMES = [name for name in OPTIMIZERS.__args__ if not (name == "muon" and MUON_FAILS)]


def rate(schedule, step):
    return float(schedule(step)) if callable(schedule) else schedule


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected a whole number, at least 1"),
        ({"learning_rate": -1.0}, "expected a number, above 0"),
        ({"learning_rate": float("nan")}, "expected a number, above 0"),
        ({"optimizer": "adamx"}, "expected one of sgd, momentum"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"class_weights": "1,x"}, "expected 'balanced', or positive numbers"),
        ({"class_weights": "1,-2"}, "expected 'balanced', or positive numbers"),
        ({"augment": "blur"}, "unknown augmentation 'blur'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError) as error:
        Recipe(**settings)
    assert message in str(error.value)


def test_every_setting_is_documented():
    documented = {p.arg_name for p in docstring_parser.parse(Recipe.__doc__).params}
    assert documented == {field.name for field in dataclasses.fields(Recipe)}


def test_constant_and_warmup():
    assert make_schedule(Recipe(schedule="constant", learning_rate=0.1), 100) == 0.1
    warm = make_schedule(Recipe(schedule="constant", learning_rate=0.1, warmup=0.2), 100)
    assert [round(rate(warm, s), 4) for s in (0, 10, 20, 99)] == [0, 0.05, 0.1, 0.1]


def test_cosine():
    plain = make_schedule(Recipe(schedule="cosine", learning_rate=1.0), 100)
    for step in (0, 25, 50, 100):
        assert rate(plain, step) == pytest.approx(
            (1 + math.cos(math.pi * step / 100)) / 2, abs=1e-6
        )
    warm = make_schedule(Recipe(schedule="cosine", learning_rate=1.0, warmup=0.1), 100)
    assert [rate(warm, s) for s in (0, 5, 10)] == pytest.approx([0, 0.5, 1])
    assert rate(warm, 55) == pytest.approx(0.5, abs=1e-6) and rate(warm, 100) == pytest.approx(0)


def test_one_cycle():
    cycle = make_schedule(Recipe(learning_rate=1.0), 100)
    assert rate(cycle, 0) == pytest.approx(1 / 25)
    assert rate(cycle, 15) == pytest.approx((1 / 25 + 1) / 2)
    assert rate(cycle, 30) == pytest.approx(1)
    assert rate(cycle, 65) == pytest.approx(0.5, abs=1e-3)
    assert rate(cycle, 100) == pytest.approx(1e-4, abs=1e-6)


def test_step():
    stairs = make_schedule(Recipe(schedule="step", learning_rate=1.0), 100)
    given = [rate(stairs, s) for s in (0, 50, 51, 75, 76, 99)]
    assert given == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    warm = make_schedule(Recipe(schedule="step", learning_rate=1.0, warmup=0.1), 100)
    assert [rate(warm, s) for s in (5, 10, 60)] == pytest.approx([0.5, 1, 0.1])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(warm))
    assert rate(again, 60) == pytest.approx(0.1)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_downhill(name):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    )
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    recipe = Recipe(optimizer=name, learning_rate=0.05, schedule="constant", ema=0.5, clip_norm=1.0)
    model.compile(make_optimizer(recipe, 10), "mse", run_eagerly=True)
    fitted = model.fit(x, x.sum(1, keepdims=True), batch_size=64, epochs=10, verbose=0)
    losses = fitted.history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_muon_is_refused_where_keras_fails(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.12.4")
    with pytest.raises(UserError, match=r"use Python 3\.11"):
        make_optimizer(Recipe(optimizer="muon"), 10)


def test_momentum_and_nesterov():
    given = {n: make_optimizer(Recipe(optimizer=n), 10) for n in ("sgd", "momentum", "nesterov")}
    assert [o.momentum for o in given.values()] == [0.0, 0.9, 0.9]
    assert [o.nesterov for o in given.values()] == [False, False, True]


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_spares_biases_and_normalisations(name):
    """With zero gradients only the decay moves a weight: by lr * decay * weight."""
    dense, norm = keras.layers.Dense(2), keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), dense, norm])
    for weight in model.trainable_weights:
        weight.assign(np.ones(weight.shape))
    recipe = Recipe(optimizer=name, weight_decay=0.5, learning_rate=0.1, schedule="constant")
    made = make_optimizer(recipe, 10)
    made.apply(
        [np.zeros(w.shape, "float32") for w in model.trainable_weights], model.trainable_weights
    )
    np.testing.assert_allclose(dense.kernel, 1 - 0.1 * 0.5, rtol=1e-5)
    for weight in (dense.bias, norm.gamma, norm.beta):
        np.testing.assert_allclose(weight, 1, rtol=1e-6)
