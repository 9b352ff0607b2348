"""The head of a classifier or a regression of texts in a folder of Hugging Face."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UserError
from zoo.models.presets.image_classes import make_unique
from zoo.models.presets.preset_errors import explain_preset_errors
from zoo.models.presets.text_folder import (
    find_hugging_face,
    find_weight,
    list_weights,
    read_folder_config,
    read_weight,
)

_ONE, _SEVERAL, _NUMBER = "single_label_classification", "multi_label_classification", "regression"
# by model_type: the dense layer of the first token, its activation, and the last layer
_LAYERS = {
    "albert": ("pooler", "tanh", "classifier"),
    "bert": ("pooler.dense", "tanh", "classifier"),
    "distilbert": ("pre_classifier", "relu", "classifier"),
    "roberta": ("classifier.dense", "tanh", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "tanh", "classifier.out_proj"),
}

_EXPECTED = (
    "a folder of Hugging Face with config.json, model.safetensors and the files of a tokenizer"
)

Dense = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TextHead:
    """The layers above the encoder of a classifier or a regression of texts.

    Attributes:
        pooler: Kernel, float32 (width, width), and bias, float32 (width,), of the dense layer of
            the first token.
        activation: Its activation, as Keras names it.
        last: Kernel, float32 (width, classes), and bias, float32 (classes,), of the last layer.
        class_names: Names of the classes; None for a regression.
        multilabel: Whether a text has any number of the classes, and not one.
    """

    pooler: Dense
    activation: str
    last: Dense
    class_names: tuple[str, ...] | None
    multilabel: bool = False

    @property
    def has_own_names(self) -> bool:
        """Whether the classes have names, and not only those that Hugging Face makes up."""
        names = self.class_names or ()
        return names != tuple(f"LABEL_{i}" for i in range(len(names)))


def read_head(folder: Path) -> TextHead:
    """Reads the head of a classifier, or of a regression.

    Args:
        folder: Folder of Hugging Face that can be read as a text encoder.

    Raises:
        UserError: if it has no head, or one for several numbers per text.
    """
    config, files = read_folder_config(folder), list_weights(folder)
    pooler, activation, last = _LAYERS[config["model_type"]]
    if not has_head(config, files):
        architecture = str((config.get("architectures") or [""])[0])
        raise UserError(
            f"it has no classifier ({architecture or 'no architectures in config.json':.60}), so "
            "it cannot name classes: train one with zoo train --model=text_encoder"
        )
    weights = _read_dense(files, last)
    problem, count = config.get("problem_type"), len(weights[1])
    names = None if count == 1 else _read_class_names(config, count)
    if problem not in ((None, _NUMBER) if names is None else (None, _ONE, _SEVERAL)):
        raise UserError(
            f"its head is one of {problem!r:.40} with {count} outputs, but only those of classes "
            "or one number per text can be used as they are: train it with zoo train "
            "--model=text_encoder"
        )
    dense = _read_dense(files, pooler)
    return TextHead(dense, activation, weights, names, multilabel=problem == _SEVERAL)


def has_head(config: Mapping[str, Any], files: Mapping[str, Path]) -> bool:
    """Returns whether a folder has the layers of a classifier above its encoder.

    Args:
        config: Its config.json.
        files: The files of its weights.
    """
    architecture = str((config.get("architectures") or [""])[0])
    last = _LAYERS[config["model_type"]][2]
    return architecture.endswith("ForSequenceClassification") and f"{last}.weight" in files


def read_pooler(folder: Path) -> tuple[Dense, str] | None:
    """Returns the dense layer of the first token of a classifier, and its activation.

    Args:
        folder: Folder of Hugging Face that can be read as a text encoder.

    Returns:
        None if the folder has no classifier.

    Raises:
        UserError: if it has one, but lacks the layer.
    """
    config, files = read_folder_config(folder), list_weights(folder)
    if not has_head(config, files):
        return None
    name, activation, _ = _LAYERS[config["model_type"]]
    return _read_dense(files, name), activation


def load_head(preset: str) -> TextHead:
    """Reads the head of a classifier or a regression of Hugging Face.

    Args:
        preset: Folder of Hugging Face.

    Raises:
        UserError: if it cannot be read, or has no head, or one for several numbers per text.
    """
    with explain_preset_errors(preset, "a text classifier", _EXPECTED):
        folder = find_hugging_face(preset)
        if folder is None:
            raise UserError("only classifiers in folders of Hugging Face can be used as they are")
        return read_head(folder)


def find_head(preset: str) -> TextHead | None:
    """Returns the head of a preset if it is a classifier of Hugging Face.

    Args:
        preset: Name of a preset, or a folder.

    Returns:
        None if it has no head, or one for numbers.

    Raises:
        UserError: if it is a folder that cannot be read.
    """
    with explain_preset_errors(preset, "a text encoder", _EXPECTED):
        folder = find_hugging_face(preset)
        if folder is None or not read_pooler(folder):
            return None
    try:
        head = load_head(preset)
    except UserError:  # of several numbers
        return None
    return head if head.class_names else None


def _read_dense(files: Mapping[str, Path], name: str) -> Dense:
    """Reads a dense layer; PyTorch has its kernel transposed."""
    arrays = []
    for kind in ("weight", "bias"):
        full = find_weight(files, f"{name}.{kind}")
        if full is None:
            raise UserError(f"its weights have no {name}.{kind}")
        arrays.append(read_weight(files, full))
    return arrays[0].T, arrays[1]


def _read_class_names(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Returns the names of the classes in id2label, which has to have as many as the head."""
    labels = config.get("id2label") or {f"{i}": f"LABEL_{i}" for i in range(count)}
    if sorted(labels, key=int) != [str(i) for i in range(count)]:
        raise UserError(f"id2label has {len(labels)} names, but the head has {count} classes")
    return make_unique([str(labels[str(i)]) for i in range(count)])
