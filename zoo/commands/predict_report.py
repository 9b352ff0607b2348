"""Predictions as lines of text, for `zoo predict`."""

import json
from typing import Any

from zoo.serving.rows.reading import Row
from zoo.serving.rows.row_predictions import Embedding, LabelSet

_SHOWN_NUMBERS = 6  # of a vector
_WIDTH = 40  # of the input


def format_object(row: Row, prediction: Any, top: int | None) -> str:
    """Formats a prediction as a JSON object in one line."""
    if isinstance(prediction, float):
        output: dict[str, Any] = {"prediction": prediction}
    elif isinstance(prediction, Embedding):
        output = {"features": prediction.values}
    elif isinstance(prediction, LabelSet):
        output = prediction._asdict()
    else:
        pairs = [{"label": label, "probability": p} for label, p in prediction]
        output = {"top": pairs} if top else pairs[0]
    return json.dumps({"input": row.shown} | output, ensure_ascii=False)


def format_line(row: Row, prediction: Any) -> str:
    """Formats a prediction as a line of the table, or one line per class with --top."""
    shown = _shorten_cells(row.shown) if isinstance(row.shown, dict) else row.shown
    shown = " ".join(shown.split())
    if len(shown) > _WIDTH:
        # the end of a path tells more than its start
        cut = _WIDTH - len("...")
        shown = f"...{shown[-cut:]}" if "image_bytes" in row.example else f"{shown[:cut]}..."
    if isinstance(prediction, float):
        return f"{shown:{_WIDTH}}  {prediction:.6g}"
    if isinstance(prediction, Embedding):
        values = prediction.values
        numbers = " ".join(f"{value:.4f}" for value in values[:_SHOWN_NUMBERS])
        return f"{shown:{_WIDTH}}  {numbers}{' ...' * (len(values) > _SHOWN_NUMBERS)}"
    if isinstance(prediction, LabelSet):
        pairs = zip(prediction.labels, prediction.scores, strict=True)
        labels = ", ".join(f"{label} {score:.4f}" for label, score in pairs)
        return f"{shown:{_WIDTH}}  {labels or '(none)'}"
    return "\n".join(f"{shown:{_WIDTH}}  {label:20}  {p:.4f}" for label, p in prediction)


def _shorten_cells(cells: dict[str, Any]) -> str:
    """Formats the first cells of a row: at least as many as a line shows."""
    parts: list[str] = []
    length = 0
    for name, value in cells.items():
        parts.append(" ".join(f"{name}={value}".split()))
        length += len(parts[-1])
        if length > _WIDTH:  # the first of perhaps thousands
            break
    return ", ".join(parts)
