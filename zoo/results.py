"""Finished runs side by side: a table, a line for each recipe, and a drawing."""

import csv
import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from zoo import metadata, plots
from zoo.errors import UserError
from zoo.formats import FORMATS
from zoo.run_folder import METRICS, replacing

COLUMNS = (
    "model",
    "dataset",
    "recipe",
    "parameters",
    "multiply_adds",
    "split",
    "accuracy",
    "spread",
    "seeds",
    "seconds",
    "examples_per_second",
    *(f"{name}_bytes" for name in FORMATS),
    "latency_ms",
)


def write(runs: Sequence[Path], directory: Path) -> None:
    """Writes results.csv and results.png, and prints the table.

    Runs that differ in nothing but the seed are one line: the mean of their accuracies, the sample
    standard deviation (empty of one run), and the medians of what was timed. Formats and latency,
    that of the SavedModel on one example, are empty where the runs wrote no other formats.

    Args:
        runs: Folders of finished runs of classifications.
        directory: A folder that is there.

    Raises:
        UserError: if there are no runs, one is not finished or a regression, or one is given twice.
    """
    if not runs:
        raise UserError("no runs: name their folders, as in --results=results runs/*")
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        record = _read(run)
        groups.setdefault(_recipe(record), []).append(record | {"folder": run})
    rows = sorted(map(_row, groups.values()), key=lambda row: (row["dataset"], row["parameters"]))
    with replacing(directory / "results.csv") as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, directory / "results.png")
    print(*_table(rows), sep="\n")
    print(f"results: {directory / 'results.csv'}, {directory / 'results.png'}")


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the accuracies against parameters and latency, a row for each split that was scored."""
    scored = list(dict.fromkeys((row["dataset"], row["split"]) for row in rows))
    figure = Figure(figsize=(10, 3.5 * len(scored)), layout="constrained")
    grid = figure.subplots(len(scored), 2, sharey="row", squeeze=False)
    for (dataset, split), line in zip(scored, grid, strict=True):
        line[0].set(ylabel=f"accuracy on {dataset}, {split}")
        shown = [row for row in rows if (row["dataset"], row["split"]) == (dataset, split)]
        for axes, column, label, numbers in (
            (line[0], "parameters", "parameters", EngFormatter(sep="")),
            (line[1], "latency_ms", "latency of one example, ms", "{x:g}"),
        ):
            for i, row in enumerate(shown):
                if row[column] is not None:
                    place = row[column], row["accuracy"], row["spread"] or 0
                    axes.errorbar(*place, fmt="o", capsize=3, color=f"C{i}", label=_name(row))
            axes.set(xscale="log", xlabel=label)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(numbers)
            axes.xaxis.set_minor_formatter("")
            axes.margins(x=0.3, y=0.3)
            axes.grid(alpha=0.3)
        line[0].legend()
    plots.save(figure, path)


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field of metrics.json that is needed, by its path, and what it has to be."""

    path: tuple[str, ...]
    kind: type | tuple[type, ...]


_NEEDED = (
    _Field(("model",), str),
    _Field(("dataset",), str),
    _Field(("recipe",), dict),
    _Field(("hyperparameters",), dict),
    _Field(("seed",), int),
    _Field(("parameters",), int),
    _Field(("seconds",), (int, float)),
    _Field(("examples_per_second",), (int, float)),
    _Field(("splits", "test", "from"), str),
    _Field(("test", "accuracy"), float),
)


def _read(run: Path) -> dict[str, Any]:
    """What metrics.json tells of a finished run.

    Raises:
        UserError: if it does not tell what is needed.
    """
    file = run / METRICS
    if not file.is_file():
        raise UserError(f"{run}: there is no finished run; expected a folder with {METRICS}")
    record = metadata.read(file)
    if isinstance(record.get("test"), dict) and "mae" in record["test"]:
        raise UserError(f"{run}: a regression has no accuracy to compare: leave it out")
    for field in _NEEDED:
        value = record
        for key in field.path:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, field.kind) or isinstance(value, bool):
            raise UserError(f"{file}: it does not tell {'.'.join(field.path)}: train the run again")
    return record


def _recipe(record: dict[str, Any]) -> str:
    """What runs of different seeds have in common."""
    same = ("model", "dataset", "splits", "config", "hyperparameters", "recipe")
    return json.dumps([record.get(name) for name in same], sort_keys=True)


def _row(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The line of runs that differ in their seeds alone."""
    by_seed: dict[int, Path] = {}
    for record in records:
        if other := by_seed.get(record["seed"]):
            raise UserError(
                f"{other} and {record['folder']}: the same recipe with the same seed, "
                f"{record['seed']}: leave one out"
            )
        by_seed[record["seed"]] = record["folder"]
    first, accuracies = records[0], [record["test"]["accuracy"] for record in records]
    sizes = {name: _median(records, "formats", name, "bytes") for name in FORMATS}
    latency = _median(records, "formats", "saved_model", "latency_ms")
    return {
        "model": first["model"],
        "dataset": first["dataset"],
        "recipe": first.get("config") or "",
        "parameters": first["parameters"],
        "multiply_adds": first.get("multiply_adds"),
        "split": first["splits"]["test"]["from"],
        "accuracy": round(statistics.mean(accuracies), 6),
        "spread": round(statistics.stdev(accuracies), 6) if len(accuracies) > 1 else None,
        "seeds": len(accuracies),
        "seconds": _median(records, "seconds"),
        "examples_per_second": _median(records, "examples_per_second"),
        **{f"{name}_bytes": size and round(size) for name, size in sizes.items()},
        "latency_ms": latency and round(latency, 3),
    }


def _median(records: list[dict[str, Any]], *path: str) -> float | None:
    """The median of what the records have there; None if none has a number."""
    values = []
    for value in records:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            values.append(value)
    return statistics.median(values) if values else None


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [("recipe", "dataset", "parameters", "accuracy", "spread", "seeds", "ms")]
    for row in rows:
        spread = "" if row["spread"] is None else f"{row['spread']:.2%}"
        latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.3f}"
        numbers = (f"{row['parameters']:,}", f"{row['accuracy']:.2%}", spread)
        lines.append((_name(row), row["dataset"], *numbers, str(row["seeds"]), latency))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def _name(row: dict[str, Any]) -> str:
    return row["recipe"] or row["model"]
