"""What a recipe becomes for few examples: smaller batches, and more epochs of random weights."""

import pytest

from zoo.recipe import Recipe
from zoo.training.recipe_adaptation import adapt_recipe, adapt_recipe_to_size


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


@pytest.mark.parametrize(
    ("examples", "named", "batch_size", "compiled"),
    [
        (100, set(), 8, False),
        (1_000, set(), 32, False),
        (10_000, set(), 128, False),
        (20_000, set(), 128, True),
        (100, {"batch_size", "jit_compile"}, 128, True),
    ],
)
def test_a_recipe_fits_the_size_of_the_data(examples, named, batch_size, compiled):
    recipe = adapt_recipe_to_size(Recipe(jit_compile=True), examples, named)
    assert (recipe.batch_size, recipe.jit_compile) == (batch_size, compiled)
    assert not adapt_recipe_to_size(Recipe(), examples, named).jit_compile
