"""Trials of a study: trained, interrupted, shared among processes, stopped early."""

import dataclasses
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from support.blobs import dataset

from zoo import models  # noqa: F401, registers the built-in models
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.callbacks import CheckpointCallback
from zoo.training.signals import Interrupted
from zoo.tuning import trial_runs, trial_schedule
from zoo.tuning.objectives import choose_objectives
from zoo.tuning.search_space import parse_space
from zoo.tuning.trial_runs import Tuning, hide_test_split, train_trial
from zoo.tuning.trial_schedule import run_trials
from zoo.tuning.trials import COMPLETE, FAILED, PRUNED, Trial, load_trials, open_journal

PERCEPTRON = find_entry("perceptron")
ORIGINS = dict.fromkeys(("train", "validation", "test"), "blobs")
DATA = hide_test_split(dataset(splits=ORIGINS))
HARMLESS = {"learning_rate": 0.01}


class Killed(BaseException):
    """What SIGKILL does, as far as files go."""


def make_tuning(directory, **changes):
    recipe = Recipe(epochs=2, batch_size=32)
    directory.mkdir(exist_ok=True)
    settings = {
        "directory": directory,
        "entry": PERCEPTRON,
        "hparams": {},
        "recipe": recipe,
        "space": parse_space("learning_rate=1e-3:0.1:log", PERCEPTRON, {}, recipe),
        "objectives": choose_objectives([], recipe, DATA.spec),
        "trials": 1,
        "seed": 0,
        "sampler": "tpe",
        "workers": 1,
        "kfold": None,
        "format_flags": lambda hparams, recipe: (
            f"--learning_rate={recipe.learning_rate}\n--epochs={recipe.epochs}\n"
        ),
        "changeable_flags": (),
        "prepare": lambda fold: fold,
    }
    return Tuning(**settings | changes)


def untimed(trials):
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


def fail_after(calls, function, error):
    """The function, whose last call raises an error instead."""
    left = calls

    def failing(*args, **options):
        nonlocal left
        left -= 1
        if not left:
            raise error
        return function(*args, **options)

    return failing


def test_an_interrupted_study_ends_as_an_undisturbed_one(tmp_path, monkeypatch, capsys):
    """Killed in a draw, in an epoch and before a trial is saved; stopped in an epoch."""
    undisturbed = untimed(run_trials(make_tuning(tmp_path / "undisturbed"), DATA))
    assert [trial.state for trial in undisturbed] == [COMPLETE]
    tuning = make_tuning(tmp_path / "killed")

    def stop(callback, batch, logs=None):
        if batch == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return before(callback, batch, logs)

    before = CheckpointCallback.on_train_batch_end
    for owner, name, replacement in (
        (trial_schedule, "write_json", fail_after(1, trial_schedule.write_json, Killed)),
        (CheckpointCallback, "on_train_batch_end", stop),
        (trial_schedule, "save_trial", fail_after(1, trial_schedule.save_trial, Killed)),
    ):
        monkeypatch.setattr(owner, name, replacement)
        with pytest.raises((Killed, Interrupted)):
            list(run_trials(tuning, DATA))
        monkeypatch.undo()
    checkpoints = tuning.directory / "trial-0001/checkpoints"
    assert checkpoints.is_dir()
    list(run_trials(tuning, DATA))
    trials = load_trials(open_journal(tuning.directory, tuning.objectives))
    assert untimed(trials) == undisturbed
    for name in ("history.csv", "flags.txt"):
        files = [tmp_path / folder / "trial-0001" / name for folder in ("undisturbed", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes()
    # a run keeps everything but its weights
    assert not checkpoints.exists() and not list(tuning.directory.rglob("*.keras"))
    record = json.loads((tuning.directory / "trial-0001/metrics.json").read_text())
    assert record["validation"]["accuracy"] == trials[0].objectives[0]
    assert record["splits"]["test"]["examples"] == 0 and record["test"] == {}
    assert capsys.readouterr().out == ""


def test_what_trials_are_does_not_depend_on_which_process_is_faster(tmp_path, monkeypatch):
    """Two threads take the place of two processes; the study is interrupted in between."""

    def study(name, slow, count=8):
        def train(tuning, data, number, values, earlier):
            time.sleep(0.03 if number in slow else 0.001)
            known[number] = [trial.number for trial in earlier]
            rate = values["learning_rate"]
            return Trial(number, values, COMPLETE, (1 - abs(rate - 0.03),), loss=rate)

        known: dict[int, list[int]] = {}
        monkeypatch.setattr(trial_schedule, "train_trial", train)
        monkeypatch.setattr(trial_schedule, "_POLL_SECONDS", 0.001)
        tuning = make_tuning(tmp_path / name, trials=count, workers=2)
        threads = [
            threading.Thread(target=lambda: list(run_trials(tuning, DATA))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return load_trials(open_journal(tuning.directory, tuning.objectives)), known

    first, known = study("a", slow={1, 4})
    assert [trial.number for trial in first] == [*range(1, 9)]
    assert known[8] == [1, 2, 3, 4, 5] and known[3] == []
    study("b", slow={2, 3}, count=5)
    assert study("b", slow={6})[0] == first


def test_a_recipe_that_cannot_be_trained_is_told_at_once(tmp_path):
    tuning = make_tuning(tmp_path / "study", recipe=Recipe(epochs=1, learning_rate=0.05))
    broken = dataclasses.replace(tuning, entry=find_entry("cnn"))
    with pytest.raises(UserError, match="cnn reads image data, but the dataset has features"):
        list(run_trials(broken, DATA))
    assert load_trials(open_journal(tuning.directory, tuning.objectives)) == []


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_trial_that_cannot_be_trained_fails_alone(tmp_path):
    space = parse_space("learning_rate=1:1e30:log", PERCEPTRON, {}, Recipe())
    recipe = Recipe(epochs=1, batch_size=32, optimizer="sgd", steps_per_execution=10)
    tuning = make_tuning(tmp_path, recipe=recipe, space=space)
    x = np.full((300, 4), 1e30, "float32") * np.linspace(-1, 1, 300)[:, None].astype("float32")
    wild = dataclasses.replace(DATA, train=Arrays(x, DATA.train.y))
    trial = train_trial(tuning, wild, 1, {"learning_rate": 1e30}, [])
    assert trial.state == FAILED and "Try --learning_rate=1e+29" in trial.reason
    excluded = parse_space("lora_rank=1:8", PERCEPTRON, {}, Recipe())
    tuning = make_tuning(tmp_path, space=excluded, recipe=Recipe(trainable="head"))
    trial = train_trial(tuning, DATA, 1, {"lora_rank": 2}, [])
    assert trial.state == FAILED and "cannot be combined with lora_rank=2" in trial.reason


def test_a_weak_trial_is_stopped_early(tmp_path):
    """After half of its epochs, if five others were better by then."""
    strong = [Trial(n, HARMLESS, COMPLETE, (0.9,), {1: 1.1, 2: 1.1}) for n in range(1, 6)]
    tuning = make_tuning(tmp_path, recipe=Recipe(epochs=3, batch_size=64))
    trial = train_trial(tuning, DATA, 6, HARMLESS, strong)
    assert (trial.state, trial.epochs, trial.objectives) == (PRUNED, 2, ())
    assert sorted(trial.progress) == [1, 2]
    history = (tmp_path / "trial-0006/history.csv").read_text().splitlines()
    assert len(history) == 3 and not (tmp_path / "trial-0006/metrics.json").exists()


def test_folds(tmp_path, monkeypatch):
    """The mean of the folds counts, and a finished fold is not trained again."""
    recipe = Recipe(epochs=1, batch_size=64)
    objectives = choose_objectives(["accuracy", "parameters", "latency"], recipe, DATA.spec)
    tuning = make_tuning(tmp_path, kfold=2, recipe=recipe, objectives=objectives)
    prepare = trial_runs.prepare_model
    monkeypatch.setattr(trial_runs, "prepare_model", fail_after(2, prepare, Killed))
    with pytest.raises(Killed):
        train_trial(tuning, DATA, 1, HARMLESS, [])
    monkeypatch.setattr(trial_runs, "prepare_model", fail_after(2, prepare, Killed))
    trial = train_trial(tuning, DATA, 1, HARMLESS, [])
    files = [tmp_path / f"trial-0001/fold-{n}/metrics.json" for n in (1, 2)]
    records = [json.loads(file.read_text()) for file in files]
    scores = [record["validation"]["accuracy"] for record in records]
    assert [record["splits"]["train"]["examples"] for record in records] == [150, 150]
    assert trial.objectives[0] == pytest.approx(np.mean(scores))
    assert trial.progress == {1: scores[0], 2: trial.objectives[0]} and trial.epochs == 2
    assert trial.objectives[1] == records[0]["parameters"] and 0 < trial.objectives[2] < 1_000
    flags = (tmp_path / "trial-0001/fold-2/flags.txt").read_text()
    assert flags.startswith("# fold 2/2 of the training split, which these flags do not select\n")
