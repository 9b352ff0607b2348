"""Thresholds of a multi-label task: the probability above which each class is predicted.

They are chosen on the validation split: for each class the one with the highest F1, as
'SCut' in Yang 2001, 'A study of thresholding strategies for text categorization'.
"""

import dataclasses

import keras
import numpy as np
from scipy import special
from sklearn.metrics import precision_recall_curve

from zoo.data.splits import Data
from zoo.errors import shorten_names
from zoo.evaluation.predictions import predict_split

_DEFAULT = 0.5
_MIN_EXAMPLES = 5  # with and without a label, to choose its threshold by


def select_labels(logits: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """Returns which labels are predicted, bool (n, classes), with the arithmetic of the export.

    Args:
        logits: Predicted logits, float (n, classes).
        thresholds: As in `Spec`.
    """
    probabilities = special.expit(np.asarray(logits, "float32"))
    return probabilities > np.asarray(thresholds or _DEFAULT, "float32")


def choose_thresholds(model: keras.Model, data: Data, batch_size: int) -> tuple[Data, str]:
    """Chooses the thresholds of a trained model on the validation split.

    Args:
        model: The trained model.
        data: The data; that of another task is returned as it is.
        batch_size: Examples per batch.

    Returns:
        The data with the thresholds in its spec, and a note on classes that have too few
        examples in the validation split, which keep the threshold 0.5; it may be "".
    """
    if not data.spec.multilabel:
        return data, ""
    found = predict_split(model, data.validation, data.spec, batch_size)
    thresholds = find_thresholds(found.target, found.output)
    spec = dataclasses.replace(
        data.spec, thresholds=tuple(_DEFAULT if t is None else t for t in thresholds)
    )
    names = [name for name, t in zip(spec.class_names or (), thresholds, strict=True) if t is None]
    note = (
        f"the threshold of {shorten_names(names)} stays {_DEFAULT}: the validation split has fewer "
        f"than {_MIN_EXAMPLES} examples with or without it"
    )
    return dataclasses.replace(data, spec=spec), note if names else ""


def find_thresholds(target: np.ndarray, logits: np.ndarray) -> list[float | None]:
    """Returns the threshold with the highest F1 for each class, or None for too few examples.

    It is in the middle between two predicted probabilities; of equally good ones it is the nearest
    to 0.5.

    Args:
        target: True labels, 0 or 1, (n, classes).
        logits: Predicted logits, float (n, classes).
    """
    probabilities = special.expit(np.asarray(logits, "float32"))
    return [
        _find_threshold(target[:, number], probabilities[:, number])
        for number in range(target.shape[1])
    ]


def _find_threshold(target: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Returns the threshold of one class, of targets and float32 probabilities (n,)."""
    present = int(target.sum())
    if min(present, len(target) - present) < _MIN_EXAMPLES:
        return None
    precision, recall, values = precision_recall_curve(target, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    # `values[i]` and all above it are predicted by a threshold between it and the one before
    below = np.concatenate([[0], values[:-1]]).astype("float32")
    middle = (below + values) / np.float32(2)
    middle = np.where(middle < values, middle, below)  # two neighbours have nothing between them
    best = np.flatnonzero(f1[:-1] >= f1[:-1].max() - 1e-12)
    chosen = middle[best[np.abs(middle[best] - _DEFAULT).argmin()]]
    return float(str(chosen))  # the shortest decimal that is the same 32-bit number
