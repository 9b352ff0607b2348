"""The leaderboard: finished runs compared in a table and a plot, one row per recipe."""

import collections
import csv
import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from zoo.errors import UserError
from zoo.evaluation.plots import save_figure
from zoo.storage.atomic import replace_file
from zoo.storage.filenames import METRICS
from zoo.storage.json_files import read_json
from zoo.training.run_folder import describe_unfinished_run

# whose sizes are compared; those in fewer bits are compared by `zoo compress`
FORMATS = ("saved_model", "litert", "litert_int8", "onnx")
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


def write_leaderboard(
    runs: Sequence[Path], directory: Path, *, update: bool = False
) -> list[dict[str, Any]]:
    """Writes results.csv and results.png.

    Runs that only differ in the seed are one row, with the mean and the sample standard deviation
    of their accuracies and the medians of their times. The deviation of a single run is empty. The
    sizes of formats and the latency, of the SavedModel for one example, are empty for runs that
    exported no other format.

    Args:
        runs: Folders of finished classification runs.
        directory: An existing folder.
        update: Whether rows that results.csv has of other recipes stay.

    Returns:
        The rows of the table, with the keys in COLUMNS.

    Raises:
        UserError: if there are no runs, one is unfinished or no classification of one class each,
            two have the same recipe and seed, or the results.csv to update is not one.
    """
    if not runs:
        raise UserError("no runs: expected their folders, as in zoo results runs/*")
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        record = _read_run(run)
        groups.setdefault(_recipe_key(record), []).append(record | {"folder": run})
    rows = [_make_row(records) for records in groups.values()]
    if update:
        given = {(row["dataset"], _row_name(row)) for row in rows}
        before = read_leaderboard(directory / "results.csv")
        rows += [row for row in before if (row["dataset"], _row_name(row)) not in given]
    rows.sort(key=lambda row: (row["dataset"], row["parameters"]))
    with replace_file(directory / "results.csv") as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot_leaderboard(rows, directory / "results.png")
    return rows


def read_leaderboard(path: Path) -> list[dict[str, Any]]:
    """Reads the rows of a results.csv; none if there is no such file.

    Raises:
        UserError: if the file has other columns, or a number is none.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}: omit --update")
        try:
            return [{name: _read_cell(name, row[name]) for name in COLUMNS} for row in reader]
        except ValueError as error:
            raise UserError(f"{path}, line {reader.line_num}: {error}: omit --update") from None


def _read_cell(name: str, cell: str) -> str | int | float | None:
    """Returns a value of results.csv as `_make_row` makes it."""
    if name in ("model", "dataset", "recipe", "split"):
        return cell
    if not cell:
        return None
    return int(cell) if cell.isdecimal() else float(cell)


def plot_leaderboard(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plots accuracy against parameters and latency, with a row of axes for each test split.

    Where a split has several models, those with a single one, which nothing compares, are omitted.
    """
    counts = collections.Counter((row["dataset"], row["split"]) for row in rows)
    splits = [split for split, count in counts.items() if count > 1] or list(counts)
    figure = Figure(figsize=(10, 3.5 * len(splits)), layout="constrained")
    grid = figure.subplots(len(splits), 2, sharey="row", squeeze=False)
    for (dataset, split), (left, right) in zip(splits, grid, strict=True):
        left.set(ylabel=f"accuracy on {dataset}, {split}")
        split_rows = [row for row in rows if (row["dataset"], row["split"]) == (dataset, split)]
        for axes, column, label, formatter in (
            (left, "parameters", "parameters", EngFormatter(sep="")),
            (right, "latency_ms", "latency of one example, ms", "{x:g}"),
        ):
            for i, row in enumerate(split_rows):
                if row[column] is not None:
                    point = row[column], row["accuracy"], row["spread"] or 0
                    axes.errorbar(*point, fmt="o", capsize=3, color=f"C{i}", label=_row_name(row))
            axes.set(xscale="log", xlabel=label)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(formatter)
            axes.xaxis.set_minor_formatter("")
            axes.margins(x=0.3, y=0.3)
            axes.grid(alpha=0.3)
        left.legend()
    save_figure(figure, path)


@dataclasses.dataclass(frozen=True)
class _Field:
    """A required field of metrics.json: its keys from the outside in, and its type."""

    path: tuple[str, ...]
    kind: type | tuple[type, ...]


_REQUIRED_FIELDS = (
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


def _read_run(run: Path) -> dict[str, Any]:
    """Reads the record of a finished classification run.

    Raises:
        UserError: if the run is unfinished or of another task, or a required field is missing.
    """
    file = run / METRICS
    if not file.is_file():
        raise UserError(
            describe_unfinished_run(run)
            or f"{run}: not a finished run: expected a folder with {METRICS}"
        )
    record = read_json(file)
    for score, task in (("mae", "regression"), ("mean_average_precision", "multi-label task")):
        if isinstance(record.get("test"), dict) and score in record["test"]:
            raise UserError(f"{run}: a {task} has no accuracy to compare: omit this run")
    for field in _REQUIRED_FIELDS:
        value = _get_nested(record, field.path)
        if not isinstance(value, field.kind) or isinstance(value, bool):
            name = ".".join(field.path)
            raise UserError(f"{file}: {name} is missing or invalid: train the run again")
    return record


def _recipe_key(record: dict[str, Any]) -> str:
    """Returns what runs that only differ in the seed have in common."""
    fields = ("model", "dataset", "splits", "config", "hyperparameters", "recipe")
    return json.dumps([record.get(name) for name in fields], sort_keys=True)


def _make_row(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row of runs that only differ in the seed."""
    by_seed: dict[int, Path] = {}
    for record in records:
        if other := by_seed.get(record["seed"]):
            raise UserError(
                f"{other} and {record['folder']}: both have the same recipe and the seed "
                f"{record['seed']}: omit one of them"
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
    """Returns the median of the records' numbers at a path of keys, or None without numbers."""
    values = [_get_nested(record, path) for record in records]
    numbers = [value for value in values if isinstance(value, int | float)]
    return statistics.median(numbers) if numbers else None


def _get_nested(record: dict[str, Any], path: Sequence[str]) -> Any:
    """Returns the value at a path of keys, or None if there is none."""
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def format_leaderboard(rows: list[dict[str, Any]]) -> list[str]:
    """Formats the rows of `write_leaderboard` as a table, one line per row."""
    lines = [("recipe", "dataset", "parameters", "accuracy", "spread", "seeds", "ms")]
    for row in rows:
        spread = "" if row["spread"] is None else f"{row['spread']:.2%}"
        latency = "" if row["latency_ms"] is None else f"{row['latency_ms']:.3f}"
        numbers = (f"{row['parameters']:,}", f"{row['accuracy']:.2%}", spread)
        lines.append((_row_name(row), row["dataset"], *numbers, str(row["seeds"]), latency))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def _row_name(row: dict[str, Any]) -> str:
    return row["recipe"] or row["model"]
