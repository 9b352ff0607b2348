"""What `zoo monitor` writes: a page, JSON, and text for Prometheus."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from zoo.monitoring.windows import CHANGE, Window

_LINES = 8  # traits in the plot
_CHARACTERS = 40  # of a category on the page
_STYLE = (
    "body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .6em;"
    "text-align:left}.alarm{background:#fdd}img{max-width:100%}"
)


def describe_windows(
    model: str, whole: Window, hours: Sequence[Window], lost: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the result of a comparison as an object for a JSON file.

    Args:
        model: Name of the model.
        whole: All requests.
        hours: The requests by hour.
        lost: Sentences on what could not be compared.
    """
    return {
        "model": model,
        "notes": list(lost),
        "all": _describe_window(whole),
        "hours": [_describe_window(window) for window in hours],
    }


def _describe_window(window: Window) -> dict[str, Any]:
    alarms = {drift.trait for drift in window.alarms}
    return {
        "start": window.start.isoformat() if window.start else None,
        "examples": window.examples,
        "traits": [
            {
                "trait": d.trait,
                "test": d.test,
                "p_value": d.p_value,
                "stability_index": round(d.stability_index, 4),
                "before": d.before,
                "after": d.after,
                "unseen": list(d.unseen),
                "alarm": d.trait in alarms,
            }
            for d in window.drifts
        ],
    }


def format_page(model: str, whole: Window, hours: Sequence[Window], notes: Sequence[str]) -> str:
    """Returns the page: all requests, a plot over the hours, and the alarms of each hour."""
    alarms = {drift.trait for drift in whole.alarms}
    rows = [("trait", "test", "p-value", "stability index", "test split", "requests", "unseen")]
    rows += [
        (d.trait, d.test, f"{d.p_value:.2g}", f"{d.stability_index:.3f}", d.before, d.after,
         ", ".join(name[:_CHARACTERS] for name in d.unseen[:5]))
        for d in whole.drifts
    ]  # fmt: skip
    by_hour = [("hour (UTC)", "examples", "alarms")]
    by_hour += [
        (f"{window.start:%Y-%m-%d %H:00}", f"{window.examples:,}",
         ", ".join(d.trait for d in window.alarms) or "none")
        for window in hours
    ]  # fmt: skip
    title = html.escape(f"{model}: {whole.examples:,} logged examples")
    return "\n".join(
        [
            f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{title}</title>",
            f"<style>{_STYLE}</style><h1>{title}</h1>",
            *(f"<p>{html.escape(note)}</p>" for note in notes),
            f"<p>Alarms: {html.escape(', '.join(sorted(alarms))) or 'none'}</p>",
            _format_table(rows, [d.trait in alarms for d in whole.drifts]),
            f'<img alt="Stability index by hour" src="data:image/png;base64,{_plot(hours)}">'
            if len(hours) > 1
            else "",
            _format_table(by_hour, [bool(window.alarms) for window in hours]),
            "</html>",
        ]
    )


def _format_table(rows: Sequence[Sequence[str]], marked: Sequence[bool]) -> str:
    """Returns rows, the first of them titles, as a table in which some rows are marked."""
    titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    lines = [
        f"<tr{' class=alarm' * mark}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row, mark in zip(rows[1:], marked, strict=True)
    ]
    return "\n".join(["<table>", f"<tr>{titles}</tr>", *lines, "</table>"])


def _plot(hours: Sequence[Window]) -> str:
    """Returns the stability indices of the traits over the hours, as a PNG in Base64."""
    series: dict[str, dict[Any, float]] = {}
    for window in hours:
        for drift in window.drifts:
            series.setdefault(drift.trait, {})[window.start] = drift.stability_index
    largest = sorted(series, key=lambda name: -max(series[name].values()))[:_LINES]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots()
    for name in largest:
        axes.plot(
            [*series[name]], [*series[name].values()], marker=".", label=name.replace("$", r"\$")
        )
    axes.axhline(CHANGE, color="grey", linestyle=":", label="smallest alarm")
    axes.set_ylabel("population stability index")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return base64.b64encode(buffer.getvalue()).decode()


def format_prometheus(model: str, window: Window) -> str:
    """Returns the newest window as text that Prometheus' node exporter reads from a file."""
    lines = [
        "# HELP zoo_monitor_stability_index Population stability index of a trait of the requests.",
        "# TYPE zoo_monitor_stability_index gauge",
    ]
    for drift in window.drifts:
        labels = f'model="{_escape(model)}",trait="{_escape(drift.trait)}"'
        lines.append(f"zoo_monitor_stability_index{{{labels}}} {drift.stability_index:.6g}")
    for name, value, meaning in (
        ("alarms", len(window.alarms), "Traits that depart from the data of the export."),
        ("examples", window.examples, "Logged examples in the newest window."),
    ):
        lines += [
            f"# HELP zoo_monitor_{name} {meaning}",
            f"# TYPE zoo_monitor_{name} gauge",
            f'zoo_monitor_{name}{{model="{_escape(model)}"}} {value}',
        ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
