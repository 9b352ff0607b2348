import csv
import json

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset, trained

import zoo
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec
from zoo.data.splits import Stream
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import (
    adapt_normalization,
    build_model,
    check_recipe,
    compile_model,
    compute_class_weights,
)


def test_normalisation_is_adapted_on_the_training_split_alone(tmp_path):
    data = dataset()
    model, _ = trained(tmp_path, Recipe(epochs=1), data)
    layer = model.get_layer("normalization")
    np.testing.assert_allclose(np.ravel(layer.mean), data.train.x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(np.ravel(layer.variance), data.train.x.var(0), rtol=1e-3)


def test_streams_are_adapted_alike():
    arrays = blobs()

    def read(seed, rows):
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((arrays.x, arrays.y))

    model = build_model(find_entry("mlp"), dataset().spec, {})
    adapt_normalization(model, dataset(train=Stream(len(arrays), read)))
    given = np.ravel(model.get_layer("normalization").mean)
    np.testing.assert_allclose(given, arrays.x.mean(0), rtol=1e-4)


def test_what_fit_leaves(tmp_path):
    model, result = trained(tmp_path, Recipe(epochs=4, batch_size=32))
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(rows[0])
    assert float(rows[-1]["val_accuracy"]) > 0.8
    assert result["examples_per_second"] > 0 and result["seconds"] > 0
    assert list((tmp_path / "tensorboard").rglob("events.*"))
    x = {"features": blobs(seed=2).x}
    last, best = (keras.saving.load_model(tmp_path / n) for n in ("last.keras", "best.keras"))
    np.testing.assert_array_equal(last(x)["logits"], model(x)["logits"])
    assert best.count_params() == model.count_params()


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(tmp_path):
    recipe = Recipe(epochs=2, batch_size=32)
    weights = [
        np.concatenate(
            [
                w.ravel()
                for w in trained(tmp_path / str(i), recipe, seed=s, dropout=0.3)[0].get_weights()
            ]
        )
        for i, s in enumerate((5, 5, 6))
    ]
    assert (weights[0] == weights[1]).all() and (weights[0] != weights[2]).any()


def test_early_stopping_gives_back_the_best_weights(tmp_path):
    recipe = Recipe(
        epochs=60, batch_size=32, learning_rate=0.01, early_stopping=2, schedule="constant"
    )
    data = dataset(train=blobs(spread=1.5), validation=blobs(seed=1, spread=1.5))
    model, result = trained(tmp_path, recipe, data)
    scores = result["history"]["val_accuracy"]
    assert np.argmax(scores) == len(scores) - 3 and len(scores) < 60
    best = keras.saving.load_model(tmp_path / "best.keras")
    for weight, other in zip(model.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    logits = np.asarray(model({"features": data.validation.x})["logits"])
    assert (logits.argmax(1) == data.validation.y).mean() == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize("early_stopping", [0, 1])
def test_the_moving_average_is_what_is_kept(tmp_path, early_stopping):
    recipe = Recipe(
        epochs=6,
        batch_size=32,
        schedule="constant",
        learning_rate=0.05,
        ema=0.98,
        early_stopping=early_stopping,
    )
    data = dataset()
    model, result = trained(tmp_path, recipe, data)
    raw, _ = trained(
        tmp_path / "raw", Recipe(epochs=6, batch_size=32, schedule="constant", learning_rate=0.05)
    )
    assert any((a != b).any() for a, b in zip(model.get_weights(), raw.get_weights(), strict=True))
    logits = np.asarray(model({"features": data.validation.x})["logits"])
    accuracy = (logits.argmax(1) == data.validation.y).mean()
    scores = result["history"]["val_accuracy"]
    assert accuracy == pytest.approx(max(scores) if early_stopping else scores[-1], abs=1e-6)


def test_class_weights_move_the_balance(tmp_path):
    train = blobs(spread=2.0, kinds=(0, 0, 0, 0, 0, 0, 0, 0, 1, 2))
    plain, weighted = (
        trained(
            tmp_path / (w or "none"),
            Recipe(epochs=5, batch_size=32, class_weights=w),
            dataset(train=train),
        )[0]
        for w in ("", "balanced")
    )
    x = {"features": blobs(spread=2.0).x}
    share = [(np.asarray(m(x)["logits"]).argmax(1) == 0).mean() for m in (plain, weighted)]
    assert share[1] < share[0] - 0.1
    weights = compute_class_weights(dataset(train=train), Recipe(class_weights="balanced"))
    counts = np.bincount(train.y)
    np.testing.assert_allclose(weights * counts, counts.sum() / 3, rtol=1e-5)


def test_penalties_are_added_to_the_loss():
    data = dataset()
    model = build_model(find_entry("perceptron"), data.spec, {})
    compile_model(model, data, Recipe(l1=0.1, l2=0.01))
    kernel = np.asarray(model.get_layer("head").kernel)
    expected = 0.1 * np.abs(kernel).sum() + 0.01 * (kernel**2).sum()
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_in_the_loss(tmp_path):
    _, result = trained(tmp_path, Recipe(epochs=8, batch_size=32, label_smoothing=0.3))
    smooth = 0.3 / 3  # the entropy of the target is the least the loss can be
    floor = -(2 * smooth * np.log(smooth) + (1 - 2 * smooth) * np.log(1 - 2 * smooth))
    assert floor < result["history"]["loss"][-1] < floor + 0.3
    assert result["history"]["accuracy"][-1] > 0.8


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_gives_float32_logits(tmp_path, precision):
    keras.config.set_dtype_policy(precision)
    try:
        model, result = trained(
            tmp_path, Recipe(epochs=8, batch_size=32, precision=precision), hidden=(64, 64)
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("dense_1").compute_dtype == precision.removeprefix("mixed_")
    assert model.output["logits"].dtype == "float32"
    assert result["history"]["val_accuracy"][-1] > 0.8


def test_several_steps_at_once_and_xla_change_nothing(tmp_path):
    plain = trained(tmp_path / "a", Recipe(epochs=2, batch_size=32))[1]
    quick = trained(tmp_path / "b", Recipe(epochs=2, batch_size=32, steps_per_execution=4))[1]
    compiled = trained(
        tmp_path / "c", Recipe(epochs=2, batch_size=32, steps_per_execution=4, jit_compile=True)
    )[1]
    for name in ("loss", "val_loss"):
        assert quick["history"][name] == pytest.approx(plain["history"][name], rel=1e-5)
        assert compiled["history"][name] == pytest.approx(plain["history"][name], rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    recipe = Recipe(
        epochs=5, batch_size=32, optimizer="sgd", learning_rate=1e30, schedule="constant"
    )
    with pytest.raises(UserError, match=r"step 2 of epoch 1.* Try --learning_rate=1e\+29"):
        trained(tmp_path, recipe)


def test_regression_learns_in_the_units_of_the_target(price_csv, tmp_path):
    data = load_data(DataConfig(f"csv:{price_csv}", label="price"))
    model, result = trained(tmp_path, Recipe(epochs=30, batch_size=32), data)
    history = result["history"]
    assert {"mae", "mse", "r2", "val_r2"} <= set(history)
    assert history["loss"][0] < 5, "the loss has no units"
    assert history["val_r2"][-1] > 0.98
    prices = np.asarray(model({"features": data.test.x})["logits"])
    assert np.abs(prices - data.test.y).mean() < 20


@pytest.mark.parametrize(
    ("recipe", "spec", "message"),
    [
        (Recipe(augment="flip"), Spec("features", (4,), ("a", "b")), "not images"),
        (
            Recipe(class_weights="1,2,3"),
            Spec("features", (4,), ("a", "b")),
            "3 numbers for 2 classes",
        ),
        (Recipe(label_smoothing=0.1), Spec("features", (4,), None), "there are no classes"),
        (Recipe(class_weights="balanced"), Spec("features", (4,), None), "there are no classes"),
        (
            Recipe(class_weights="balanced", augment="mixup=0.2"),
            Spec("image", (9, 9, 1), ("a", "b")),
            "cannot be combined with class_weights",
        ),
    ],
)
def test_recipes_that_do_not_suit_the_data(recipe, spec, message):
    with pytest.raises(UserError, match=message):
        check_recipe(recipe, spec)


def test_metrics_are_json(tmp_path):
    _, result = trained(tmp_path, Recipe(epochs=1))
    json.dumps(result)


def test_in_code_as_in_keras():
    """The models are plain Keras models: the tutorial's own lines train them."""
    data = dataset()
    model = zoo.get("mlp", input_shape=(4,), num_classes=3)
    model.get_layer("normalization").adapt(data.train.x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"logits": loss}, metrics={"logits": ["accuracy"]})
    history = model.fit({"features": data.train.x}, {"logits": data.train.y}, epochs=5, verbose=0)
    assert history.history["accuracy"][-1] > 0.8
