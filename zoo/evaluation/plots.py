"""Plots of a training and of the predictions of a model, as PNG files."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from zoo.evaluation.scores import calibration_error
from zoo.storage.atomic import replace_file

MAX_EXAMPLES = 25  # mistakes in a plot

_MAX_NUMBERED_CLASSES = 30  # a larger confusion matrix has colours only
_MAX_SCORED_CLASSES = 60  # in a plot of bars
_without_formulas = rc_context({"text.parse_math": False})  # names may have dollar signs


def plot_curves(history: dict[str, list[float]], path: Path) -> None:
    """Plots the loss and the metrics of each epoch, for training and validation."""
    names = [name for name in history if f"val_{name}" in history]
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        epochs = range(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], marker=".", label="training")
        axes.plot(epochs, history[f"val_{name}"], marker=".", label="validation")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def plot_learning_rates(
    rates: np.ndarray,
    losses: np.ndarray,
    smoothed: np.ndarray,
    suggestion: float | None,
    path: Path,
) -> None:
    """Plots the losses of a range test at its learning rates, all float (n,).

    Args:
        rates: The learning rates.
        losses: The losses.
        smoothed: The smoothed losses.
        suggestion: A learning rate that is marked; or None.
        path: The PNG file.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="gray", linewidth=1, alpha=0.5, label="of each batch")
    axes.plot(rates, smoothed, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color="black", linestyle="--", label=f"{suggestion:g}")
    if losses.max() > 2 * smoothed[0] > losses.min():  # where it diverges
        axes.set_ylim(top=2 * smoothed[0])
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


@_without_formulas
def plot_confusion(
    target: np.ndarray, predicted: np.ndarray, class_names: tuple[str, ...], path: Path
) -> None:
    """Plots the confusion matrix, with numbers for up to 30 classes.

    Args:
        target: True classes, int64 (n,).
        predicted: Predicted classes, int64 (n,).
        class_names: Names of the classes.
        path: The PNG file.
    """
    size = min(4 + 0.4 * len(class_names), 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        target,
        predicted,
        labels=range(len(class_names)),
        display_labels=class_names,
        include_values=len(class_names) <= _MAX_NUMBERED_CLASSES,
        xticks_rotation="vertical",
        colorbar=False,
        cmap="Blues",
        ax=figure.subplots(),
    )
    save_figure(figure, path)


@_without_formulas
def plot_class_scores(per_class: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Plots the F1 and the average precision of each class of a multi-label task as bars.

    The classes are ordered by their number of examples; beyond 60 only the most frequent are shown.
    """
    rows = sorted(per_class, key=lambda row: row["examples"])[-_MAX_SCORED_CLASSES:]
    figure = Figure(figsize=(6, 1.5 + 0.3 * len(rows)), layout="constrained")
    axes, positions = figure.subplots(), np.arange(len(rows))
    for offset, key, label in ((0.2, "f1", "F1"), (-0.2, "average_precision", "average precision")):
        axes.barh(positions + offset, [row[key] or 0 for row in rows], 0.4, label=label)
    names = [f"{row['class']} ({row['examples']:,})" for row in rows]
    axes.set(yticks=positions, yticklabels=names, xlim=(0, 1), title=title)
    axes.legend()
    save_figure(figure, path)


def plot_reliability(target: np.ndarray, probabilities: np.ndarray, path: Path) -> None:
    """Plots the accuracy and the number of examples at each confidence.

    Args:
        target: True classes, int64 (n,).
        probabilities: Predicted probabilities, float (n, classes).
        path: The PNG file.
    """
    error, counts, confidence, accuracy = calibration_error(target, probabilities)
    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1)
    upper.plot(confidence, accuracy, marker="o")
    upper.set(ylabel="accuracy", title=f"Expected calibration error {error:.4f}")
    edges = np.arange(len(counts)) / len(counts)
    lower.bar(edges, counts, 1 / len(counts), align="edge", edgecolor="white")
    lower.set(xlabel="confidence", ylabel="examples", xlim=(0, 1))
    save_figure(figure, path)


@_without_formulas
def plot_mistakes(images: list[np.ndarray], titles: list[str], heading: str, path: Path) -> None:
    """Plots up to 25 images of shape (rows, columns, channels), each with its title."""
    figure = Figure(figsize=(10, 10.5))
    figure.suptitle(heading)
    # squares of two inches in one coordinate system: one for each image takes three times as long
    axes = figure.add_axes((0, 0, 1, 10 / 10.5))
    for place, (image, title) in enumerate(zip(images, titles, strict=False)):
        row, column = divmod(place, 5)
        rows, columns = 0.84 * np.array(image.shape[:2]) / max(image.shape[:2])
        left, bottom = column + (1 - columns) / 2, row + 0.56 + rows / 2
        axes.imshow(
            image.squeeze(-1) if image.shape[-1] == 1 else image,
            cmap="gray",
            extent=(left, left + columns, bottom, bottom - rows),
        )
        axes.text(column + 0.5, row + 0.56 - rows / 2, title, fontsize=8, ha="center", va="bottom")
    axes.set(xlim=(0, 5), ylim=(5, 0))
    axes.axis("off")
    save_figure(figure, path)


@_without_formulas
def plot_predictions(target: np.ndarray, output: np.ndarray, title: str, path: Path) -> None:
    """Plots predicted against true numbers, both float (n,)."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(target, output, s=8, alpha=0.5)
    axes.axline((float(target.mean()), float(target.mean())), slope=1, color="gray", linewidth=1)
    axes.set(xlabel="target", ylabel="prediction", title=title)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as a PNG file, atomically."""
    with replace_file(path) as draft, warnings.catch_warnings():
        # the names of classes may be in any script; those that no font has are drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        # `savefig` would lay the figure out and draw it once more before
        figure.set_dpi(100)
        FigureCanvasAgg(figure).print_png(draft)
