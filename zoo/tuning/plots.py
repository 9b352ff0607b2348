"""Plots of a study, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from zoo.evaluation.plots import save_figure
from zoo.tuning.domains import Choices, Domain, format_number
from zoo.tuning.objectives import Objective
from zoo.tuning.sampling import find_front
from zoo.tuning.search_space import HPARAM, Space
from zoo.tuning.trials import COMPLETE, PRUNED, Trial

_LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}


def plot_history(trials: Sequence[Trial], objective: Objective, path: Path) -> None:
    """Plots the objective of each trial, and the best one so far.

    Pruned trials are drawn at their last score.
    """
    complete = [trial for trial in trials if trial.state == COMPLETE]
    pruned = [trial for trial in trials if trial.state == PRUNED]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    numbers, values = [t.number for t in complete], [t.objectives[0] for t in complete]
    axes.scatter(numbers, values, s=18, label="complete")
    if pruned:
        last = [trial.progress[max(trial.progress)] for trial in pruned]
        axes.scatter([t.number for t in pruned], last, s=18, marker="x", color="gray",
                     label="pruned")  # fmt: skip
    keep = np.maximum if objective.maximize else np.minimum
    axes.step(numbers, keep.accumulate(values), where="post", color="C1", label="best so far")
    axes.set(xlabel="trial", ylabel=objective.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # a trial that diverged would leave the others in one line
    axes.set_ylim(*_choose_limits(values, objective))
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def plot_importance(importance: dict[str, float], objective: Objective, path: Path) -> None:
    """Plots the share of the objective's variance that each name explains."""
    figure = Figure(figsize=(7, 1 + 0.35 * len(importance)), layout="constrained")
    axes = figure.subplots()
    names = [name.removeprefix(HPARAM) for name in importance]
    bars = axes.barh(names, list(importance.values()))
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=f"share of the variance of {objective.name} (fANOVA)")
    save_figure(figure, path)


def plot_parallel(trials: Sequence[Trial], space: Space, objective: Objective, path: Path) -> None:
    """Plots each complete trial as a line through its values, coloured by its objective."""
    complete = [trial for trial in trials if trial.state == COMPLETE]
    values = np.array([trial.objectives[0] for trial in complete])
    order = np.argsort(values if objective.maximize else -values, kind="stable")
    figure = Figure(figsize=(1.5 + 1.5 * len(space), 4.5), layout="constrained")
    axes = figure.subplots()
    low, high = sorted(_choose_limits(values, objective))
    colours = axes.scatter([], [], c=[], cmap="viridis", vmin=low, vmax=high)
    for index in order:  # the best ones on top
        heights = [
            _place_value(complete[index].values[name], domain) for name, domain in space.items()
        ]
        colour = colours.to_rgba(values[index])
        axes.plot(range(len(space)), heights, color=colour, alpha=0.8, linewidth=1.2)
    for column, domain in enumerate(space.values()):
        axes.axvline(column, color="gray", linewidth=0.8)
        for height, text in _list_ticks(domain):
            axes.annotate(text, (column, height), xytext=(4, 0), textcoords="offset points",
                          fontsize=7, va="center", bbox=_LABEL_BOX)  # fmt: skip
    axes.set_xticks(range(len(space)), [name.removeprefix(HPARAM) for name in space])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(space) - 0.5)
    axes.spines[:].set_visible(False)
    figure.colorbar(colours, ax=axes, label=objective.name)
    save_figure(figure, path)


def plot_front(trials: Sequence[Trial], objectives: Sequence[Objective], path: Path) -> None:
    """Plots the first objective against each other one, with the Pareto front."""
    first, *others = objectives
    complete = [trial for trial in trials if trial.state == COMPLETE]
    front = find_front(trials, objectives)
    figure = Figure(figsize=(5.5 * len(others), 4), layout="constrained")
    grid = figure.subplots(1, len(others), squeeze=False, sharey=True)[0]
    for index, (axes, objective) in enumerate(zip(grid, others, strict=True), 1):
        for group, label in ((complete, "trials"), (front, "Pareto front")):
            points = [(trial.objectives[index], trial.objectives[0]) for trial in group]
            axes.scatter(*zip(*points, strict=True), s=18, label=label)
        for trial in front:
            point = trial.objectives[index], trial.objectives[0]
            axes.annotate(str(trial.number), point, xytext=(4, 4), textcoords="offset points",
                          fontsize=8)  # fmt: skip
        axes.set(xscale="log", xlabel=objective.name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter("")
        axes.grid(alpha=0.3)
    grid[0].set(ylabel=first.name)
    grid[0].legend()
    save_figure(figure, path)


def _choose_limits(values: Sequence[float] | np.ndarray, objective: Objective) -> tuple:
    """Returns limits of an axis that show the better three quarters of the values in full."""
    worst = np.quantile(values, 0.25 if objective.maximize else 0.75)
    best = max(values) if objective.maximize else min(values)
    far = worst - 2 * (best - worst)
    low, high = sorted((float(best), float(far)))
    margin = 0.05 * (high - low) or 0.01
    low, high = max(low, float(min(values))), min(high, float(max(values)))
    return low - margin, high + margin


def _place_value(value: Any, domain: Domain) -> float:
    """Returns the height of a value on its axis, from 0 to 1."""
    if isinstance(domain, Choices):
        return domain.texts.index(str(value)) / (len(domain.texts) - 1)
    scale: Any = np.log if domain.log else float
    low, high, place = scale(domain.low), scale(domain.high), scale(value)
    return float((place - low) / (high - low))


def _list_ticks(domain: Domain) -> list[tuple[float, str]]:
    """Returns the heights and the texts of the labels of an axis."""
    if isinstance(domain, Choices):
        return [(_place_value(text, domain), text) for text in domain.texts]
    return [(0.0, format_number(domain.low)), (1.0, format_number(domain.high))]
