"""The decision threshold of two classes: how it is chosen, and what it makes of predictions."""

import dataclasses
from typing import Any

import keras
import numpy as np
from scipy import special

from zoo.data.splits import Data
from zoo.evaluation.predictions import predict_split
from zoo.recipe import Recipe, parse_threshold

_MAX_DIGITS = 9  # of a threshold that is chosen


def choose_classes(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """Returns the predicted classes, int64 (n,), as the signature `serving_default` does.

    Args:
        logits: Predicted logits, float (n, classes).
        threshold: Probability above which the second of two classes is predicted; None for the
            most probable class.
    """
    if threshold is None:
        return logits.argmax(-1)
    probabilities = special.softmax(np.asarray(logits, "float32"), axis=-1)[:, 1]
    return (probabilities > np.float32(threshold)).astype("int64")


def decide_threshold(
    model: keras.Model, data: Data, recipe: Recipe
) -> tuple[Data, dict[str, Any] | None]:
    """Returns the data with the threshold of the recipe in its spec, and how it was chosen.

    With "auto" it is the threshold with the best F1 of the second class on the validation split
    or, if the recipe monitors the accuracy, with the best accuracy there.

    Args:
        model: The trained model.
        data: The data, of which the validation split is used.
        recipe: Its `threshold`, `monitor` and `batch_size` are used.

    Returns:
        The data, and for metrics.json the threshold, the split and the score that it was chosen by,
        "" if it was not, and this score with it and with 0.5; None if the recipe has no threshold.
    """
    if not recipe.threshold:
        return data, None
    threshold = parse_threshold(recipe.threshold)
    chosen: dict[str, Any] = {"threshold": threshold, "split": "", "score": ""}
    if threshold is None:
        score = "accuracy" if recipe.monitor == "accuracy" else "f1"
        found = predict_split(model, data.validation, data.spec, recipe.batch_size)
        probabilities = special.softmax(np.asarray(found.output, "float32"), axis=-1)[:, 1]
        threshold, best, before = find_threshold(found.target, probabilities, score)
        chosen = {"threshold": threshold, "split": "validation", "score": score}
        chosen |= {"best": best, "at_half": before}
    return set_threshold(data, threshold), chosen


def set_threshold(data: Data, threshold: float) -> Data:
    """Returns data of two classes with a decision threshold in its spec."""
    # rounded, since 1 - 0.9 would be 0.09999999999999998
    thresholds = (round(1 - threshold, _MAX_DIGITS), threshold)
    return dataclasses.replace(data, spec=dataclasses.replace(data.spec, thresholds=thresholds))


def find_threshold(
    target: np.ndarray, probabilities: np.ndarray, score: str
) -> tuple[float, float, float]:
    """Finds the threshold with the best score; of equal ones that nearest to 0.5.

    Args:
        target: True classes, 0 or 1, int64 (n,).
        probabilities: Probabilities of class 1, float32 (n,).
        score: "f1" of class 1, or "accuracy".

    Returns:
        The threshold, with as few digits as the probabilities allow; its score; and that of 0.5.
    """
    # between two of these probabilities all thresholds predict the same
    edges = np.unique(np.concatenate([[0, 1], probabilities]).astype("float64"))
    middles = np.concatenate([[0.5], (edges[:-1] + edges[1:]) / 2])
    order = np.argsort(probabilities)
    first = np.searchsorted(probabilities[order], np.append(0.5, edges[:-1]).astype("f4"), "right")
    predicted = len(target) - first
    correct = np.append(target[order][::-1].cumsum()[::-1], 0)[first]
    if score == "f1":
        scores = 2 * correct / np.maximum(1, predicted + target.sum())
    else:
        scores = (correct + len(target) - target.sum() - (predicted - correct)) / len(target)
    best = np.lexsort([np.abs(middles - 0.5), -scores])[0]
    threshold = 0.5 if best == 0 else _round_between(edges[best - 1], edges[best])
    return threshold, float(scores[best]), float(scores[0])


def _round_between(low: float, high: float) -> float:
    """Returns a number from `low` on and below `high`, with few digits, and not 0."""
    middle = (low + high) / 2
    for digits in range(1, _MAX_DIGITS + 1):
        rounded = round(middle, digits)
        if low < np.float32(rounded) < high:
            return rounded
    return low or middle  # neighbours in float32


def format_threshold(
    threshold: float, class_names: tuple[str, ...], chosen: dict[str, Any] | None = None
) -> str:
    """Formats a threshold and, from `decide_threshold`, how it was chosen, as one line."""
    line = f"threshold: {class_names[1]} is predicted above a probability of {threshold:.6g}"
    if not (chosen and chosen["score"]):
        return line
    name = "F1" if chosen["score"] == "f1" else chosen["score"]
    return (
        f"{line} ({name} on the {chosen['split']} split: {chosen['best']:.2%}, with 0.5 "
        f"{chosen['at_half']:.2%})"
    )
