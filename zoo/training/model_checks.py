"""Checks of a built model and its labels before the training, and classes of plug-ins by name."""

import inspect
import json
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np

from zoo.data.config import format_column_kinds
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, has_known_labels, read_labels
from zoo.data.targets import count_classes
from zoo.distribution.keras_patches import find_operation, flatten_layers
from zoo.errors import UserError, one_line, shorten_names
from zoo.recipe import Recipe
from zoo.registry import Entry, list_plugin_modules

# what a plug-in may define for a model; Keras saves their names
_CUSTOM_BASES = (
    keras.layers.Layer,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def check_labels(data: Data) -> None:
    """Checks the labels and weights of the splits that are in memory.

    Raises:
        UserError: if a class is not one of the spec's, a target is not a finite number, or all
            training examples have weight 0.
    """
    weights = data.train.weights if isinstance(data.train, Arrays) else None
    if weights is not None and not weights.any():
        raise UserError(
            f"{data.name}: all rows of the training split have weight 0: correct the column of "
            "--weight, or hold out other rows with --seed"
        )
    count = data.spec.num_classes
    for part in ("train", "validation", "test"):
        split = getattr(data, part)
        if not isinstance(split, Arrays):
            continue
        labels = split.y if split.y.ndim == 2 else split.y[:, None]
        if count is None:
            fits, known = np.isfinite(labels), "a finite number"
        elif data.spec.multilabel:
            fits, known = labels <= 1, f"0 or 1 for each of {count} classes"
            fits &= labels.shape[1] == count
        else:
            fits, known = (labels >= 0) & (labels < count), f"a class from 0 to {count - 1}"
        if not fits.all():
            row = int(np.argmin(fits.all(axis=1)))
            shown = labels[row].item() if labels.shape[1] == 1 else labels[row].tolist()
            raise UserError(
                f"{data.name}: the label of row {row:,} of the {part} split is {shown}: "
                f"expected {known}: correct it, or omit the row"
            )


def check_threshold(recipe: Recipe, data: Data) -> None:
    """Checks that the validation split can choose a threshold, if it has to.

    Raises:
        UserError: if it has examples of one class only.
    """
    if recipe.threshold != "auto" or not has_known_labels(data.validation):
        return
    names = data.spec.class_names or ()
    counts = np.bincount(read_labels(data.validation), minlength=len(names))
    if absent := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise UserError(
            f"threshold='auto': the validation split has no example of {absent[0]!r}, so that no "
            "threshold can be chosen on it: raise --holdout, or pass a number, such as "
            "--threshold=0.3"
        )


def describe_labels(data: Data) -> str:
    """Returns a warning for classes without a training example or a constant target, or "".

    Splits that are not in memory are not checked.
    """
    if not isinstance(data.train, Arrays):
        return ""
    labels, names = read_labels(data.train), data.spec.class_names
    if names is None:
        is_constant = labels.min() == labels.max()
        return f"{data.name}: all training targets are {labels.min():g}" if is_constant else ""
    counts = count_classes(labels, data.spec)
    absent = [names[i] for i in np.flatnonzero(counts == 0)]
    constant = [names[i] for i in np.flatnonzero(counts == len(labels)) if data.spec.multilabel]
    warnings = []
    if absent:
        listed = shorten_names(absent, 10)
        warnings.append(f"no training example of {listed}: the model will not predict them")
    if constant:
        warnings.append(f"all training examples have the labels {shorten_names(constant, 10)}")
    return f"{data.name}: {'; '.join(warnings)}" if warnings else ""


def check_text_columns(entry: Entry, spec: Spec) -> None:
    """Raises a UserError if the data has columns of texts, and the builder takes none."""
    if "texts" not in entry.arguments:
        names = [column.name for column in spec.columns if column.tokenizer]
        raise UserError(
            f"{entry.name} reads no columns of texts, such as {names[0]!r}: leave them out with "
            f"{format_column_kinds(names, 'drop')}"
        )


def check_model(entry: Entry, model: Any, spec: Spec) -> None:
    """Checks that a builder returned a model that can be trained, exported and loaded again.

    Args:
        entry: The entry of the builder. The models of the zoo itself are not checked.
        model: What the builder returned.
        spec: Description of the data.

    Raises:
        UserError: if it is no model from {name of the input: tensor} to {"logits": float32}, has
            a Lambda layer, or a layer that Keras cannot create from its config.
    """
    if entry.is_builtin:
        return
    problem = _find_contract_problem(model, spec)
    if problem:
        raise UserError(
            f"{entry.name}: its builder returned {problem}: expected a keras.Model from "
            f"{{{spec.input_name!r}: {spec.dtype} tensor}} to {{'logits': float32 tensor of shape "
            f"(None, {spec.num_classes or 1})}}, as in docs/adding_a_model.md"
        )
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.Lambda):
            raise UserError(
                f"{entry.name}: the layer {layer.name!r} is a Lambda, whose code cannot be loaded "
                "again: use operations of keras.ops, or a class of keras.layers.Layer, instead"
            )
    _check_config(entry, model)


def _find_contract_problem(model: Any, spec: Spec) -> str:
    """Returns what is wrong with the inputs or outputs of a model, or ""."""
    if not isinstance(model, keras.Model):
        return f"a {type(model).__name__}"
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if not isinstance(inputs, dict) or list(inputs) != [spec.input_name]:
        return f"the inputs {_format_names(inputs)}"
    if not isinstance(outputs, dict) or list(outputs) != ["logits"]:
        return f"the outputs {_format_names(outputs)}"
    tensor, logits = inputs[spec.input_name], outputs["logits"]
    if keras.backend.standardize_dtype(tensor.dtype) != spec.dtype:
        return f"an input of dtype {tensor.dtype}"
    if tuple(logits.shape) != (None, spec.num_classes or 1):
        return f"logits of shape {tuple(logits.shape)}"
    if keras.backend.standardize_dtype(logits.dtype) != "float32":
        return f"logits of dtype {logits.dtype}"
    last = find_operation(logits)
    activation = getattr(getattr(last, "activation", last), "__name__", type(last).__name__)
    if activation.lower() in ("softmax", "sigmoid"):
        return f"probabilities ({last.name!r} ends in a {activation.lower()})"
    return ""


def _format_names(tensors: Any) -> str:
    """Formats the names of inputs or outputs; single tensors have none."""
    return str(list(tensors)) if isinstance(tensors, dict) else "without names in a dict"


def _check_config(entry: Entry, model: keras.Model) -> None:
    """Checks that the model can be created from its config, as it is when a file is loaded."""
    try:
        with warnings.catch_warnings(record=True, action="always") as caught:
            config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    except Exception as error:  # of the plug-in's own code too
        raise _make_config_error(entry, error) from error
    if any("includes a `lambda`" in str(item.message) for item in caught):
        raise UserError(
            f"{entry.name}: a layer has a lambda function, whose code cannot be loaded again: "
            "write it as a function with a name, in the plug-in"
        )
    try:
        keras.saving.deserialize_keras_object(
            config, custom_objects=find_custom_objects(config), safe_mode=True
        )
    except Exception as error:
        raise _make_config_error(entry, error) from error


def _make_config_error(entry: Entry, error: Exception) -> UserError:
    return UserError(
        f"{entry.name}: a saved model could not be loaded again: {explain_load_error(error)}: "
        "give each layer of your own a get_config with the arguments of its constructor"
    )


def explain_load_error(error: Exception) -> str:
    """Returns why Keras cannot create a model, without the configs that it quotes, as one line."""
    message = str(error)
    # innermost last: "<class ...> could not be deserialized properly. ... config={...}. Exception
    # encountered: ..."
    message = message.rpartition("Exception encountered: ")[2]
    message = message.partition("Full object config:")[0].partition("\n\nconfig=")[0]
    return one_line(message).rstrip(". ")


def find_custom_objects(config: Any) -> dict[str, Any]:
    """Finds the classes and functions of plug-ins and user modules that a model's config names.

    Only modules that are imported already are searched, and only for layers, initializers,
    regularizers and constraints, and for functions of plug-ins: a file cannot name other code.

    Args:
        config: A model's config, as Keras serializes it.

    Returns:
        The objects by their registered names, as `custom_objects` of Keras.
    """
    found: dict[str, Any] = {}
    for entry in _iterate_objects(config):
        name, module = entry["class_name"], sys.modules.get(entry.get("module") or "")
        if name == "function" and isinstance(entry["config"], str):
            for plugin in list_plugin_modules():
                function = vars(plugin).get(entry["config"])
                if inspect.isfunction(function):
                    found[entry["config"]] = function
        elif module is None or not module.__name__.startswith(("keras", "zoo.")):
            custom = _find_class(name, module)
            if inspect.isclass(custom) and issubclass(custom, _CUSTOM_BASES):
                found[entry.get("registered_name") or name] = custom
    return found


def _find_class(name: str, module: ModuleType | None) -> Any:
    """Returns what has the name in a module; without it in a plug-in, whose file was renamed."""
    modules = list_plugin_modules() if module is None else [module]
    return next((vars(part)[name] for part in modules if name in vars(part)), None)


def _iterate_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yields the serialized objects in a config."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str) and "config" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _iterate_objects(item)
