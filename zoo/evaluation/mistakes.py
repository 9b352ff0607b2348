"""Scores of predictions, with plots and lists of the mistakes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import special

from zoo.data.spec import Spec
from zoo.data.splits import Data, Split, pick_inputs
from zoo.evaluation.plots import (
    MAX_EXAMPLES,
    plot_confusion,
    plot_mistakes,
    plot_predictions,
    plot_reliability,
)
from zoo.evaluation.predictions import Predictions, predict_split
from zoo.evaluation.scores import find_worst_mistakes, score_classification, score_regression
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
        directory: Gets predictions.png for a regression; otherwise confusion.png, reliability.png
            and the most confident mistakes: examples.png for images, mistakes.txt for texts.

    Returns:
        The scores of `score_predictions`.
    """
    target, output = predictions.target, predictions.output
    if spec.class_names is None:
        title, path = f"The {split_name} split", directory / "predictions.png"
        plot_predictions(target[:, 0], output[:, 0], title, path)
        return score_predictions(predictions, spec)
    plot_confusion(target, output.argmax(-1), spec.class_names, directory / "confusion.png")
    probabilities = special.softmax(np.asarray(output, "float64"), axis=-1)
    plot_reliability(target, probabilities, directory / "reliability.png")
    if spec.kind != "features":
        _save_mistakes(predictions, split, spec, split_name, directory)
    return score_predictions(predictions, spec)


def score_predictions(predictions: Predictions, spec: Spec) -> dict[str, Any]:
    """Returns the scores of `score_classification` or `score_regression`."""
    if spec.class_names is None:
        return score_regression(predictions.target[:, 0], predictions.output[:, 0])
    return score_classification(predictions.target, predictions.output, spec.class_names)


def _save_mistakes(
    predictions: Predictions, split: Split, spec: Spec, split_name: str, directory: Path
) -> None:
    """Writes the most confident mistakes: a plot of images, or a file of texts."""
    worst = find_worst_mistakes(predictions.target, predictions.output, MAX_EXAMPLES)
    rows = [int(predictions.rows[index]) for index, _ in worst]
    examples = pick_inputs(split, rows)
    names = spec.class_names or ()
    predicted = predictions.output.argmax(-1)
    titles = [
        f"{names[predictions.target[index]]}, predicted as {names[predicted[index]]} "
        f"({confidence:.0%})"
        for index, confidence in worst
    ]
    heading = f"Most confident mistakes on the {split_name} split" if worst else "No mistakes"
    if spec.kind == "image":
        plot_mistakes(examples, titles, heading, directory / "examples.png")
        return
    lines = [heading]
    for text, title, row in zip(examples, titles, rows, strict=True):
        lines += ["", f"{title}, row {row}:"]
        for value in np.atleast_1d(text):
            lines.append(value if isinstance(value, str) else value.decode(errors="replace"))
    write_text(directory / "mistakes.txt", "\n".join(lines) + "\n")
