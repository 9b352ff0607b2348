"""Scores of predictions, by NumPy, SciPy and scikit-learn alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special, stats
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
)

BINS = 15  # of the confidence, as in Guo et al.


def classification(
    target: np.ndarray, logits: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """The scores of a classification.

    Args:
        target: True classes, int64 (n,).
        logits: (n, classes), of which softmax makes probabilities.
        class_names: Names in the order of the classes.

    Returns:
        loss: Mean cross-entropy.
        accuracy, accuracy_interval: Share that is right, and its 95% interval (Wilson).
        f1: Of the second of two classes, else the macro average.
        auc: Area under the ROC curve of the second of two classes; else the mean over the classes,
            each against the rest. Classes that do not occur are left out; None if nothing is left.
        calibration_error: As of `calibration`.
        macro: Means of precision, recall and f1 over the classes that occur or are predicted.
        per_class: Of each class its name, precision, recall, f1 and number of examples.
        examples: n.
    """
    probabilities = special.softmax(np.asarray(logits, "float64"), axis=-1)
    given, count = logits.argmax(-1), logits.shape[-1]
    right = int((given == target).sum())
    names = ("precision", "recall", "f1", "examples")
    columns = precision_recall_fscore_support(target, given, labels=range(count), zero_division=0)
    occurs = np.isin(range(count), np.union1d(target, given))
    macro = {
        name: float(column[occurs].mean())
        for name, column in zip(names[:3], columns[:3], strict=True)
    }
    per_class = [
        {"class": name, **dict(zip(names, map(np.ndarray.item, row), strict=True))}
        for name, *row in zip(class_names, *(c[:, None] for c in columns), strict=True)
    ]
    return {
        "loss": float(_cross_entropy(target, logits)),
        "accuracy": right / len(target),
        "accuracy_interval": interval(right, len(target)),
        "f1": per_class[1]["f1"] if count == 2 else macro["f1"],
        "auc": _auc(target, probabilities),
        "calibration_error": calibration(target, probabilities)[0],
        "macro": macro,
        "per_class": per_class,
        "examples": len(target),
    }


def regression(target: np.ndarray, output: np.ndarray) -> dict[str, Any]:
    """The scores of a regression.

    Args:
        target: True numbers, (n,).
        output: Predicted ones, (n,).

    Returns:
        loss and mse: Mean squared error.
        mae, mae_interval: Mean absolute error and its 95% interval (seeded bootstrap).
        r2: Coefficient of determination; None of one example.
        examples: n.
    """
    errors = np.abs(target - output)
    limits = [float(errors.mean())] * 2
    if errors.std() > 0:
        drawn = stats.bootstrap((errors,), np.mean, n_resamples=2000, rng=np.random.default_rng(0))
        limits = [float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)]
    mse = float(mean_squared_error(target, output))
    return {
        "loss": mse,
        "mse": mse,
        "mae": float(mean_absolute_error(target, output)),
        "mae_interval": limits,
        "r2": float(r2_score(target, output)) if len(target) > 1 else None,
        "examples": len(target),
    }


def interval(right: int, count: int) -> list[float]:
    """The 95% interval of a share, by Wilson's score."""
    found = stats.binomtest(right, count).proportion_ci(method="wilson")
    return [float(found.low), float(found.high)]


def calibration(
    target: np.ndarray, probabilities: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """How far the confidence is from the accuracy (Guo et al. 2017, arXiv 1706.04599, section 2).

    The confidence is the largest probability; its bins (0, 1/15], (1/15, 2/15], ... are equal.

    Args:
        target: True classes, int64 (n,).
        probabilities: (n, classes).

    Returns:
        The expected calibration error: the mean over the examples of the gap between accuracy and
        mean confidence in their bin. Of each bin, (15,): the number of examples, the mean
        confidence and the accuracy; NaN where it is empty.
    """
    confidence = probabilities.max(axis=-1)
    right = probabilities.argmax(-1) == target
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts, sure, correct = (
        np.bincount(bins, weights, BINS) for weights in (None, confidence, right)
    )
    error = float(np.abs(correct - sure).sum() / len(target))
    with np.errstate(invalid="ignore"):
        return error, counts, sure / counts, correct / counts


def worst(target: np.ndarray, logits: np.ndarray, most: int) -> list[tuple[int, float]]:
    """The most confidently wrong examples, at most `most`: (row, confidence)."""
    given = logits.argmax(-1)
    wrong = np.flatnonzero(given != target)
    probabilities = special.softmax(np.asarray(logits[wrong], "float64"), axis=-1)
    confidence = probabilities[np.arange(len(wrong)), given[wrong]]
    order = np.argsort(-confidence, kind="stable")[:most]
    return [(int(wrong[i]), float(confidence[i])) for i in order]


def table(scores: dict[str, Any]) -> list[str]:
    """The scores of each class and what sums them up, to be read; nothing for a regression."""
    if "per_class" not in scores:
        return []
    width = max(5, *(len(row["class"]) for row in scores["per_class"]))
    lines = [f"{'class':{width}}  precision  recall      F1  examples"]
    for row in [*scores["per_class"], {"class": "macro", **scores["macro"]}]:
        numbers = f"{row['precision']:>9.2%} {row['recall']:>7.2%} {row['f1']:>7.2%}"
        lines.append(f"{row['class']:{width}}  {numbers}  {row.get('examples', ''):>8}".rstrip())
    auc = "none" if scores["auc"] is None else f"{scores['auc']:.4f}"
    return [*lines, f"AUC {auc}, expected calibration error {scores['calibration_error']:.4f}"]


def _cross_entropy(target: np.ndarray, logits: np.ndarray) -> np.floating:
    rows = special.log_softmax(np.asarray(logits, "float64"), axis=-1)
    return -rows[np.arange(len(target)), target].mean()


def _auc(target: np.ndarray, probabilities: np.ndarray) -> float | None:
    count = probabilities.shape[-1]
    classes = [1] if count == 2 else range(count)
    areas = [
        roc_auc_score(target == c, probabilities[:, c])
        for c in classes
        if 0 < (target == c).sum() < len(target)
    ]
    return float(np.mean(areas)) if areas else None
