"""Scores predictions, with plots and lists of the mistakes."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.data.spec import Spec
from zoo.data.splits import Data, Split, pick_inputs
from zoo.evaluation.decision_threshold import choose_classes
from zoo.evaluation.label_thresholds import select_labels
from zoo.evaluation.multilabel_scores import find_worst_label_mistakes, score_multilabel
from zoo.evaluation.plots import (
    MAX_EXAMPLES,
    plot_class_scores,
    plot_confusion,
    plot_mistakes,
    plot_predictions,
    plot_reliability,
)
from zoo.evaluation.predictions import Predictions, predict_split
from zoo.evaluation.scores import (
    compute_probabilities,
    find_worst_mistakes,
    score_classification,
    score_regression,
)
from zoo.storage.atomic import write_text

_FILES = (  # of an earlier evaluation in the same folder, of another kind perhaps
    "predictions.png",
    "confusion.png",
    "reliability.png",
    "classes.png",
    "examples.png",
    "mistakes.txt",
)


def evaluate_model(
    model: keras.Model, data: Data, batch_size: int, run_dir: Path
) -> tuple[dict[str, Any], Predictions]:
    """Scores the model on the test split, and writes plots as `score_and_plot` does.

    Returns:
        The scores of `score_predictions`, and the predictions.
    """
    predictions = predict_split(model, data.test, data.spec, batch_size)
    raw = data.raw_test or data.test
    return score_and_plot(predictions, raw, data.spec, "test", run_dir), predictions


def score_and_plot(
    predictions: Predictions, split: Split, spec: Spec, split_name: str, directory: Path
) -> dict[str, Any]:
    """Scores predictions, and writes plots of them.

    Args:
        predictions: The predictions.
        split: The split that they are for, with texts as strings.
        spec: Spec of the data.
        split_name: Name of the split in the plots, such as "test".
        directory: Gets predictions.png for a regression; otherwise confusion.png and
            reliability.png, or classes.png for several labels per example, and the most confident
            mistakes: examples.png for images, mistakes.txt for texts.

    Returns:
        The scores of `score_predictions`.
    """
    for name in _FILES:
        (directory / name).unlink(missing_ok=True)
    target, output = predictions.target, predictions.output
    scores = score_predictions(predictions, spec)
    if spec.class_names is None:
        title, path = f"The {split_name} split", directory / "predictions.png"
        plot_predictions(target[:, 0], output[:, 0], title, path)
        return scores
    if spec.multilabel:
        plot_class_scores(scores["per_class"], f"The {split_name} split", directory / "classes.png")
    else:
        predicted = find_classes(predictions, spec)
        plot_confusion(target, predicted, spec.class_names, directory / "confusion.png")
        plot_reliability(target, compute_probabilities(output), directory / "reliability.png")
    if spec.kind != "features":
        _save_mistakes(predictions, split, spec, split_name, directory)
    return scores


def score_predictions(predictions: Predictions, spec: Spec) -> dict[str, Any]:
    """Returns the scores of the task, as `score_classification` and its like do."""
    target, output = predictions.target, predictions.output
    if spec.class_names is None:
        return score_regression(target[:, 0], output[:, 0])
    if spec.multilabel:
        selected = find_labels(predictions, spec)
        return score_multilabel(target, output, selected, spec.class_names, spec.thresholds)
    return score_classification(target, output, spec.class_names, find_classes(predictions, spec))


def find_classes(predictions: Predictions, spec: Spec) -> np.ndarray:
    """Returns the predicted classes, int64 (n,)."""
    if predictions.classes is not None:
        return predictions.classes
    return choose_classes(predictions.output, spec.threshold)


def find_labels(predictions: Predictions, spec: Spec) -> np.ndarray:
    """Returns which labels are predicted, bool (n, classes)."""
    if predictions.selected is not None:
        return predictions.selected
    return select_labels(predictions.output, spec.thresholds)


def _save_mistakes(
    predictions: Predictions, split: Split, spec: Spec, split_name: str, directory: Path
) -> None:
    """Writes the most confident mistakes: a plot of images, or a file of texts."""
    mistakes = find_mistakes(predictions, spec)
    titles = [mistake.title for mistake in mistakes]
    rows = [int(predictions.rows[mistake.index]) for mistake in mistakes]
    examples = pick_inputs(split, rows)
    heading = f"Most confident mistakes on the {split_name} split" if rows else "No mistakes"
    if spec.kind == "image":
        plot_mistakes(examples, titles, heading, directory / "examples.png")
        return
    lines = [heading]
    for text, title, row in zip(examples, titles, rows, strict=True):
        lines += ["", f"{title}, row {row}:"]
        for value in np.atleast_1d(text):
            lines.append(value if isinstance(value, str) else value.decode(errors="replace"))
    write_text(directory / "mistakes.txt", "\n".join(lines) + "\n")


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A mistake of a model.

    Attributes:
        index: Index of the prediction.
        class_id: The class that is wrongly predicted or, of several labels, left out.
        title: What is wrong, in words.
    """

    index: int
    class_id: int
    title: str


def find_mistakes(predictions: Predictions, spec: Spec) -> list[Mistake]:
    """Returns the most confident mistakes, at most 25, one for each example."""
    if spec.multilabel:
        return _find_label_mistakes(predictions, spec)
    names, predicted = spec.class_names or (), find_classes(predictions, spec)
    return [
        Mistake(
            index,
            int(predicted[index]),
            f"{names[predictions.target[index]]}, predicted as {names[predicted[index]]} "
            f"({confidence:.0%})",
        )
        for index, confidence in find_worst_mistakes(
            predictions.target, predictions.output, MAX_EXAMPLES, predicted
        )
    ]


def _find_label_mistakes(predictions: Predictions, spec: Spec) -> list[Mistake]:
    """Returns the most confident mistakes in the labels of examples that may have several."""
    names, selected = spec.class_names or (), find_labels(predictions, spec)
    worst = find_worst_label_mistakes(
        predictions.target, predictions.output, selected, MAX_EXAMPLES
    )
    mistakes = []
    for index, label, confidence in worst:
        true = ", ".join(names[i] for i in np.flatnonzero(predictions.target[index])) or "no label"
        wrong = "also predicted as" if selected[index, label] else "not predicted as"
        title = f"{true}, {wrong} {names[label]} ({confidence:.0%})"
        mistakes.append(Mistake(index, label, title))
    return mistakes
