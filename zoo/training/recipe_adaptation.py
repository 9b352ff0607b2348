"""What a recipe becomes for the data, the weights and the phases of a training."""

import dataclasses
import math
from typing import Any

from zoo.errors import UserError, format_count
from zoo.recipe import Recipe
from zoo.training.finetuning import has_trained_weights

FEWEST_STEPS = 500  # of a training from random weights
_PLAIN_GRADIENTS = ("sgd", "momentum", "nesterov")  # steps as long as the gradients make them
_COMPILED_EXAMPLES = 20_000  # at least, for XLA
_FINE_TUNING_SHARE = 0.1  # of the learning rate, after the epochs of the head alone


def adapt_recipe(
    recipe: Recipe, examples: int, weights: str | None, hparams: dict[str, Any], named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe for a number of examples, and for trained or random weights.

    See `adapt_recipe_to_size`, `has_trained_weights`, `adapt_recipe_to_weights` and `raise_epochs`.
    """
    recipe, notes = adapt_recipe_to_size(recipe, examples, named)
    is_trained = has_trained_weights(weights, hparams)
    recipe, changed = adapt_recipe_to_weights(recipe, is_trained, named)
    notes += changed
    if not is_trained:
        recipe, raised = raise_epochs(recipe, examples, named)
        notes += raised
    return recipe, notes


def adapt_recipe_to_size(
    recipe: Recipe, examples: int, named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with what suits few examples, but for settings that the user named.

    The recipes are made for tens of thousands of examples. With a hundred, one batch would be the
    whole epoch, and the training a dozen steps: the batch is halved, down to 8, until an epoch has
    30 steps. The learning rate of plain gradient descent shrinks with it (the linear scaling rule,
    Goyal et al. 2017, section 2.1): vgg11 has 97.3% instead of 66.0% in three folds of 450 digits.
    XLA compiles a step in 3 s on 2 cores, which fewer than 20,000 examples do not win back.

    Args:
        recipe: How the model is to be trained.
        examples: Number of examples to train on.
        named: Names of the settings that the user set.

    Returns:
        The recipe, and a line if the batches are smaller.
    """
    batch_size = recipe.batch_size
    while "batch_size" not in named and batch_size > 8 and examples / batch_size < 30:
        batch_size //= 2
    is_worth_it = "jit_compile" in named or examples >= _COMPILED_EXAMPLES
    adapted = dataclasses.replace(
        recipe, batch_size=batch_size, jit_compile=recipe.jit_compile and is_worth_it
    )
    if batch_size == recipe.batch_size:
        return adapted, []
    note = f"batches of {batch_size} examples instead of {recipe.batch_size}"
    if recipe.optimizer in _PLAIN_GRADIENTS and "learning_rate" not in named:
        rate = recipe.learning_rate * batch_size / recipe.batch_size
        adapted = dataclasses.replace(adapted, learning_rate=rate)
        note += f" and a learning rate of {rate:g} instead of {recipe.learning_rate:g}"
    steps = format_count(math.ceil(examples / batch_size), "step")
    return adapted, [
        f"{note}, so that an epoch has {steps}: --batch_size={recipe.batch_size} for larger ones"
    ]


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
