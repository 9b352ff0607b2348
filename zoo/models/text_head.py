"""The head of a text classifier in a folder of Hugging Face."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UserError
from zoo.models.image_classes import make_unique
from zoo.models.text_folder import find_weight, list_weights, read_folder_config, read_weight

# by model_type: the dense layer of the first token, its activation, and the last layer
_LAYERS = {
    "albert": ("pooler", "tanh", "classifier"),
    "bert": ("pooler.dense", "tanh", "classifier"),
    "distilbert": ("pre_classifier", "relu", "classifier"),
    "roberta": ("classifier.dense", "tanh", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "tanh", "classifier.out_proj"),
}

Dense = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TextHead:
    """The layers of a text classifier above its encoder.

    Attributes:
        pooler: Kernel, float32 (width, width), and bias, float32 (width,), of the dense layer of
            the first token.
        activation: Its activation, as Keras names it.
        last: Kernel, float32 (width, classes), and bias, float32 (classes,), of the last layer.
        class_names: Names of the classes.
    """

    pooler: Dense
    activation: str
    last: Dense
    class_names: tuple[str, ...]


def read_head(folder: Path) -> TextHead:
    """Reads the head of a classifier.

    Args:
        folder: Folder of Hugging Face that can be read as a text encoder.

    Raises:
        UserError: if it has no head, or one that does not choose a class.
    """
    config, files = read_folder_config(folder), list_weights(folder)
    pooler, activation, last = _LAYERS[config["model_type"]]
    architecture = str((config.get("architectures") or [""])[0])
    if not (architecture.endswith("ForSequenceClassification") and f"{last}.weight" in files):
        raise UserError(
            f"it has no classifier ({architecture or 'no architectures in config.json':.60}), so "
            "it cannot name classes: train one with zoo train --model=text_encoder"
        )
    weights = _read_dense(files, last)
    names = _read_class_names(config, len(weights[1]))
    if config.get("problem_type") not in (None, "single_label_classification") or len(names) < 2:
        problem = config.get("problem_type") or "regression"
        raise UserError(
            f"its head is one of {problem!r:.40}, but only classifiers with one class per text can "
            "be used as they are: train it with zoo train --model=text_encoder"
        )
    return TextHead(_read_dense(files, pooler), activation, weights, names)


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
