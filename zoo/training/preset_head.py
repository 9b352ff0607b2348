"""A training that starts from the head of a pretrained text classifier."""

import dataclasses
from typing import Any

import keras

from zoo.data.spec import Spec
from zoo.data.splits import Data
from zoo.errors import shorten_names
from zoo.layers.outputs import HEAD
from zoo.layers.weights import set_layer_weights
from zoo.models.presets.text_head import TextHead, find_head
from zoo.registry import Entry

_NAME, _FIRST = "text_encoder", "first"


def adopt_preset_head(
    entry: Entry, hparams: dict[str, Any], data: Data
) -> tuple[dict[str, Any], Data]:
    """Chooses whether a model starts from the head of its preset.

    It does if the preset is a classifier of Hugging Face with a class that the data has, and the
    pooling is not another than that of the head.

    Args:
        entry: The model.
        hparams: Its hyperparameters that are set.
        data: The data, whose names of classes decide.

    Returns:
        The hyperparameters with the pooling of the head, and the data with a note on the choice.
        Both are unchanged if the preset has no such head.
    """
    preset = hparams.get("preset", "")
    head = find_head(preset) if preset and entry.name == _NAME else None
    if head is None:
        return hparams, data
    common, new = _compare_classes(head, data.spec)
    if not common:
        kept = _describe_classes(head.class_names or (), head.multilabel)
        wanted = _describe_classes(data.spec.class_names or ("a number",), data.spec.multilabel)
        note = f"a new head for {wanted}: that of {preset} is for {kept}"
    elif hparams.get("pooling", _FIRST) != _FIRST:
        note = f"a new head: that of {preset} needs --hparam=pooling={_FIRST}"
    else:
        hparams = hparams | {"pooling": _FIRST}
        note = f"the head of {preset} is trained further for {shorten_names(common)}"
        note += f" and is new for {shorten_names(new)}" if new else ""
        note += ": --hparam=pooling=mean for a new one"
    return hparams, dataclasses.replace(data, notes=(*data.notes, note))


def load_preset_head(model: keras.Model, hparams: dict[str, Any], spec: Spec) -> None:
    """Copies the head of the preset for the classes that the data has.

    Args:
        model: A model of `zoo.training.building.build_model`; its head is changed.
        hparams: Its hyperparameters.
        spec: Spec of the data.
    """
    preset = hparams.get("preset", "")
    if not preset or model.name != _NAME or hparams.get("pooling") != _FIRST:
        return
    head = find_head(preset)
    if head is None or head.class_names is None:
        return
    common, _ = _compare_classes(head, spec)
    columns = [(spec.class_names or ()).index(name) for name in common]
    source_columns = [head.class_names.index(name) for name in common]
    layer = model.get_layer(HEAD)
    arrays = layer.get_weights()
    for array, trained in zip(arrays, head.last, strict=True):
        array[..., columns] = trained[..., source_columns]
    set_layer_weights(layer, arrays)


def _describe_classes(names: tuple[str, ...], multilabel: bool) -> str:
    """Returns the classes of a head in words."""
    return f"{'several of ' if multilabel else ''}{shorten_names(names)}"


def _compare_classes(head: TextHead, spec: Spec) -> tuple[list[str], list[str]]:
    """Returns the classes of the data that the head has, and the others."""
    names = spec.class_names or ()
    # several labels per text are independent, where one is chosen of the classes
    known = (head.class_names or ()) if spec.multilabel == head.multilabel else ()
    return [x for x in names if x in known], [x for x in names if x not in known]
