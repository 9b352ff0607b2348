"""Fine-tuning: frozen layers, LoRA and a learning rate for each layer.

A layer here is one that has weights; of a model inside the model, such as BERT's encoder, each
layer counts.
"""

import fnmatch
from collections.abc import Container
from typing import Any

import keras

from zoo.distribution.keras_patches import flatten_layers
from zoo.errors import UserError, shorten_names
from zoo.layers.outputs import HEAD
from zoo.layers.weights import weighted_layers
from zoo.recipe import Recipe


def has_trained_weights(weights: str | None, hparams: dict[str, Any]) -> bool:
    """Returns whether the layers of a model have trained weights, of a run or a preset."""
    return bool(weights or (hparams.get("preset") and hparams.get("pretrained", True)))


def describe_random_weights(recipe: Recipe, weights: str | None, hparams: dict[str, Any]) -> str:
    """Returns a warning if layers are frozen that were never trained, or ""."""
    settings = {"lora_rank": recipe.lora_rank, "head_epochs": recipe.head_epochs}
    settings["trainable"] = recipe.trainable != "all"
    name = next(filter(settings.get, settings), "")
    if has_trained_weights(weights, hparams) or not name:
        return ""
    return (
        f"{name}={getattr(recipe, name)}: no trained weights were chosen, so the frozen layers "
        f"keep their random initial weights: pass --weights, or omit --{name}"
    )


def freeze_layers(model: keras.Model, recipe: Recipe, new: Container[str] = ()) -> None:
    """Freezes the layers that the recipe's `trainable` and `lora_rank` do not train.

    LoRA (Hu et al. 2021, arXiv 2106.09685) is added to the query and value projections of attention
    or, in a model without attention, to every layer that supports it except the head.

    Args:
        model: Changed in place.
        recipe: Which layers are trained.
        new: Names of layers that are trained in any case, as the head is.

    Raises:
        UserError: if a pattern matches no layer, or no layer supports LoRA.
    """
    body = [
        layer for layer in weighted_layers(model) if layer.name != HEAD and layer.name not in new
    ]
    if recipe.lora_rank:
        _enable_lora(model, body, recipe.lora_rank)
    elif recipe.trainable != "all":
        patterns = recipe.trainable.split(",")
        for pattern in patterns:
            names = [layer.name for layer in body]
            if pattern != HEAD and not fnmatch.filter(names, pattern):
                raise UserError(
                    f"trainable={recipe.trainable!r}: {model.name} has no layer {pattern!r}: "
                    f"expected all, head, or patterns of {shorten_names(names)}"
                )
        for layer in body:
            layer.trainable = any(fnmatch.fnmatchcase(layer.name, p) for p in patterns)


def learning_rate_multipliers(model: keras.Model, recipe: Recipe) -> dict[str, float]:
    """Returns the factor of the learning rate for each weight by its path; empty if all are 1.

    With `layer_decay` F a layer's factor is F to the power of the number of layers above it (Howard
    and Ruder 2018, arXiv 1801.06146, section 3.2). Layers that only shift and scale, such as
    normalisations, have the factor of the layer below.
    """
    if recipe.layer_decay == 1 and recipe.head_learning_rate is None:
        return {}
    depths, total_depth = [], 0
    for layer in weighted_layers(model):
        total_depth += any(len(weight.shape) > 1 for weight in layer.weights)
        depths.append(total_depth)
    factors: dict[str, float] = {}
    for layer, depth in zip(weighted_layers(model), depths, strict=True):
        factor = recipe.layer_decay ** (total_depth - depth)
        if layer.name == HEAD and recipe.head_learning_rate is not None:
            factor = recipe.head_learning_rate / recipe.learning_rate
        factors |= {weight.path: factor for weight in layer.weights}
    return factors


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Returns the numbers of trained and of other parameters, by their keys in metrics.json.

    Frozen are also the statistics of normalisations.
    """
    trained = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
    return {"trainable_parameters": trained, "frozen_parameters": model.count_params() - trained}


def _enable_lora(model: keras.Model, body: list[keras.layers.Layer], rank: int) -> None:
    """Adds LoRA to the layers in `body`, and freezes all their other weights."""
    candidates = {
        layer.name: [x for x in flatten_layers(layer) if hasattr(x, "enable_lora")]
        for layer in body
    }
    projections = {
        name: [sublayer for sublayer in sublayers if sublayer.name in ("query", "value")]
        for name, sublayers in candidates.items()
    }
    targets = projections if any(projections.values()) else candidates
    if not any(targets.values()):
        raise UserError(
            f"lora_rank={rank}: {model.name} has no layer that supports LoRA: omit --lora_rank"
        )
    for layer in body:
        if not targets[layer.name]:
            layer.trainable = False
            continue
        for sublayer in targets[layer.name]:
            sublayer.enable_lora(rank)
        for weight in layer.trainable_weights:
            weight.trainable = weight.name.startswith("lora")
