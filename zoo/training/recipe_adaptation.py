"""Changes of a recipe's defaults that suit the data and the weights of a training."""

import dataclasses
from typing import Any

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.building import adapt_recipe_to_size
from zoo.training.finetuning import has_trained_weights


def adapt_recipe(
    recipe: Recipe, examples: int, weights: str | None, hparams: dict[str, Any], named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe for a number of examples, and for trained or random weights.

    See `adapt_recipe_to_size`, `has_trained_weights` and `adapt_recipe_to_weights`.
    """
    recipe = adapt_recipe_to_size(recipe, examples, named)
    return adapt_recipe_to_weights(recipe, has_trained_weights(weights, hparams), named)


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
