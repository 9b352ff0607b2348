"""The methods that train: pruning, structured pruning and distillation, as runs that resume."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from zoo.attributions.integrated_gradients import check_explainable
from zoo.compressing.distillation import check_distillation, make_distiller
from zoo.compressing.methods import CONVERTED, QUANTIZED, Method
from zoo.compressing.pruning import PruningCallback
from zoo.compressing.quantization import find_quantizable_layers
from zoo.compressing.structured_pruning import shrink_model
from zoo.data.splits import Data
from zoo.distribution.keras_patches import flatten_layers
from zoo.errors import UserError, format_count
from zoo.evaluation.record import make_record
from zoo.exporting.converters import check_convertible
from zoo.recipe import Recipe
from zoo.registry import Entry, find_entry
from zoo.training.building import compile_model, prepare_model
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.class_balance import steps_per_epoch
from zoo.training.loop import fit_model
from zoo.training.recipe_adaptation import adapt_recipe_to_size
from zoo.training.source import Source

_EPOCHS_PART = 0.5  # of the epochs of the training
# all layers are trained, and the last weights are kept
_WHOLE: dict[str, Any] = {
    "trainable": "all",
    "lora_rank": 0,
    "layer_decay": 1.0,
    "head_learning_rate": None,
    "early_stopping": 0,
    "ema": 0.0,
    "accumulate_steps": 1,
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model before it is compressed: how it is built, and how it is loaded.

    Attributes:
        entry: Its entry in the registry.
        hparams: All of its hyperparameters.
        load: Loads it, uncompiled.
        record: Its record, as in metrics.json; may be empty.
    """

    entry: Entry
    hparams: dict[str, Any]
    load: Callable[[], keras.Model]
    record: dict[str, Any]


def open_trained(source: Source, name: str) -> Trained:
    """Returns a trained model that was opened by its path.

    Args:
        source: The opened model.
        name: Name of the model, in case that its record has none.

    Raises:
        UserError: if its name or its hyperparameters are unknown.
    """
    entry = find_entry(str(source.record.get("model", name)))
    hparams = source.record.get("hyperparameters", {})
    return Trained(entry, entry.check(hparams, entry.hyperparameters), source.load, source.record)


def has_explain_signature(original: Trained) -> bool:
    """Whether the original was exported with the signature `explain`, as its results are then."""
    return bool(original.record.get("explain_signature"))


def make_finetuning_recipe(
    record: dict[str, Any], entry: Entry, settings: dict[str, Any], examples: int
) -> Recipe:
    """Returns the recipe that a pruned model is trained on with.

    It is that of the model's own training with half of its epochs, unless `settings` has others. A
    smaller learning rate had a higher validation loss (docs/compression.md). The last weights are
    kept, since only they are pruned in full.

    Args:
        record: Record of the model; without a recipe, that of the entry is used.
        entry: The model's entry in the registry.
        settings: Settings that the user chose.
        examples: Number of training examples.
    """
    recipe = _read_recipe(record)
    recipe = recipe or adapt_recipe_to_size(entry.recipe, examples, set(settings))[0]
    defaults: dict[str, Any] = {"epochs": math.ceil(_EPOCHS_PART * recipe.epochs)}
    return dataclasses.replace(recipe, **(defaults | _WHOLE | settings))


def make_student_recipe(
    record: dict[str, Any], entry: Entry, settings: dict[str, Any], examples: int
) -> Recipe:
    """Returns the recipe of a student, with the settings that the user chose.

    It is the student's own. A smaller build of the teacher's model is trained as the teacher was.

    Args:
        record: Record of the teacher.
        entry: The student's entry in the registry.
        settings: Settings that the user chose.
        examples: Number of training examples.
    """
    recipe = _read_recipe(record) if record.get("model") == entry.name else None
    recipe = recipe or adapt_recipe_to_size(entry.recipe, examples, set(settings))[0]
    return dataclasses.replace(recipe, **(_WHOLE | settings))


def _read_recipe(record: dict[str, Any]) -> Recipe | None:
    """Returns the recipe in the record of a model, or None if it has none."""
    names = {field.name for field in dataclasses.fields(Recipe)}
    stored = record.get("recipe")
    if not isinstance(stored, dict):
        return None
    return Recipe(**{name: value for name, value in stored.items() if name in names})


def check_methods(methods: Sequence[Method], original: Trained, data: Data) -> None:
    """Checks that the methods suit the original, before the first of them takes its time.

    Methods that follow another one are checked when it is their turn.

    Raises:
        UserError: if one does not.
    """
    model = original.load()
    policies = [layer.dtype_policy for layer in flatten_layers(model)]
    if any(isinstance(policy, keras.dtype_policies.QuantizedDTypePolicy) for policy in policies):
        raise UserError(
            f"{model.name} is quantised already, and cannot be trained or quantised any further: "
            "compress the run that it was made from"
        )
    for method in methods:
        if method.parent:
            continue
        if method.kind in QUANTIZED:
            find_quantizable_layers(model, method.kind)
        elif method.kind in CONVERTED:
            check_convertible(model, [method.kind])
        elif method.kind == "distill":
            distiller, *_ = _make_student(method, original, data, {}, 0)
            if has_explain_signature(original):
                check_explainable(distiller.student, data.spec)
        else:
            _make_pruned(method, original, data, {}, 0)


def train_method(
    method: Method,
    parent: Trained,
    data: Data,
    settings: dict[str, Any],
    seed: int,
    folder: Path,
    announce: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Trains the model of a method in its folder, or goes on where it was interrupted.

    Args:
        method: A method of `TRAINED`.
        parent: The model that it is applied to.
        data: The data, of which the training and validation splits are used.
        settings: Settings of the training that the user chose.
        seed: Seed of the training.
        folder: Folder of the run.
        announce: Prints a line about the training.

    Returns:
        The record of the run without test scores, and the history of the training.

    Raises:
        UserError: if the method does not suit the model.
        Interrupted: after SIGINT or SIGTERM, with a new checkpoint.
    """
    keras.utils.set_random_seed(seed)
    make = _make_student if method.kind == "distill" else _make_pruned
    trainee, entry, hparams, recipe, callbacks = make(method, parent, data, settings, seed)
    model = getattr(trainee, "student", trainee)
    announce(
        f"{method.name}: {entry.name}, {model.count_params():,} parameters, "
        f"{format_count(recipe.epochs, 'epoch')} at a learning rate of up to "
        f"{recipe.learning_rate:.3g}"
    )
    start, _ = find_latest_checkpoint(folder)
    trained = fit_model(
        trainee, data, recipe, seed=seed, run_dir=folder, start=start, callbacks=callbacks
    )
    record = make_record(entry, hparams, model, data, recipe, trained, {}).to_dict()
    return record | {"seed": seed}, trained["history"]


_Training = tuple[
    keras.Model, Entry, dict[str, Any], Recipe, Sequence[keras.callbacks.Callback]
]  # what is trained: the model, its entry, hyperparameters and recipe, and further callbacks


def _make_student(
    method: Method, parent: Trained, data: Data, settings: dict[str, Any], seed: int
) -> _Training:
    """Builds the student of a distillation, within the model that distils."""
    entry, teacher = find_entry(method.student), parent.load()
    recipe = make_student_recipe(parent.record, entry, settings, len(data.train))
    student, _ = prepare_model(entry, method.hparams, recipe, data, seed)
    check_distillation(teacher, student, data, recipe)
    return make_distiller(teacher, student, data, recipe), entry, method.hparams, recipe, []


def _make_pruned(
    method: Method, parent: Trained, data: Data, settings: dict[str, Any], seed: int
) -> _Training:
    """Loads the model that is pruned while it is trained, or has lost whole filters and units."""
    model, entry, hparams = parent.load(), parent.entry, parent.hparams
    _check_without_lora(method, model)
    recipe = make_finetuning_recipe(parent.record, entry, settings, len(data.train))
    callbacks = []
    if method.kind == "structured":
        model, hparams = shrink_model(model, entry, hparams, data.spec, method.share)
    compile_model(model, data, recipe)
    if method.kind == "prune":
        steps = steps_per_epoch(data, recipe) * recipe.epochs
        callbacks.append(PruningCallback(model, method.share, steps))
    return model, entry, hparams, recipe, callbacks


def _check_without_lora(method: Method, model: keras.Model) -> None:
    """Raises a UserError if a layer has LoRA updates, whose kernels are not those of the layer."""
    if any(getattr(layer, "lora_enabled", False) for layer in flatten_layers(model)):
        raise UserError(
            f"{method.kind}: {model.name} was trained with LoRA, whose updates are no weights of "
            "their own: use int8 or a converted format instead"
        )
