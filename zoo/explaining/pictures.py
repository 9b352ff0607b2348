"""Pictures of attributions, as PNG files: red speaks for the prediction, blue against it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from zoo.evaluation.plots import save_figure
from zoo.explaining.explanation import Explanation

FOR, AGAINST = "#d62728", "#1f77b4"  # red and blue of matplotlib's own cycle

_MAX_BARS, _MAX_BARS_OF_GRID = 20, 6
_without_formulas = rc_context({"text.parse_math": False})  # names may have dollar signs


@_without_formulas
def draw_overlay(image: np.ndarray, explanation: Explanation, title: str, path: Path) -> None:
    """Draws an image, and beside it the image with its attributions on top.

    Args:
        image: uint8 of shape (rows, columns, channels).
        explanation: Its attributions.
        title: Title of the picture.
        path: The PNG file.
    """
    rows, columns, _ = image.shape
    width = 8.0
    figure = Figure(figsize=(width, width / 2 * rows / columns + 0.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
    left.axis("off")
    right.imshow(blend_overlay(image, explanation.attributions))
    right.axis("off")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def blend_overlay(image: np.ndarray, attributions: np.ndarray) -> np.ndarray:
    """Returns an image in light grey, with its attributions on top.

    Args:
        image: uint8 of shape (rows, columns, channels).
        attributions: float32 of shape (rows, columns).

    Returns:
        Colours from 0 to 1, float64 of shape (rows, columns, 3).
    """
    grey = 1 - 0.4 * (1 - image[..., :3].mean(axis=-1, keepdims=True) / 255)
    sizes = np.abs(attributions)
    largest = float(np.quantile(sizes, 0.999)) or float(sizes.max()) or 1.0
    strength = np.clip(sizes / largest, 0, 1)[..., None]
    colours = np.where(attributions[..., None] > 0, to_rgb(FOR), to_rgb(AGAINST))
    return grey * (1 - strength) + colours * strength


@_without_formulas
def draw_bars(explanation: Explanation, title: str, path: Path) -> None:
    """Draws the attributions of a row's columns as bars, the largest on top."""
    count = min(len(explanation.names), _MAX_BARS)
    figure = Figure(figsize=(7, 1.3 + 0.3 * count), layout="constrained")
    axes = figure.subplots()
    show_bars(axes, explanation, _MAX_BARS)
    axes.set_xlabel("attribution")
    axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def show_bars(axes: Axes, explanation: Explanation, most: int) -> None:
    """Shows the largest attributions of a row as bars; the other columns have one together."""
    attributions = explanation.attributions
    order = np.argsort(-np.abs(attributions), kind="stable")
    rest = order[most - 1 :] if len(order) > most else order[:0]
    shown = order[: len(order) - len(rest)]
    labels = [f"{explanation.names[i]} = {format_cell(explanation.values[i])}" for i in shown]
    sizes = attributions[shown].tolist()
    if len(rest):
        labels.append(f"{len(rest)} other columns")
        sizes.append(float(attributions[rest].sum()))
    colours = [FOR if size > 0 else AGAINST for size in sizes]
    places = range(len(sizes))
    axes.barh(places, sizes, color=colours)
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params("x", labelsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="gray", linewidth=0.8)


@_without_formulas
def draw_grid(
    images: Sequence[np.ndarray] | np.ndarray,
    explanations: Sequence[Explanation],
    titles: Sequence[str],
    path: Path,
) -> None:
    """Draws up to 9 explanations: images with their attributions on top, or bars of columns.

    Args:
        images: uint8 images of shape (rows, columns, channels); empty for tables.
        explanations: Their attributions.
        titles: A title for each.
        path: The PNG file.
    """
    figure = Figure(figsize=(12, 10.5))
    # a fixed layout: to compute one takes as long as the picture itself
    if len(images):
        figure.subplots_adjust(0.01, 0.01, 0.99, 0.95, wspace=0.05, hspace=0.15)
    else:
        figure.subplots_adjust(0.13, 0.03, 0.98, 0.95, wspace=0.8, hspace=0.3)
    for number, (explanation, title) in enumerate(zip(explanations, titles, strict=True)):
        axes = figure.add_subplot(3, 3, 1 + number)
        axes.set_title(title, fontsize=8)
        if len(images):
            axes.imshow(blend_overlay(images[number], explanation.attributions))
            axes.axis("off")
        else:
            show_bars(axes, explanation, _MAX_BARS_OF_GRID)
    save_figure(figure, path)


@_without_formulas
def draw_importances(
    names: Sequence[str], means: np.ndarray, spreads: np.ndarray, score: str, path: Path
) -> None:
    """Draws the permutation importance of columns as bars, the largest on top.

    Args:
        names: Names of the columns.
        means: Mean fall of the score, float (columns,).
        spreads: Its standard deviation over the repetitions, float (columns,).
        score: Name of the score.
        path: The PNG file.
    """
    order = np.argsort(-means, kind="stable")[: 2 * _MAX_BARS]
    figure = Figure(figsize=(7, 1.3 + 0.3 * len(order)), layout="constrained")
    axes = figure.subplots()
    places = range(len(order))
    axes.barh(places, means[order], xerr=spreads[order], color="gray")
    axes.set_yticks(places, [names[i] for i in order], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"{score} without the column")
    save_figure(figure, path)


def format_cell(value: object) -> str:
    """Formats a cell of a table in at most 20 characters."""
    if value is None:
        return "(missing)"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."
