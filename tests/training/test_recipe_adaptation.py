"""Epochs are raised where the data are few and the weights random, and the user has set none."""

import pytest

from zoo.recipe import Recipe
from zoo.training.recipe_adaptation import adapt_recipe


def adapt(examples, *, weights=None, named=(), **settings):
    return adapt_recipe(Recipe(**settings), examples, weights, {}, set(named))


@pytest.mark.parametrize(
    ("examples", "settings", "batch_size", "epochs"),
    [
        (450, {"epochs": 3}, 8, 9),  # 57 steps an epoch
        (1_800, {"epochs": 3, "batch_size": 64}, 32, 9),  # 57
        (1_800, {"epochs": 30, "batch_size": 64}, 32, 30),
        (54_000, {"epochs": 3}, 128, 3),  # 422
        (27, {"epochs": 10}, 8, 125),  # 4
    ],
)
def test_a_training_has_five_hundred_steps(raised_epochs, examples, settings, batch_size, epochs):
    recipe, notes = adapt(examples, **settings)
    assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)
    assert len(notes) == (epochs > settings["epochs"])


def test_the_change_is_told_and_can_be_undone(raised_epochs):
    _, notes = adapt(450, epochs=3)
    assert notes == [
        "9 epochs instead of 3, since 450 examples give only 57 steps an epoch: --epochs=3 for "
        "fewer"
    ]
    assert adapt(450, epochs=3, named=["epochs"])[0].epochs == 3
    recipe, notes = adapt(450, epochs=10, batch_size=450, named=["batch_size"])
    assert recipe.epochs == 500 and "only 1 step an epoch" in notes[0]


def test_trained_weights_are_fine_tuned_as_they_were(raised_epochs):
    assert adapt(450, epochs=4, weights="run") == (Recipe(epochs=4, batch_size=8), [])
