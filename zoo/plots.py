"""Drawings of a training and of what a model gets wrong, each a PNG file."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from zoo import scores
from zoo.run_folder import replacing

EXAMPLES = 25  # mistakes that are drawn

_MOST_CLASSES = 30  # in a confusion matrix with numbers


def curves(history: dict[str, list[float]], path: Path) -> None:
    """Draws the loss and the score of each epoch, in training and in validation."""
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
    save(figure, path)


def confusion(
    target: np.ndarray, given: np.ndarray, class_names: tuple[str, ...], path: Path
) -> None:
    """Draws how often each class, int64 (n,), was taken for each; with numbers up to 30 classes."""
    size = min(4 + 0.4 * len(class_names), 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        target,
        given,
        labels=range(len(class_names)),
        display_labels=class_names,
        include_values=len(class_names) <= _MOST_CLASSES,
        xticks_rotation="vertical",
        colorbar=False,
        cmap="Blues",
        ax=figure.subplots(),
    )
    save(figure, path)


def reliability(target: np.ndarray, probabilities: np.ndarray, path: Path) -> None:
    """Draws the accuracy at each confidence, and how many examples have it.

    Args:
        target: True classes, int64 (n,).
        probabilities: (n, classes).
        path: The file.
    """
    error, counts, confidence, accuracy = scores.calibration(target, probabilities)
    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1)
    upper.plot(confidence, accuracy, marker="o")
    upper.set(ylabel="accuracy", title=f"Expected calibration error {error:.4f}")
    edges = np.arange(len(counts)) / len(counts)
    lower.bar(edges, counts, 1 / len(counts), align="edge", edgecolor="white")
    lower.set(xlabel="confidence", ylabel="examples", xlim=(0, 1))
    save(figure, path)


def mistakes(images: list[np.ndarray], titles: list[str], heading: str, path: Path) -> None:
    """Draws up to 25 images of shape (rows, columns, channels), each under its title."""
    # at fixed places: to find them would take as long as the drawing
    figure = Figure(figsize=(10, 10.5))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.92, wspace=0.1, hspace=0.15)
    for axes in (grid := figure.subplots(5, 5)).flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
        axes.set_title(title, fontsize=8)
    figure.suptitle(heading)
    save(figure, path)


def predictions(target: np.ndarray, output: np.ndarray, title: str, path: Path) -> None:
    """Draws predicted against true numbers, both (n,)."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(target, output, s=8, alpha=0.5)
    axes.axline((float(target.mean()), float(target.mean())), slope=1, color="gray", linewidth=1)
    axes.set(xlabel="target", ylabel="prediction", title=title)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG, all of it or nothing."""
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=100)
