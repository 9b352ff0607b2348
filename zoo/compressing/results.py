"""The results of a compression: its table on the terminal, compress.csv, .json and .png."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.compressing.scores import format_score
from zoo.evaluation.plots import save_figure
from zoo.storage.atomic import replace_file
from zoo.storage.json_files import write_json

TABLE, RECORD, CHART = "compress.csv", "compress.json", "compress.png"
COLUMNS = ("method", "score", "test", "test_low", "test_high", "validation", "drop", "parameters",
           "bytes", "gzip_bytes", "latency_ms_1", "latency_ms_32", "multiply_adds", "refused",
           "note", "run", "export")  # fmt: skip


def format_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Formats the rows as lines: what each model costs, and in brackets its part of the original.

    Below the table stands, for each method, what it does not do or why it is refused.
    """
    original = rows[0]
    heads = ["method", f"test {original['score']} (95% interval)", "kB", "gzipped kB",
             "ms, 1 example", "ms, 32", "multiply-adds"]  # fmt: skip
    cells = [heads]
    for row in rows:
        adds = row["multiply_adds"]
        cells.append(
            [
                row["method"] + (" (refused)" if row["refused"] else ""),
                format_score(row),
                f"{row['bytes'] / 1e3:,.0f} ({row['bytes'] / original['bytes']:.0%})",
                f"{row['gzip_bytes'] / 1e3:,.0f} ({row['gzip_bytes'] / original['bytes']:.0%})",
                f"{row['latency_ms_1']:.3g}",
                f"{row['latency_ms_32']:.3g}",
                "unknown" if adds is None else f"{adds:,}",
            ]
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(x, widths, strict=True)).rstrip() for x in cells]
    for row in rows[1:]:
        remarks = "; ".join(filter(None, [row["refused"], row["note"]]))
        lines += [f"{row['method']}: {remarks}"] * bool(remarks)
    return lines


def write_results(rows: Sequence[dict[str, Any]], facts: dict[str, Any], folder: Path) -> None:
    """Writes compress.csv, and compress.json with the facts, the model and the machine among them.

    Args:
        rows: The original and the methods so far.
        facts: Further entries of compress.json.
        folder: An existing folder.
    """
    with replace_file(folder / TABLE) as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    kept = [{name: row.get(name) for name in COLUMNS} for row in rows]
    write_json(folder / RECORD, {**facts, "rows": kept})


def plot_results(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plots the score, the bytes, the latencies and the multiply-adds, a line for each method."""
    figure = Figure(figsize=(13, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True, width_ratios=(4, 3, 3, 2))
    places = np.arange(len(rows))
    tests = np.array([row["test"] for row in rows])
    limits = np.array([[row["test_low"], row["test_high"]] for row in rows])
    colours = ["gray" if row["refused"] else "C0" for row in rows]
    axes[0].hlines(places, *limits.T, colors=colours)
    axes[0].scatter(tests, places, c=colours)
    axes[0].axvline(tests[0], color="black", linewidth=0.8, linestyle=":")
    axes[0].set(xlabel=f"{rows[0]['score']} on the test split (95% interval)")
    axes[0].set_yticks(places, [row["method"] for row in rows])
    axes[0].invert_yaxis()
    pairs = (
        (1, ("bytes", "gzip_bytes"), ("on disk", "gzipped"), 1e-3, "kB"),
        (2, ("latency_ms_1", "latency_ms_32"), ("1 example", "32 examples"), 1, "milliseconds"),
    )
    for index, names, labels, unit, title in pairs:
        for offset, name, label in zip((-0.19, 0.19), names, labels, strict=True):
            values = [row[name] * unit for row in rows]
            bars = axes[index].barh(places + offset, values, 0.36, label=label)
            axes[index].bar_label(bars, fmt=_format_bar, padding=2, fontsize=7)
        axes[index].set(xlabel=title)
        axes[index].margins(x=0.2)
        axes[index].legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    axes[2].set_xscale("log")
    adds = [(row["multiply_adds"] or 0) / 1e6 for row in rows]
    axes[3].bar_label(
        axes[3].barh(places, adds, 0.6, color="C2"), fmt=_format_bar, padding=2, fontsize=7
    )
    axes[3].margins(x=0.2)
    axes[3].set(xlabel="millions of multiply-adds")
    for axis in axes:
        axis.grid(alpha=0.3, axis="x")
    save_figure(figure, path)


def _format_bar(value: float) -> str:
    """Formats the number at a bar with three digits, or as a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
