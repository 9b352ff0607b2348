"""Epochs of the head alone, and then of all layers."""

import csv
import dataclasses
import re
import shutil

import numpy as np
import pytest

import zoo
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training import callbacks, phases
from zoo.training.building import prepare_model
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.loop import fit_model
from zoo.training.phases import make_main_phase, open_head_phase
from zoo.training.recipe_adaptation import (
    adapt_recipe_to_weights,
    make_head_recipe,
    make_main_recipe,
    scale_to_peak,
)

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=1e-2, head_epochs=3)


@pytest.fixture(scope="module")
def data():
    """Dark and bright noise."""
    random = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = random.integers(0, 120, (24, 16, 16, 3)) + 100 * labels[:, None, None, None]
    split = Arrays(images.astype("uint8"), labels)
    spec = Spec("image", (16, 16, 3), ("dark", "bright"))
    return Data("noise", "", spec, split, split, split, {})


def prepare(image_preset, data, recipe=RECIPE, **hparams):
    hparams = {"preset": image_preset, "resolution": (16, 16), **hparams}
    return prepare_model(find_entry("image_backbone"), hparams, recipe, data, seed=0)[0]


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_rates_of_the_phases():
    recipe = Recipe(learning_rate=0.1, head_learning_rate=1.0, head_epochs=3, lora_rank=4)
    head, main = make_head_recipe(recipe), make_main_recipe(recipe)
    assert (head.epochs, head.learning_rate, head.head_learning_rate) == (3, 0.1, 1.0)
    assert (head.trainable, head.lora_rank) == ("head", 0)
    np.testing.assert_allclose([main.learning_rate, main.head_learning_rate], [0.01, 0.1])
    assert (main.epochs, main.lora_rank) == (10, 4)
    assert make_main_recipe(Recipe()) == Recipe()
    rate = scale_to_peak(recipe, 0.02)
    again = dataclasses.replace(recipe, learning_rate=rate)
    assert make_main_recipe(again).learning_rate == pytest.approx(0.02)
    assert scale_to_peak(Recipe(), 0.02) == 0.02


def test_epochs_of_the_head_suit_the_weights():
    named = {"head_epochs"}
    assert adapt_recipe_to_weights(RECIPE, True, set()) == (RECIPE, [])
    random, notes = adapt_recipe_to_weights(RECIPE, False, set())
    assert random.head_epochs is None and "random weights" in notes[0]
    assert adapt_recipe_to_weights(RECIPE, False, named) == (RECIPE, [])
    head = dataclasses.replace(RECIPE, trainable="head")
    assert adapt_recipe_to_weights(head, True, set())[0].epochs == 3
    assert adapt_recipe_to_weights(head, True, {"epochs"})[0].epochs == 2
    with pytest.raises(UserError, match="omit --head_epochs"):
        adapt_recipe_to_weights(head, True, named)


def test_the_head_is_trained_on_features_that_are_computed_once(
    image_preset, data, tmp_path, monkeypatch
):
    """Then it is as good as on the images: it has the same logits."""
    computed = []
    original = phases._compute_features
    monkeypatch.setattr(
        phases, "_compute_features", lambda *a: computed.append(a[-1]) or original(*a)
    )
    model = prepare(image_preset, data)
    with open_head_phase(model, data, RECIPE, ()) as phase:
        assert [x.name for x in phase.model.trainable_variables] == ["kernel", "bias"]
        features = {"features": phase.data.train.x}
        images = {"image": data.train.x}
        np.testing.assert_allclose(
            phase.model(features)["logits"], model(images)["logits"], atol=1e-5
        )
        assert phase.model.get_layer("head") is model.get_layer("head")
    assert computed == ["train", "validation"]
    assert make_main_phase(model, data, RECIPE, 3).model is model
    only_head = dataclasses.replace(RECIPE, head_epochs=None, trainable="head")
    assert make_main_phase(model, data, only_head, 0).model is not model
    augmented = dataclasses.replace(only_head, augment="flip")
    assert make_main_phase(model, data, augmented, 0).model is model


def test_layers_are_frozen_in_the_first_phase_and_trained_in_the_second(
    image_preset, data, tmp_path
):
    """With augmentation, so that the whole model is trained; batch normalisation stays as it is."""
    recipe = dataclasses.replace(RECIPE, augment="flip", trainable="stack0*", schedule="constant")
    model = prepare(image_preset, data, recipe, dropout=0.0)
    names = [x.path for x in model.trainable_variables]
    with open_head_phase(model, data, recipe, ()) as phase:
        assert phase.model is model and len(model.trainable_variables) == 2
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-2)
    assert [x.path for x in model.trainable_variables] == names
    assert len(names) == 2 + 2 * 3  # head; kernel, gamma and beta of two convolutions
    before = {x.path: x.numpy() for x in model.variables}
    fit_model(model, data, recipe, seed=0, run_dir=tmp_path)
    changed = {x.path for x in model.variables if (x.numpy() != before[x.path]).any()}
    assert changed == set(names)


def test_history_progress_and_the_best_model_cover_both_phases(
    image_preset, data, tmp_path, capsys
):
    model = prepare(image_preset, data)
    trained = fit_model(model, data, RECIPE, seed=0, run_dir=tmp_path)
    rows = read_history(tmp_path)
    assert [row["epoch"] for row in rows] == list("01234")
    assert [row["phase"] for row in rows] == list("11122")
    rates = [float(row["learning_rate"]) for row in rows]
    assert max(rates[3:]) <= 1e-3 < max(rates[:3]) <= 1e-2
    titles = re.findall(r"^(.*?)  acc", capsys.readouterr().out, re.MULTILINE)
    assert titles == [
        "head epoch 1/3",
        "head epoch 2/3",
        "head epoch 3/3",
        "epoch 1/2",
        "epoch 2/2",
    ]
    assert trained["history"]["phase"] == [1, 1, 1, 2, 2]
    best, last = zoo.load(tmp_path / "best.keras"), zoo.load(tmp_path / "last.keras")
    assert best.input["image"].shape == last.input["image"].shape == (None, 16, 16, 3)


@pytest.mark.parametrize("augment", ["", "flip"])
def test_a_training_resumes_exactly_in_both_phases(image_preset, data, tmp_path, augment):
    recipe = dataclasses.replace(
        RECIPE, augment=augment, early_stopping=2, schedule="plateau", plateau_patience=1
    )
    whole, states = prepare(image_preset, data, recipe), tmp_path / "states"
    original = callbacks.save_checkpoint

    def save(run_dir, arrays, state):
        """Copies each checkpoint, as if the run had been killed after it."""
        path = original(run_dir, arrays, state)
        shutil.copytree(run_dir, states / f"{state.epoch}-{state.step}", dirs_exist_ok=True)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "save_checkpoint", save)
        options = {"seed": 0, "checkpoint_every": "1"}
        fit_model(whole, data, recipe, run_dir=tmp_path / "whole", **options)
    for moment in ("1-2",) if augment else ("1-2", "3-2"):
        run_dir = states / moment
        start, _ = find_latest_checkpoint(run_dir)
        assert (start.state.head_epochs is None) == (moment == "1-2")
        model = prepare(image_preset, data, recipe)
        fit_model(model, data, recipe, run_dir=run_dir, start=start, **options)
        for expected, found in zip(whole.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(expected, found)
        assert read_history(run_dir) == read_history(tmp_path / "whole")
