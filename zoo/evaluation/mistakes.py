"""Scores of predictions, with plots and lists of the mistakes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import special

from zoo.data.spec import Spec
from zoo.data.splits import Data, Split, pick_inputs
from zoo.evaluation.decision_threshold import choose_classes
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
from zoo.evaluation.scores import find_worst_mistakes, score_classification, score_regression
from zoo.evaluation.thresholds import select_labels
from zoo.storage.atomic import write_text


def evaluate_model(
    model: keras.Model, data: Data, batch_size: int, run_dir: Path
) -> dict[str, Any]:
    """Scores the model on the test split, and writes plots as `score_and_plot` does."""
    predictions = predict_split(model, data.test, data.spec, batch_size)
    return score_and_plot(predictions, data.raw_test or data.test, data.spec, "test", run_dir)


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
    target, output = predictions.target, predictions.output
    scores = score_predictions(predictions, spec)
    if spec.class_names is None:
        title, path = f"The {split_name} split", directory / "predictions.png"
        plot_predictions(target[:, 0], output[:, 0], title, path)
        return scores
    if spec.multilabel:
        plot_class_scores(scores["per_class"], f"The {split_name} split", directory / "classes.png")
    else:
        predicted = _find_classes(predictions, spec)
        plot_confusion(target, predicted, spec.class_names, directory / "confusion.png")
        probabilities = special.softmax(np.asarray(output, "float64"), axis=-1)
        plot_reliability(target, probabilities, directory / "reliability.png")
    if spec.kind != "features":
        _save_mistakes(predictions, split, spec, split_name, directory)
    return scores


def score_predictions(predictions: Predictions, spec: Spec) -> dict[str, Any]:
    """Returns the scores of the task, as `score_classification` and its like do."""
    target, output = predictions.target, predictions.output
    if spec.class_names is None:
        return score_regression(target[:, 0], output[:, 0])
    if spec.multilabel:
        selected = _select_labels(predictions, spec)
        return score_multilabel(target, output, selected, spec.class_names, spec.thresholds)
    return score_classification(target, output, spec.class_names, _find_classes(predictions, spec))


def _find_classes(predictions: Predictions, spec: Spec) -> np.ndarray:
    """Returns the predicted classes, int64 (n,)."""
    if predictions.classes is not None:
        return predictions.classes
    return choose_classes(predictions.output, spec.threshold)


def _select_labels(predictions: Predictions, spec: Spec) -> np.ndarray:
    """Returns which labels are predicted, bool (n, classes)."""
    if predictions.selected is not None:
        return predictions.selected
    return select_labels(predictions.output, spec.thresholds)


def _save_mistakes(
    predictions: Predictions, split: Split, spec: Spec, split_name: str, directory: Path
) -> None:
    """Writes the most confident mistakes: a plot of images, or a file of texts."""
    describe = _describe_label_mistakes if spec.multilabel else _describe_mistakes
    titles = describe(predictions, spec)
    rows = [int(predictions.rows[index]) for index in titles]
    examples = pick_inputs(split, rows)
    heading = f"Most confident mistakes on the {split_name} split" if rows else "No mistakes"
    if spec.kind == "image":
        plot_mistakes(examples, list(titles.values()), heading, directory / "examples.png")
        return
    lines = [heading]
    for text, title, row in zip(examples, titles.values(), rows, strict=True):
        lines += ["", f"{title}, row {row}:"]
        for value in np.atleast_1d(text):
            lines.append(value if isinstance(value, str) else value.decode(errors="replace"))
    write_text(directory / "mistakes.txt", "\n".join(lines) + "\n")


def _describe_mistakes(predictions: Predictions, spec: Spec) -> dict[int, str]:
    """Returns a title for each of the most confident mistakes, by its index."""
    names, predicted = spec.class_names or (), _find_classes(predictions, spec)
    worst = find_worst_mistakes(predictions.target, predictions.output, MAX_EXAMPLES, predicted)
    return {
        index: f"{names[predictions.target[index]]}, predicted as {names[predicted[index]]} "
        f"({confidence:.0%})"
        for index, confidence in worst
    }


def _describe_label_mistakes(predictions: Predictions, spec: Spec) -> dict[int, str]:
    """Returns a title for each example with a confident mistake in a label, by its index."""
    names, selected = spec.class_names or (), _select_labels(predictions, spec)
    worst = find_worst_label_mistakes(
        predictions.target, predictions.output, selected, MAX_EXAMPLES
    )
    titles = {}
    for index, label, confidence in worst:
        true = ", ".join(names[i] for i in np.flatnonzero(predictions.target[index])) or "no label"
        mistake = "also predicted as" if selected[index, label] else "not predicted as"
        titles[index] = f"{true}, {mistake} {names[label]} ({confidence:.0%})"
    return titles
