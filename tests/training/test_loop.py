import csv
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset, trained

import zoo
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Stream
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import (
    build_model,
    compile_model,
    prepare_model,
)
from zoo.training.callbacks import BestModelCallback
from zoo.training.checkpoints import Checkpoint, TrainingState, find_latest_checkpoint
from zoo.training.class_balance import compute_class_weights
from zoo.training.layer_statistics import adapt_normalization
from zoo.training.loop import describe_raised_epochs, fit_model
from zoo.training.recipe_checks import check_recipe, order_class_weights


def test_normalisation_is_adapted_on_the_training_split_alone(tmp_path):
    data = dataset()
    model, _ = trained(tmp_path, Recipe(epochs=1), data)
    layer = model.get_layer("normalization")
    np.testing.assert_allclose(np.ravel(layer.mean), data.train.x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(np.ravel(layer.variance), data.train.x.var(0), rtol=1e-3)


def test_columns_are_normalised_in_float32_whatever_their_size():
    """Years, salaries above the largest float16, and a constant column."""
    x = blobs().x
    x = np.stack([x[:, 0] + 2000, x[:, 1] * 1e6, np.full(300, 7.5), x[:, 3] * 1e-6], 1)
    data = dataset(train=Arrays(x.astype("float32"), blobs().y))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_model(find_entry("mlp"), data.spec, {})
    finally:
        keras.config.set_dtype_policy("float32")
    adapt_normalization(model, data)
    layer = model.get_layer("normalization")
    z = np.asarray(layer(data.train.x))
    assert z.dtype == "float32" and model.get_layer("dense_1").compute_dtype == "float16"
    spread = [1, 1, 0, 1]
    np.testing.assert_allclose(z.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(z.std(0), spread, rtol=1e-3)
    # another value of the constant column is not 1e7 standard deviations away
    assert np.abs(np.asarray(layer(data.train.x + np.array([0, 0, 1, 0])))).max() < 10


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


class Saved:
    """Stands for a model; the file that it saves holds the number of saves."""

    count = 0
    stop_training = False

    def save(self, path):
        self.count += 1
        path.write_text(str(self.count))


@pytest.mark.parametrize(
    ("score", "mode", "epochs", "best", "stopped"),
    [
        # (score, validation loss) of each epoch; the score ties, the loss decides
        (
            "val_accuracy",
            "max",
            [(0.9, 0.5), (1.0, 0.4), (1.0, 0.2), (1.0, 0.3), (0.9, 0.1)],
            2,
            True,
        ),
        ("val_accuracy", "max", [(1.0, 0.5), (1.0, 0.5), (1.0, 0.4)], 2, False),
        ("val_mae", "min", [(2.0, 0.5), (2.0, 0.4), (3.0, 0.1)], 1, False),
        ("val_loss", "min", [(0.5, 0.5), (0.4, 0.4), (0.6, 0.6), (0.4, 0.4)], 1, True),
    ],
)
def test_of_equal_scores_the_lower_loss_is_best(score, mode, epochs, best, stopped, tmp_path):
    state = TrainingState()
    callback = BestModelCallback(state, score, mode, 2, tmp_path, chief=True)
    callback.set_model(Saved())
    best_epochs = []
    for epoch, (value, loss) in enumerate(epochs):
        saves = callback.model.count
        callback.on_epoch_end(epoch, {"val_loss": loss, score: value})
        best_epochs += [epoch] * (callback.model.count > saves)
    assert best_epochs[-1] == best and callback.model.stop_training is stopped
    assert (state.best, state.best_loss) == epochs[best]


def test_a_run_that_was_stopped_early_goes_on_with_more_epochs(tmp_path):
    """The weights stay what they are, so that no epoch is better than the first."""
    settings = {"optimizer": "sgd", "learning_rate": 1e-30, "schedule": "constant"}
    settings |= {"early_stopping": 2, "monitor": "loss", "batch_size": 64}
    data = dataset()

    def go_on(epochs):
        recipe = Recipe(epochs=epochs, **settings)
        model, _ = prepare_model(find_entry("perceptron"), {}, recipe, data, 0)
        start, _ = find_latest_checkpoint(tmp_path)
        return len(
            fit_model(model, data, recipe, seed=0, run_dir=tmp_path, start=start)["history"]["loss"]
        )

    assert go_on(10) == 3
    assert go_on(10) == 3, "the same number of epochs repeats nothing"
    assert go_on(20) == 5
    start, _ = find_latest_checkpoint(tmp_path)
    assert start.state.planned == [[10, 0], [20, 2]]


def test_raised_epochs_leave_the_learning_rates_of_the_history(tmp_path):
    """The validation of the last epoch is repeated, when the schedule is another one."""
    recipe = Recipe(epochs=1, batch_size=150, schedule="cosine")
    trained(tmp_path, recipe)
    (start, _), recipe = find_latest_checkpoint(tmp_path), Recipe(**{**vars(recipe), "epochs": 2})
    model, _ = prepare_model(find_entry("mlp"), {"dropout": 0.0}, recipe, dataset(), 0)
    again = fit_model(model, dataset(), recipe, seed=0, run_dir=tmp_path, start=start)
    assert again["history"]["learning_rate"] == [0, 0]


def test_raised_epochs_are_told_with_the_learning_rates():
    data = dataset()
    recipe = Recipe(epochs=4, batch_size=100, schedule="cosine", learning_rate=0.1)
    state = TrainingState(epoch=1, step=3, planned=[[2, 0]])
    (line,) = describe_raised_epochs(Checkpoint(Path(), state), recipe, data)
    # after 6 of 12 steps: half of the peak, where the schedule over 6 steps had ended
    assert line.startswith("epochs raised from 2 to 4 in epoch 2: the cosine schedule now spans 4")
    assert "goes on at 0.05 after 0;" in line
    state = TrainingState(epoch=3, step=3, planned=[[2, 0], [4, 1]])
    recipe = dataclasses.replace(recipe, epochs=8)
    lines = describe_raised_epochs(Checkpoint(Path(), state), recipe, data)
    assert [line[:40] for line in lines] == [
        "epochs raised from 2 to 4 in epoch 2: th",
        "epochs raised from 4 to 8 in epoch 4: th",
    ]
    recipe = dataclasses.replace(recipe, schedule="constant")
    lines = describe_raised_epochs(Checkpoint(Path(), state), recipe, data)
    assert lines[-1].endswith("the learning rate stays 0.1")
    recipe = dataclasses.replace(recipe, epochs=2)
    state = TrainingState(epoch=1, step=3, planned=[[2, 0]])
    assert describe_raised_epochs(Checkpoint(Path(), state), recipe, data) == []


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


def test_class_weights_by_name_or_in_the_order_of_the_classes():
    names = ("no", "yes", "a=b")
    assert order_class_weights("1,2.5,3", names) == (1, 2.5, 3)
    assert order_class_weights("yes=2.5, a=b=4", names) == (1, 2.5, 4)
    with pytest.raises(
        UserError, match=r"no class 'yess'\. Did you mean 'yes'\? Known: no, yes, a=b"
    ):
        order_class_weights("no=1,yess=3", names)
    for text in ("1,yes=3", "yes=1,yes=2", "yes=0", "yes=", "yes"):
        with pytest.raises(UserError, match=f"class_weights='{text}': expected 'balanced'"):
            Recipe(class_weights=text)
    by_name = compute_class_weights(dataset(), Recipe(class_weights="c=5"))
    np.testing.assert_array_equal(by_name, [1, 1, 5])


def test_balanced_weights_with_an_absent_class():
    weights = compute_class_weights(
        dataset(train=blobs(kinds=(0, 0, 0, 2))), Recipe(class_weights="balanced")
    )
    counts = np.bincount(blobs(kinds=(0, 0, 0, 2)).y, minlength=3)
    np.testing.assert_allclose(weights, [150 / counts[0], 1, 150 / counts[2]], rtol=1e-6)


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
        (Recipe(monitor="r2"), Spec("features", (4,), ("a", "b")), "one of loss, accuracy"),
        (Recipe(monitor="accuracy"), Spec("features", (4,), None), "one of loss, mae, mse, r2"),
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
