"""Starting from trained weights; training a part of a model, or parts at rates of their own.

A block here is a layer of the model that has weights; a model within the model, such as BERT's
encoder, counts as its layers.
"""

import dataclasses
import fnmatch
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo import saved_model
from zoo.data.spec import Tokenizer
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import Entry

HEAD = "head"


@dataclasses.dataclass(frozen=True)
class Taken:
    """A block of the model, and whether its weights were taken over.

    Attributes:
        name: Name of the block.
        parameters: Number of its parameters.
        reason: Why its weights are new ones; empty if they were taken over.
    """

    name: str
    parameters: int
    reason: str


def origin(
    path: str | Path, entry: Entry, hparams: dict[str, Any], tokenizer: str | Tokenizer
) -> tuple[dict[str, Any], str | Tokenizer]:
    """What a model that starts from the weights at `path` has to be built with.

    Args:
        path: What `zoo.load` takes.
        entry: The model that is to be built.
        hparams: Its hyperparameters, as far as they are given.
        tokenizer: What is taken if the weights have none.

    Returns:
        The hyperparameters, completed by those of the weights if these are of the same model, and
        the tokenizer of the weights.

    Raises:
        UserError: if there is no model.
    """
    record = saved_model.record(path)
    before = {}
    if record.get("model") == entry.name:
        before = record.get("hyperparameters", {})
        if not isinstance(before, dict):
            raise UserError(f"weights={path}: its record holds no hyperparameters: {before!r:.50}")
        before = entry.check(before, entry.hyperparameters)
    theirs = saved_model.tokenizer(path)
    if theirs and entry.tokenizer == "wordpiece" != theirs.kind:
        raise UserError(
            f"weights={path}: its tokens are {theirs.kind}, and {entry.name} reads wordpiece "
            f"alone: name a run of {entry.name}"
        )
    return before | hparams, theirs or tokenizer


def take_over(model: keras.Model, path: str | Path) -> list[Taken]:
    """Sets the weights of all blocks for which the model at `path` has some of the same shapes.

    Args:
        model: A model of the zoo; changed in place.
        path: What `zoo.load` takes: a run, an export or a .keras file.

    Returns:
        An item for each block, in the order of the model.

    Raises:
        UserError: if there is no model, or nothing of it fits.
    """
    theirs = {block.name: block for block in blocks(saved_model.load(path))}
    table = []
    for block in blocks(model):
        reason = _misfit(block, theirs.get(block.name))
        if not reason:
            set_weights(block, theirs[block.name].get_weights())
        table.append(Taken(block.name, block.count_params(), reason))
    if all(taken.reason or not taken.parameters for taken in table):
        raise UserError(
            f"weights={path}: nothing fits {model.name}: there are {', '.join(theirs) or 'none'}, "
            f"and {model.name} has {', '.join(t.name for t in table)}; name a run of the same model"
        )
    return table


def lines(table: list[Taken]) -> list[str]:
    """The table of what was taken over, one block a line."""
    width = max(len(taken.name) for taken in table)
    return [
        f"  {taken.name.ljust(width)}  {taken.parameters:>12,}  "
        + (f"new: {taken.reason}" if taken.reason else "taken over")
        for taken in table
    ]


def blocks(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers with weights, from the input to the head."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += blocks(layer)
        elif layer.weights:
            found.append(layer)
    return found


def set_weights(block: keras.layers.Layer, arrays: Sequence[np.ndarray]) -> None:
    """Sets the weights of a block; a normalisation then goes by them."""
    block.set_weights(arrays)
    if isinstance(block, keras.layers.Normalization):
        block.finalize_state()


def freeze(model: keras.Model, recipe: Recipe, new: Container[str] = ()) -> None:
    """Leaves to training what the recipe's `trainable` and `lora_rank` name, and what is new.

    LoRA (Hu et al. 2021, arXiv 2106.09685) is put on the query and value projections where there is
    attention, else on every layer but the head for which Keras has it.

    Args:
        model: Changed in place.
        recipe: What is trained.
        new: Names of the blocks that are always trained; the head is one of them in any case.

    Raises:
        UserError: if a pattern matches no block, or no layer can have LoRA.
    """
    body = [block for block in blocks(model) if block.name != HEAD and block.name not in new]
    if recipe.lora_rank:
        _lora(model, body, recipe.lora_rank)
    elif recipe.trainable != "all":
        patterns = recipe.trainable.split(",")
        for pattern in patterns:
            names = [block.name for block in body]
            if pattern != HEAD and not fnmatch.filter(names, pattern):
                raise UserError(
                    f"trainable={recipe.trainable!r}: {model.name} has no block {pattern!r}; "
                    f"expected all, head, or patterns of {', '.join(names)}"
                )
        for block in body:
            block.trainable = any(fnmatch.fnmatchcase(block.name, p) for p in patterns)


def rates(model: keras.Model, recipe: Recipe) -> dict[str, float]:
    """Factor of the learning rate for each weight, by its path; empty if all are 1.

    With `layer_decay` F a block's factor is F to the power of the number of blocks above it (Howard
    and Ruder 2018, arXiv 1801.06146, section 3.2). Blocks that only shift and scale, such as
    normalisations, count with the one below.
    """
    if recipe.layer_decay == 1 and recipe.head_learning_rate is None:
        return {}
    depths, depth = [], 0
    for block in blocks(model):
        depth += any(len(weight.shape) > 1 for weight in block.weights)
        depths.append(depth)
    factors = {}
    for block, at in zip(blocks(model), depths, strict=True):
        factor = recipe.layer_decay ** (depth - at)
        if block.name == HEAD and recipe.head_learning_rate is not None:
            factor = recipe.head_learning_rate / recipe.learning_rate
        factors |= {weight.path: factor for weight in block.weights}
    return factors


def parameters(model: keras.Model) -> dict[str, int]:
    """How many parameters are trained and how many are frozen or only measured."""
    trained = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
    return {"trainable_parameters": trained, "frozen_parameters": model.count_params() - trained}


def _misfit(ours: keras.layers.Layer, theirs: keras.layers.Layer | None) -> str:
    """Why the weights cannot be taken over, or nothing."""
    if theirs is None:
        return "there is none of this name"
    shapes = [[tuple(weight.shape) for weight in block.weights] for block in (ours, theirs)]
    if len(shapes[0]) != len(shapes[1]):
        return f"{len(shapes[0])} arrays, {len(shapes[1])} there"
    for here, there in zip(*shapes, strict=True):
        if here != there:
            return f"{'x'.join(map(str, here))}, {'x'.join(map(str, there))} there"
    return ""


def _lora(model: keras.Model, body: list[keras.layers.Layer], rank: int) -> None:
    targets = {}
    for block in body:
        # Keras has no public way to a layer's own layers
        layers = block._flatten_layers(include_self=True)
        targets[block.name] = [layer for layer in layers if hasattr(layer, "enable_lora")]
    if any(layer.name in ("query", "value") for found in targets.values() for layer in found):
        targets = {
            name: [layer for layer in found if layer.name in ("query", "value")]
            for name, found in targets.items()
        }
    if not any(targets.values()):
        raise UserError(
            f"lora_rank={rank}: {model.name} has no layer that can have LoRA: leave --lora_rank out"
        )
    for block in body:
        if not targets[block.name]:
            block.trainable = False
            continue
        for layer in targets[block.name]:
            layer.enable_lora(rank)
        for weight in block.trainable_weights:
            weight.trainable = weight.name.startswith("lora")
