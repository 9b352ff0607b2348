"""The recipes of the phases of a training: of the head alone, and of the epochs after."""

import dataclasses

from zoo.recipe import Recipe

_FINE_TUNING_SHARE = 0.1  # of the learning rate, after the epochs of the head alone


def make_head_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe of the epochs in which the head alone is trained, if there are such."""
    epochs = recipe.head_epochs or recipe.epochs
    return dataclasses.replace(
        recipe, epochs=epochs, trainable="head", lora_rank=0, layer_decay=1.0
    )


def make_main_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe of the epochs after those of the head alone, if there are such."""
    if not recipe.head_epochs:
        return recipe
    head = recipe.head_learning_rate
    return dataclasses.replace(
        recipe,
        learning_rate=recipe.learning_rate * _FINE_TUNING_SHARE,
        head_learning_rate=head and head * _FINE_TUNING_SHARE,
    )


def scale_to_peak(recipe: Recipe, rate: float) -> float:
    """Returns the `learning_rate` with which a recipe's main epochs are trained at a rate."""
    return rate / _FINE_TUNING_SHARE if recipe.head_epochs else rate
