"""Changes of a recipe's defaults that suit the data and the weights of a training."""

import dataclasses
import math
from typing import Any

from zoo.errors import UserError, format_count
from zoo.recipe import Recipe
from zoo.training.building import adapt_recipe_to_size
from zoo.training.finetuning import has_trained_weights

FEWEST_STEPS = 500  # of a training from random weights


def adapt_recipe(
    recipe: Recipe, examples: int, weights: str | None, hparams: dict[str, Any], named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe for a number of examples, and for trained or random weights.

    See `adapt_recipe_to_size`, `has_trained_weights`, `adapt_recipe_to_weights` and `raise_epochs`.
    """
    recipe = adapt_recipe_to_size(recipe, examples, named)
    is_trained = has_trained_weights(weights, hparams)
    recipe, notes = adapt_recipe_to_weights(recipe, is_trained, named)
    if not is_trained:
        recipe, raised = raise_epochs(recipe, examples, named)
        notes += raised
    return recipe, notes


def raise_epochs(recipe: Recipe, examples: int, named: set[str]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with more epochs where random weights would take too few steps.

    The recipes are made for tens of thousands of examples. With a thousand, their few epochs are
    so few steps that a network has hardly left its random weights: they are raised until the
    training has 500 steps. On 2,000 sentences 1,000 steps were no more accurate, and overconfident.

    Args:
        recipe: How the model is to be trained.
        examples: Number of examples to train on.
        named: Names of the settings that the user set.

    Returns:
        The recipe, and a line if it changed.
    """
    steps = math.ceil(examples / recipe.batch_size)
    epochs = math.ceil(FEWEST_STEPS / steps)
    if "epochs" in named or recipe.epochs >= epochs:
        return recipe, []
    note = (
        f"{epochs} epochs instead of {recipe.epochs}, since {examples:,} examples give only "
        f"{format_count(steps, 'step')} an epoch: --epochs={recipe.epochs} for fewer"
    )
    return dataclasses.replace(recipe, epochs=epochs), [note]


def adapt_recipe_to_weights(
    recipe: Recipe, is_trained: bool, named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe without the epochs of the head alone where they make no sense.

    Args:
        recipe: How the model is to be trained.
        is_trained: Whether the layers below the head have trained weights.
        named: Names of the settings that the user set.

    Returns:
        The recipe, and a line for each change.

    Raises:
        UserError: if the user asked for such epochs, and for no others.
    """
    if not recipe.head_epochs:
        return recipe, []
    if recipe.trainable == "head":
        if "head_epochs" in named:
            raise UserError(
                f"head_epochs={recipe.head_epochs} and trainable='head': the head alone is trained "
                "in all epochs: omit --head_epochs, and set --epochs"
            )
        epochs = recipe.epochs if "epochs" in named else recipe.head_epochs
        return dataclasses.replace(recipe, epochs=epochs, head_epochs=None), []
    if is_trained or "head_epochs" in named:
        return recipe, []
    note = "no epochs of the head alone, since the layers below it have random weights"
    return dataclasses.replace(recipe, head_epochs=None), [note]
