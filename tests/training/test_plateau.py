"""The learning rate that falls when the validation score does not improve."""

import csv
import types

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset, trained

from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.checkpoints import TrainingState, find_latest_checkpoint
from zoo.training.loop import describe_raised_epochs, fit_model
from zoo.training.optimizers import make_optimizer
from zoo.training.plateau import PlateauCallback, PlateauSchedule


def run_epochs(waits, patience, epochs=20, stopped=()):
    """The learning rate of each epoch, where `waits` is what BestModelCallback counts."""
    state, schedule, rates = TrainingState(), PlateauSchedule(0.5), []
    recipe = Recipe(schedule="plateau", plateau_patience=patience, epochs=epochs)
    callback = PlateauCallback(state, schedule, recipe, chief=True)
    callback.set_model(types.SimpleNamespace(stop_training=False))
    for epoch, state.waited in enumerate(waits):
        callback.on_epoch_begin(epoch)
        rates.append(float(schedule(0)))
        callback.model.stop_training = epoch in stopped
        callback.on_epoch_end(epoch)
    return rates


def test_each_patience_divides_the_learning_rate_by_ten():
    rates = run_epochs([0, 1, 2, 0, 1, 2, 3, 4, 5], patience=2)
    assert rates == pytest.approx([0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.005, 0.005, 0.0005])
    rates = run_epochs(range(9), patience=1)
    assert rates[-3:] == pytest.approx([5e-5] * 3), "no more than four times"


def test_it_does_as_the_callback_of_keras():
    """With a new best score now and then, and as many epochs as wanted between."""
    scores = np.random.default_rng(0).uniform(size=30)
    own, waited = [], 0
    for epoch, score in enumerate(scores):
        waited = 0 if score < min([2, *scores[:epoch]]) else waited + 1
        own.append(waited)
    model = types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=np.float32(0.5)))
    theirs = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=7, min_delta=0)
    theirs.set_model(model)
    theirs.on_train_begin()
    rates = []
    for epoch, score in enumerate(scores):
        rates.append(float(model.optimizer.learning_rate))
        theirs.on_epoch_end(epoch, {"loss": score})
    assert rates[-1] < 0.5
    np.testing.assert_allclose(run_epochs(own, patience=7, epochs=30), rates, rtol=1e-6)


def test_what_it_tells(capsys):
    run_epochs([1, 2, 3, 4], patience=1, epochs=4, stopped=(1,))
    assert capsys.readouterr().out == (
        "no better validation score in 1 epoch: the learning rate is now 0.05\n"
        "no better validation score in 3 epochs: the learning rate is now 0.0005\n"
    ), "nothing where the training ends"


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(tmp_path):
    """Interrupted in the middle of an epoch, after the learning rate has fallen."""
    settings = {"epochs": 4, "batch_size": 100, "schedule": "plateau", "plateau_patience": 1}
    recipe = Recipe(**settings, warmup=0.1, learning_rate=0.3, monitor="loss")
    wrong = Arrays(blobs(seed=1).x, (blobs(seed=1).y + 1) % 3)  # what is learned makes it worse
    data, hparams = dataset(validation=wrong), {"hidden": (4,), "dropout": 0.0}
    whole, result = trained(tmp_path / "whole", recipe, data, hidden=(4,))
    rates = result["history"]["learning_rate"]
    assert len(set(np.round(rates[1:], 6))) > 1

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (3, 1):
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    model, _ = prepare_model(find_entry("mlp"), hparams, recipe, data, 0)
    fit, folder = model.fit, tmp_path / "cut"
    folder.mkdir()
    model.fit = lambda *args, callbacks, **rest: fit(*args, callbacks=[*callbacks, Stop()], **rest)
    with pytest.raises(KeyboardInterrupt):
        fit_model(model, data, recipe, seed=0, run_dir=folder, checkpoint_every="1")
    start, _ = find_latest_checkpoint(folder)
    assert (start.state.epoch, start.state.step) == (3, 2)
    model, _ = prepare_model(find_entry("mlp"), hparams, recipe, data, 0)
    fit_model(model, data, recipe, seed=0, run_dir=folder, start=start)
    for weight, other in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    with open(folder / "history.csv") as file:
        assert [float(row["learning_rate"]) for row in csv.DictReader(file)] == rates
    start.state.planned = [[2, 0]]
    (line,) = describe_raised_epochs(start, recipe, data)
    assert line.endswith("goes on where the plateau schedule had brought it")


def test_an_optimizer_with_it_is_saved_and_read():
    optimizer = make_optimizer(Recipe(schedule="plateau", warmup=0.5), 10)
    optimizer.plateau.reductions.assign(2)
    again = type(optimizer).from_config(optimizer.get_config())
    again.iterations.assign(5)
    assert float(again.learning_rate) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plateau_patience": 3}, "plateau_patience=3: it is only used with schedule='plateau'"),
        (
            {"schedule": "plateau", "early_stopping": 2},
            "pass --early_stopping=6 or --plateau_patience=1$",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(UserError, match=message):
        Recipe(**settings)
