"""Scores of groups of examples, and the largest gap between them."""

from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.scoring import score_predictions

_TITLES = {"mae": "MAE", "f1": "F1"}


def score_slices(
    predictions: Predictions, groups: np.ndarray, spec: Spec, column: str
) -> dict[str, Any]:
    """Scores each group of examples by itself.

    Args:
        predictions: The predictions.
        groups: The group of each row of the split, an object array of strings.
        spec: Spec of the data.
        column: Name of the column that the groups come from.

    Returns:
        column: The name of the column.
        score: Name of the score, such as "accuracy".
        groups: For each group its name, the number of examples, the score and its 95% interval,
            those with the lowest score first.
        largest_gap: The groups with the lowest and the highest score, the difference, and whether
            their intervals overlap; None for a single group.
    """
    of_examples = groups[predictions.rows]
    rows, score = [], ""
    for group in np.unique(of_examples.astype(str)):
        chosen = of_examples == group
        part = predictions.select_examples(chosen)
        scores = score_predictions(part, spec)
        score = next(name for name in scores if f"{name}_interval" in scores)
        interval = scores[f"{score}_interval"]
        rows.append(
            {"group": str(group), "examples": len(part.rows), "score": scores[score]}
            | {"interval": interval}
        )
    rows.sort(key=lambda row: row["score"])
    gap = None
    if len(rows) > 1:
        lowest, highest = rows[0], rows[-1]
        gap = {
            "lowest": lowest["group"],
            "highest": highest["group"],
            "difference": highest["score"] - lowest["score"],
            "intervals_overlap": lowest["interval"][1] >= highest["interval"][0],
        }
    return {"column": column, "score": score, "groups": rows, "largest_gap": gap}


def format_slices(slices: dict[str, Any]) -> list[str]:
    """Formats the scores of groups as lines of a table, and the largest gap as the last line."""
    column, score = slices["column"], slices["score"]
    cells = [(column, "examples", _TITLES.get(score, score), "95% interval")]
    for row in slices["groups"]:
        low, high = (_format_score(limit, score) for limit in row["interval"])
        value = _format_score(row["score"], score)
        cells.append((row["group"], f"{row['examples']:,}", value, f"{low} to {high}"))
    widths = [max(map(len, texts)) for texts in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if i in (0, 3) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return [*lines, *describe_gap(slices)]


def render_slices(slices: dict[str, Any]) -> list[str]:
    """Returns the scores of groups as blocks of Markdown; none without slices."""
    if not slices:
        return []
    column, score = (str(slices[name]).replace("|", "\\|") for name in ("column", "score"))
    lines = [f"| {column} | examples | {score} | 95% interval |", "| --- | --- | --- | --- |"]
    for row in slices["groups"]:
        low, high = (_format_score(limit, score) for limit in row["interval"])
        group, value = row["group"].replace("|", "\\|"), _format_score(row["score"], score)
        lines.append(f"| {group} | {row['examples']:,} | {value} | {low} to {high} |")
    gap = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in describe_gap(slices)]
    return [f"### Scores by {column}", "\n".join(lines), *gap]


def describe_gap(slices: dict[str, Any]) -> list[str]:
    """Returns a sentence on the largest gap; none for a single group."""
    gap, score = slices["largest_gap"], slices["score"]
    if gap is None:
        return []
    size = gap["difference"]
    if not size:
        return [f"the {_TITLES.get(score, score)} is the same in all groups"]
    amount = f"{size:.4g}" if score == "mae" else f"{100 * size:.2f} points"
    verb = "overlap" if gap["intervals_overlap"] else "do not overlap"
    return [
        f"largest gap of the {_TITLES.get(score, score)}: {amount}, between {gap['lowest']} and "
        f"{gap['highest']}, whose intervals {verb}"
    ]


def _format_score(value: float, score: str) -> str:
    return f"{value:.4g}" if score == "mae" else f"{value:.2%}"
