"""Fine-tuning: copied weights, frozen layers, LoRA and a learning rate for each layer.

A layer here is one that has weights; of a model inside the model, such as BERT's encoder, each
layer counts.
"""

import dataclasses
import fnmatch
import shlex
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import keras

from zoo.data.spec import Spec, Tokenizer, spec_from_model, spec_from_record
from zoo.data.splits import Data
from zoo.distribution.keras_patches import flatten_layers
from zoo.errors import UserError
from zoo.layers.outputs import HEAD
from zoo.layers.weights import weighted_layers
from zoo.recipe import Recipe
from zoo.registry import Entry


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained model that was opened by its path (`zoo.exporting.loading.open_source`).

    Attributes:
        path: Path of a run, an export or a .keras file.
        load: Loads the Keras model.
        record: Content of metrics.json, zoo.json or record.json; empty for a single .keras file.
        tokenizer: The tokenizer that was saved with it, or None.
        file: The file of its weights.
    """

    path: Path
    load: Callable[[], keras.Model]
    record: dict[str, Any]
    tokenizer: Tokenizer | None
    file: Path | None = None

    @property
    def model(self) -> keras.Model:
        """The Keras model, uncompiled. It is loaded at each access, and not kept in memory."""
        return self.load()

    @property
    def spec(self) -> Spec:
        """The spec of its data, from the record or else from the model's inputs and outputs.

        Raises:
            UserError: if the record's spec is invalid, or the model is not one of the zoo.
        """
        if "spec" in self.record:
            return spec_from_record(self.record, self.path, self.tokenizer)
        return spec_from_model(self.model, None)


def inherit_settings(
    source: Source, entry: Entry, hparams: dict[str, Any]
) -> tuple[dict[str, Any], Tokenizer | None]:
    """Returns the hyperparameters and the tokenizer of a model that starts from trained weights.

    Args:
        source: The trained model.
        entry: The model to be built.
        hparams: The hyperparameters that the user set.

    Returns:
        The hyperparameters, with those of the source as defaults if it is the same model; and the
        source's tokenizer.

    Raises:
        UserError: if the source's hyperparameters or tokenizer don't fit the model, or the user
            set a preset, which has weights of its own.
    """
    if preset := hparams.get("preset"):
        raise UserError(
            f"weights={source.path} and preset={preset!r}: each has all weights of the model to "
            "start from: omit one of them"
        )
    inherited: dict[str, Any] = {}
    if source.record.get("model") == entry.name:
        inherited = source.record.get("hyperparameters", {})
        if not isinstance(inherited, dict):
            raise UserError(
                f"weights={source.path}: its record has invalid hyperparameters: "
                f"{inherited!r:.50}: expected a dictionary"
            )
        inherited = entry.check(inherited, entry.hyperparameters)
    if source.tokenizer:
        kind = source.tokenizer.kind
        subject = f"weights={source.path}: its tokens are {kind}"
        entry.check_tokens(subject, kind, f"choose a run of {entry.name}")
    return inherited | hparams, source.tokenizer


def replace_preset(hparams: dict[str, Any], source: Source) -> dict[str, Any]:
    """Returns the hyperparameters with the source's own file in place of its preset.

    The file has the sizes and the weights of the preset, which may have been moved since.
    """
    if not hparams.get("preset") or source.file is None or source.file.suffix != ".keras":
        return hparams
    return hparams | {"preset": str(source.file)}


def read_sizes(source: Source, tokenizer: Tokenizer | None, name: str) -> dict[str, Any]:
    """Returns the arguments of the builder that the data of the source determines."""
    sizes: dict[str, Any] = {}
    if source.record.get("model") == name and "spec" in source.record:
        sizes = {"input_shape": source.spec.shape}
        if not source.spec.is_masked:
            sizes["num_classes"] = source.spec.num_classes
        if source.spec.cardinalities:
            sizes["cardinalities"] = source.spec.cardinalities
        if source.spec.texts:
            sizes["texts"] = source.spec.texts
    if tokenizer:
        sizes["input_shape"] = (tokenizer.length,)
        sizes["vocabulary_size"] = len(tokenizer.vocabulary)
        if tokenizer.window and source.record.get("model") == name:
            sizes["window"] = tokenizer.window
    return sizes


def check_predicts(source: Source) -> None:
    """Checks that a model predicts classes or numbers, and not masked tokens.

    Raises:
        UserError: if it comes from a pretraining.
    """
    if "spec" in source.record and source.spec.is_masked:
        raise UserError(
            f"{source.path}: this model was pretrained and guesses hidden words only: fine-tune it "
            f"first, with zoo train --model={source.record.get('model')!s:.50} "
            f"--weights={shlex.quote(str(source.path))} and a dataset with labels"
        )


def check_source(source: Source, data: Data) -> None:
    """Checks that a model can be trained further on the data, before it is built.

    Raises:
        UserError: if the words of a text model are not known, or its columns are others than
            those of the data.
    """
    if data.spec.is_text and source.tokenizer is None and source.spec.is_text:
        raise UserError(
            f"weights={source.path}: there is no tokenizer.json next to it, so the words of its "
            "embeddings are not known: pass a run or an export instead"
        )
    if data.spec.kind != "features" or "spec" not in source.record:
        return
    names, others = source.spec.feature_names, data.spec.feature_names
    if source.spec.kind == "features" and names != others:
        raise UserError(
            f"weights={source.path}: its columns are {shorten_names(names)}, but {data.name} has "
            f"{shorten_names(others)}: choose data with the same columns in the same order, or "
            "omit --weights"
        )


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


def shorten_names(names: Sequence[str], most: int = 5) -> str:
    """Lists the names, at most `most` of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


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
                    f"expected all, head, or patterns of {', '.join(names)}"
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
