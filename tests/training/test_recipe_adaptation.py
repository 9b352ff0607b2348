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
    is_smaller = batch_size < settings.get("batch_size", 128)
    assert len(notes) == (epochs > settings["epochs"]) + is_smaller


def test_the_change_is_told_and_can_be_undone(raised_epochs):
    _, notes = adapt(450, epochs=3)
    assert notes == [
        "batches of 8 examples instead of 128, so that an epoch has 57 steps: --batch_size=128 for "
        "larger ones",
        "9 epochs instead of 3, since 450 examples give only 57 steps an epoch: --epochs=3 for "
        "fewer",
    ]
    assert adapt(450, epochs=3, named=["epochs"])[0].epochs == 3
    recipe, notes = adapt(450, epochs=10, batch_size=450, named=["batch_size"])
    assert recipe.epochs == 500 and "only 1 step an epoch" in notes[0]


def test_trained_weights_are_fine_tuned_as_they_were(raised_epochs):
    recipe, (note,) = adapt(450, epochs=4, weights="run")
    assert recipe == Recipe(epochs=4, batch_size=8) and note.startswith("batches of 8 examples")


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
    recipe, notes = adapt_recipe_to_size(Recipe(jit_compile=True), examples, named)
    assert (recipe.batch_size, recipe.jit_compile) == (batch_size, compiled)
    assert len(notes) == (batch_size < 128)
    assert not adapt_recipe_to_size(Recipe(), examples, named)[0].jit_compile


@pytest.mark.parametrize(
    ("optimizer", "named", "rate"),
    [
        ("sgd", [], 0.003125),  # a sixteenth, as of the batch
        ("momentum", [], 0.003125),
        ("nesterov", [], 0.003125),
        ("nesterov", ["learning_rate"], 0.05),
        ("nesterov", ["batch_size"], 0.05),
        ("adam", [], 0.05),  # whose steps do not grow with the gradients
    ],
)
def test_the_learning_rate_of_plain_gradients_shrinks_with_the_batch(optimizer, named, rate):
    recipe, notes = adapt(450, optimizer=optimizer, learning_rate=0.05, named=named)
    assert recipe.learning_rate == rate
    text = "learning rate of 0.003125 instead of 0.05"
    assert any(text in note for note in notes) == (rate < 0.05)
