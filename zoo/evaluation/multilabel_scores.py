"""Scores of several labels per example, computed with NumPy, SciPy and scikit-learn only."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special, stats
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

_NAMES = ("precision", "recall", "f1")
_RESAMPLES = 2000  # of the bootstrap
_RESAMPLED_NUMBERS = 10_000_000  # at a time, for the memory


def score_multilabel(
    target: np.ndarray,
    logits: np.ndarray,
    selected: np.ndarray,
    class_names: Sequence[str],
    thresholds: Sequence[float] = (),
) -> dict[str, Any]:
    """Returns the scores of a multi-label task.

    Args:
        target: True labels, 0 or 1, (n, classes).
        logits: Predicted logits, float (n, classes).
        selected: Which labels are predicted, bool (n, classes).
        class_names: Names in the order of the classes.
        thresholds: The threshold of each class, if they are known.

    Returns:
        loss: Mean binary cross-entropy.
        f1, f1_interval: F1 of all labels together, and its 95% bootstrap interval (seeded).
        micro: Precision, recall and F1 of all labels together.
        macro: Means of precision, recall and F1 over the classes that occur or are predicted.
        mean_average_precision: Mean of the average precision of the classes that occur, or None.
        subset_accuracy, labels_per_example, f1_at_half, baseline: See `_compare_labels`.
        per_class: Name, precision, recall, F1, average precision (None if it does not occur),
            threshold (None if it is not known) and number of examples of each class.
        examples: n.
    """
    target, logits = np.asarray(target, "int64"), np.asarray(logits, "float64")
    columns = precision_recall_fscore_support(target, selected, zero_division=0)
    precisions = [
        float(average_precision_score(*pair)) if pair[0].any() else None
        for pair in zip(target.T, logits.T, strict=True)
    ]
    micro = _score_all_labels(target, selected)
    return {
        "loss": float((np.logaddexp(0, logits) - target * logits).mean()),
        "f1": micro["f1"],
        "f1_interval": _bootstrap_f1(target, selected),
        "micro": micro,
        "macro": _average_classes(columns, np.any(target + selected, axis=0)),
        "mean_average_precision": _average([x for x in precisions if x is not None]),
        **_compare_labels(target, logits, selected),
        "per_class": _list_classes(columns, precisions, class_names, thresholds),
        "examples": len(target),
    }


def _compare_labels(target: np.ndarray, logits: np.ndarray, selected: np.ndarray) -> dict[str, Any]:
    """Returns scores of the predicted labels of whole examples, and what to compare F1 with.

    Returns:
        subset_accuracy: Share of examples whose labels are all right.
        labels_per_example: Mean number of true and of predicted labels.
        f1_at_half: F1 of all labels together if all thresholds were 0.5.
        baseline: `f1` of predicting all labels for all examples, and the `mean_average_precision`
            that is expected of a random order.
    """
    occurs = target.any(axis=0)
    return {
        "subset_accuracy": float((target == selected).all(axis=1).mean()),
        "labels_per_example": {
            name: float(labels.sum(axis=1).mean())
            for name, labels in (("true", target), ("predicted", selected))
        },
        "f1_at_half": _score_all_labels(target, logits > 0)["f1"],
        "baseline": {
            "f1": _score_all_labels(target, np.ones_like(selected))["f1"],
            "mean_average_precision": _average(target.mean(axis=0)[occurs]),
        },
    }


def _average_classes(columns: Sequence[np.ndarray], is_scored: np.ndarray) -> dict[str, float]:
    """Returns the means of precision, recall and F1 over the classes that are scored."""
    return {
        name: _average(column[is_scored]) or 0.0
        for name, column in zip(_NAMES, columns, strict=False)
    }


def _list_classes(
    columns: Sequence[np.ndarray],
    precisions: Sequence[float | None],
    class_names: Sequence[str],
    thresholds: Sequence[float],
) -> list[dict[str, Any]]:
    """Returns the scores of each class; `columns` has one array for each score."""
    return [
        {
            "class": name,
            **{key: float(column[i]) for key, column in zip(_NAMES, columns, strict=False)},
            "average_precision": precisions[i],
            "threshold": thresholds[i] if thresholds else None,
            "examples": int(columns[3][i]),
        }
        for i, name in enumerate(class_names)
    ]


def find_worst_label_mistakes(
    target: np.ndarray, logits: np.ndarray, selected: np.ndarray, most: int
) -> list[tuple[int, int, float]]:
    """Returns the most confident mistakes, one for each example, at most `most`.

    Args:
        target: True labels, 0 or 1, (n, classes).
        logits: Predicted logits, float (n, classes).
        selected: Which labels are predicted, bool (n, classes).
        most: Number of mistakes.

    Returns:
        The index of the example, that of the class, and the probability of the wrong answer.
    """
    probabilities = special.expit(np.asarray(logits, "float64"))
    confidence = np.where(selected, probabilities, 1 - probabilities)
    confidence[selected == (np.asarray(target) > 0)] = -1
    worst = confidence.argmax(axis=1)
    largest = confidence.max(axis=1)
    order = np.argsort(-largest, kind="stable")[:most]
    return [(int(i), int(worst[i]), float(largest[i])) for i in order if largest[i] >= 0]


def format_label_table(scores: dict[str, Any]) -> list[str]:
    """Formats the scores of each class as a table, with the scores that are no class's below."""
    rows = [*scores["per_class"], {"class": "micro", **scores["micro"]}]
    rows.append({"class": "macro", **scores["macro"]})
    width = max(5, *(len(row["class"]) for row in rows))
    lines = [f"{'class':{width}}  precision  recall      F1      AP  threshold  examples"]
    for row in rows:
        numbers = f"{row['precision']:>9.2%} {row['recall']:>7.2%} {row['f1']:>7.2%}"
        for name, form in (("average_precision", "7.2%"), ("threshold", "10.4f")):
            numbers += f" {'' if row.get(name) is None else format(row[name], form):>{form[:-3]}}"
        lines.append(f"{row['class']:{width}}  {numbers}  {row.get('examples', ''):>8}".rstrip())
    labels = scores["labels_per_example"]
    return [
        *lines,
        f"all labels right for {scores['subset_accuracy']:.2%} of the examples; labels per "
        f"example: {labels['true']:.2f}, predicted {labels['predicted']:.2f}",
        f"micro F1 with all thresholds at 0.5: {scores['f1_at_half']:.2%}; of predicting all "
        f"labels: {scores['baseline']['f1']:.2%}",
    ]


def _score_all_labels(target: np.ndarray, selected: np.ndarray) -> dict[str, float]:
    """Returns precision, recall and F1 of all labels together; 0 where they are not defined."""
    correct = int((target * selected).sum())
    predicted, present = int(selected.sum()), int(target.sum())
    return {
        "precision": correct / max(predicted, 1),
        "recall": correct / max(present, 1),
        "f1": 2 * correct / max(predicted + present, 1),
    }


def _bootstrap_f1(target: np.ndarray, selected: np.ndarray) -> list[float]:
    """Returns the 95% percentile interval of the F1 of all labels together, over the examples."""
    counts = _count_labels(target, selected)
    if len(target) < 2:
        return [float(_compute_f1(*counts))] * 2
    return list(_bootstrap(counts, _compute_f1))


def resample_f1(
    target: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[float, float, tuple[float, float]]:
    """Compares the F1 of all labels together of two models, over the same examples.

    Args:
        target: True labels, 0 or 1, (n, classes), n of at least 2.
        before: Labels that the first model predicts, bool (n, classes).
        after: Those of the second one.

    Returns:
        The F1 of both, and the 95% bootstrap interval of the difference (seeded).
    """
    old, new = _count_labels(target, before), _count_labels(target, after)

    def compute_difference(*counts, axis=-1):
        old_correct, old_total, new_correct, new_total = counts
        return _compute_f1(new_correct, new_total, axis) - _compute_f1(old_correct, old_total, axis)

    limits = _bootstrap((*old, *new), compute_difference)
    return float(_compute_f1(*old)), float(_compute_f1(*new)), limits


def _count_labels(target: np.ndarray, selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of right labels, and of true and predicted ones, of each example."""
    return (target * selected).sum(axis=1), (target + selected).sum(axis=1)


def _compute_f1(correct: np.ndarray, total: np.ndarray, axis: int = -1) -> np.ndarray:
    return 2 * correct.sum(axis=axis) / np.maximum(total.sum(axis=axis), 1)


def _bootstrap(samples: tuple[np.ndarray, ...], statistic: Callable) -> tuple[float, float]:
    """Returns the 95% percentile interval of a statistic, over the examples (seeded)."""
    result = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=_RESAMPLES,
        batch=max(1, _RESAMPLED_NUMBERS // len(samples[0])),
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _average(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
