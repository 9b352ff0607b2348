"""Checkpoints are whole or not there, and a training goes on from them to the last bit."""

import contextlib
import shutil
import signal
import subprocess

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset

from benchmarks.soak import list_points
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training import callbacks, checkpoints, loop
from zoo.training.building import build_model, compile_model, prepare_model
from zoo.training.callbacks import training_variables
from zoo.training.checkpoints import (
    TrainingState,
    find_latest_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from zoo.training.loop import fit_model
from zoo.training.signals import Interrupted

# what has a state of its own, in as few trainings as show it
RECIPES = {
    "several steps at once in half precision": {
        "steps_per_execution": 4,
        "optimizer": "adamw",
        "precision": "mixed_float16",
    },
    "early stopping": {"early_stopping": 2, "learning_rate": 0.1, "schedule": "constant"},
    "early stopping of a moving average": {"ema": 0.9, "early_stopping": 1, "learning_rate": 0.1},
}


def arrays():
    return [np.arange(6.0).reshape(2, 3), np.int64(7)]


def stopped_after(monkeypatch, calls):
    """A training is stopped as if a signal came before that many batches were done or passed."""
    left = calls

    def signalled():
        nonlocal left
        left -= 1
        return None if left else signal.SIGTERM

    monkeypatch.setattr(loop, "defer_signals", lambda: contextlib.nullcontext(signalled))


def begin(run_dir, recipe, start=None, dropout=0.3):
    run_dir.mkdir(exist_ok=True)
    try:
        found = dataset(train=blobs(spread=1.5), validation=blobs(seed=1, spread=1.5))
        hparams = {"dropout": dropout, "hidden": (8,)}
        model, _ = prepare_model(find_entry("mlp"), hparams, recipe, found, seed=1)
        trained = fit_model(model, found, recipe, seed=1, run_dir=run_dir, start=start)
    finally:
        keras.config.set_dtype_policy("float32")
    return model, trained


def same(first, second):
    for a, b in zip(training_variables(first), training_variables(second), strict=True):
        np.testing.assert_array_equal(a, b, a.path)


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_a_training_goes_on_to_the_last_bit(settings, tmp_path, monkeypatch):
    recipe = Recipe(**{"epochs": 4, "batch_size": 32} | settings)
    expected, history = begin(tmp_path / "whole", recipe)
    # in an epoch, and later in an epoch or in validation
    for calls in (5, 24):
        start, _ = find_latest_checkpoint(tmp_path / "cut")
        assert not start or start.state.epoch == 0, "the first was not cut off"
        with monkeypatch.context() as patch, contextlib.suppress(Interrupted):
            stopped_after(patch, calls)
            begin(tmp_path / "cut", recipe, start)
    start, damaged = find_latest_checkpoint(tmp_path / "cut")
    assert start and not damaged and (start.state.epoch, start.state.step) >= (0, 5)
    model, resumed = begin(tmp_path / "cut", recipe, start)
    same(model, expected)
    assert resumed["history"] == history["history"]
    rows = [(tmp_path / run / "history.csv").read_bytes() for run in ("whole", "cut")]
    assert rows[0] == rows[1]


def test_more_epochs_go_on_from_the_last_one(tmp_path):
    recipe = {"batch_size": 32, "schedule": "constant", "ema": 0.9}
    begin(tmp_path / "run", Recipe(epochs=1, **recipe))
    start, _ = find_latest_checkpoint(tmp_path / "run")
    model, _ = begin(tmp_path / "run", Recipe(epochs=2, **recipe), start)
    expected, _ = begin(tmp_path / "whole", Recipe(epochs=2, **recipe))
    same(model, expected)


def test_the_last_two_are_kept(tmp_path):
    for step in range(4):
        path = save_checkpoint(
            tmp_path, arrays(), TrainingState(epoch=1, step=step, history=[{"x": 0.1}])
        )
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert path.name == "4" and names == ["3", "4"]
    found, damaged = find_latest_checkpoint(tmp_path)
    assert found.state == TrainingState(epoch=1, step=3, history=[{"x": 0.1}]) and not damaged
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=path, capture_output=True)
    assert done.returncode == 0, "coreutils can check it too"


@pytest.mark.parametrize("name", ["variables.npz", "state.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["flipped", "shorter", "gone"])
def test_a_damaged_one_is_passed_over(name, damage, tmp_path):
    save_checkpoint(tmp_path, arrays(), TrainingState(step=1))
    newest = save_checkpoint(tmp_path, arrays(), TrainingState(step=2))
    content = bytearray((newest / name).read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        (newest / name).unlink()
    else:
        (newest / name).write_bytes(
            content if damage == "flipped" else content[: len(content) // 2]
        )
    found, damaged = find_latest_checkpoint(tmp_path)
    assert found.state.step == 1 and damaged == [newest]


def test_none_is_found_where_none_is_whole(tmp_path):
    assert find_latest_checkpoint(tmp_path) == (None, [])
    shutil.rmtree(save_checkpoint(tmp_path, arrays(), TrainingState()))
    (tmp_path / "checkpoints" / ".draft").mkdir()
    assert find_latest_checkpoint(tmp_path) == (None, [])


def test_a_write_that_fails_leaves_those_before(tmp_path, monkeypatch):
    first = save_checkpoint(tmp_path, arrays(), TrainingState(step=1))
    monkeypatch.setattr(
        checkpoints.np, "savez", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match="full"):
        save_checkpoint(tmp_path, arrays(), TrainingState(step=2))
    assert find_latest_checkpoint(tmp_path)[0].path == first


def test_values_come_back_as_they_were(tmp_path):
    variables = [
        keras.Variable(a, dtype=a.dtype) for a in (np.float32([np.pi, 1e-30]), np.int32(3))
    ]
    save_checkpoint(tmp_path, [np.asarray(v) for v in variables], TrainingState())
    found, _ = find_latest_checkpoint(tmp_path)
    before = [np.asarray(v).copy() for v in variables]
    for variable in variables:
        variable.assign(variable * 0)
    restore_checkpoint(found, variables)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    with pytest.raises(UserError, match=r"of another model .* --overwrite"):
        restore_checkpoint(found, variables[:1])


def test_no_pickle_is_read(tmp_path):
    save_checkpoint(tmp_path, [np.array([object()], dtype=object)], TrainingState())
    found, _ = find_latest_checkpoint(tmp_path)
    with pytest.raises(UserError, match="of another model or another version of Keras"):
        restore_checkpoint(found, [keras.Variable([0.0])])


@pytest.mark.parametrize("every", ["3", "5m"])
def test_how_often(every, tmp_path, monkeypatch):
    """300 examples in 10 steps an epoch."""
    written = []
    monkeypatch.setattr(
        callbacks, "save_checkpoint", lambda _, __, s: written.append((s.epoch, s.step))
    )
    run_dir = tmp_path
    recipe = Recipe(epochs=2, batch_size=32)
    found = dataset()
    model = build_model(find_entry("perceptron"), found.spec, {})
    compile_model(model, found, recipe)
    fit_model(model, found, recipe, seed=0, run_dir=run_dir, checkpoint_every=every)
    often = [(0, 3), (0, 6), (0, 9), (1, 2), (1, 5), (1, 8), (1, 10)]
    assert written == (often if every == "3" else [(1, 10)])


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    """The loss of the step that spoils them is finite still."""
    recipe = Recipe(optimizer="sgd", learning_rate=3e38, schedule="constant")
    found = dataset()
    model = build_model(find_entry("perceptron"), found.spec, {})
    compile_model(model, found, recipe)
    message = (
        r"the weights are not finite after step 1 of epoch 1, at a learning rate of 3e\+38: .*"
    )
    with pytest.raises(UserError, match=message + "--learning_rate=3e\\+37 or --clip_norm=1"):
        fit_model(model, found, recipe, seed=0, run_dir=tmp_path, checkpoint_every="1")
    assert find_latest_checkpoint(tmp_path) == (None, [])


SOAK = (
    "--kills=3 -- --model=mlp --image_size=8,8 --holdout=0.2 --hparam=hidden=8 --batch_size=4"
    " --augment=shift=0.1 --ema=0.9 --epochs=2 --nojit_compile"
)


def test_killed_over_and_over(python, photo_folder, tmp_path):
    """SIGKILL in epochs, validation and checkpoints; see benchmarks/soak.py."""
    flags = [*SOAK.split(), f"--dataset=folder:{photo_folder}"]
    done = python("-m", "benchmarks.soak", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = int(flags[0].partition("=")[2])
    assert done.stdout.count("killed ") == kills
    ends = [line for line in done.stdout.splitlines() if "kills:" in line]
    assert sum(int(line.split()[0]) for line in ends) == kills


def test_the_points_of_kills_are_calls_that_are_there():
    points = [point for point in list_points().values() if point]
    assert points
    for owner, name, _ in points:
        assert callable(getattr(owner, name))
