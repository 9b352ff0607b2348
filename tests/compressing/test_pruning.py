"""Magnitude pruning: its schedule, its masks, and that it resumes bit for bit."""

import contextlib

import keras
import numpy as np
import pytest

import zoo
from zoo.compressing.pruning import (
    PruningCallback,
    find_prunable_weights,
    measure_sparsity,
    schedule_sparsity,
)
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.building import compile_model
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.class_balance import steps_per_epoch
from zoo.training.loop import fit_model
from zoo.training.signals import Interrupted

RECIPE = Recipe(
    epochs=4, batch_size=16, learning_rate=0.01, optimizer="momentum", steps_per_execution=2
)


def test_the_schedule_of_the_paper():
    """Equation 1 with an initial sparsity of 0, and three quarters of the steps as its span."""
    assert [schedule_sparsity(step, 100, 0.8) for step in (0, 75, 100)] == [0, 0.8, 0.8]
    assert schedule_sparsity(25, 100, 0.8) == pytest.approx(0.8 * (1 - (2 / 3) ** 3))
    assert schedule_sparsity(1, 1, 0.5) == 0.5


@pytest.fixture(scope="module")
def data(iris_csv):
    return load_data(DataConfig(f"csv:{iris_csv}", label="species"))


def prune(data, folder, start=None, stop_at=None):
    """Trains a small model with pruning; it is interrupted in a step if there is one."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == stop_at:
                raise Interrupted(15)

    keras.utils.set_random_seed(1)
    model = zoo.get("mlp", input_shape=(4,), num_classes=3, hidden=(16,), dropout=0.1)
    compile_model(model, data, RECIPE)
    steps = steps_per_epoch(data, RECIPE) * RECIPE.epochs
    callbacks = [PruningCallback(model, 0.75, steps), Stop()]
    folder.mkdir(exist_ok=True)
    fit_model(
        model,
        data,
        RECIPE,
        seed=0,
        run_dir=folder,
        start=start,
        checkpoint_every="3",
        callbacks=callbacks,
    )
    return model


def test_masks_are_kept_and_resumed(data, tmp_path):
    """Momentum moves a weight on after its gradient is gone: the masks hold it at zero."""
    whole = prune(data, tmp_path / "whole")
    weights = find_prunable_weights(whole)
    assert [weight.shape for weight in weights] == [(4, 16), (16, 3)]
    for weight in weights:
        assert np.mean(np.asarray(weight) == 0) == 0.75
    assert measure_sparsity(whole) == 0.75
    assert np.asarray(whole.get_layer("dense_1").bias).all()
    with contextlib.suppress(Interrupted):
        prune(data, tmp_path / "cut", stop_at=14)
    start, _ = find_latest_checkpoint(tmp_path / "cut")
    assert start.state.epoch == 1 and start.state.step > 0
    cut = prune(data, tmp_path / "cut", start)
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_pruned():
    gru = zoo.get("gru", vocabulary_size=30, width=6, embedding=5)
    names = [weight.path for weight in find_prunable_weights(gru)]
    assert names and not any(name.endswith("bias") for name in names)
    inputs = {"features": keras.Input((3,), name="features")}
    scaled = keras.layers.BatchNormalization()(inputs["features"])
    with pytest.raises(UserError, match="has no trained kernels or embeddings to prune"):
        find_prunable_weights(keras.Model(inputs, {"logits": scaled}, name="scale"))
