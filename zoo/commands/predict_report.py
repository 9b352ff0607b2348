"""Predictions as lines of text, for `zoo predict`."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from zoo.serving.rows.blocks import Row, group_rows
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


def format_lines(pairs: Sequence[tuple[Row, Any]]) -> list[str]:
    """Formats rows with their predictions as lines of the table; with --top one line per class."""
    shown = _show_rows([row for row, _ in pairs])
    return [_format_line(text, found) for text, (_, found) in zip(shown, pairs, strict=True)]


def _format_line(shown: str, prediction: Any) -> str:
    """Formats what is shown of a row with its prediction."""
    if isinstance(prediction, float):
        return f"{shown}  {prediction:.6g}"
    if isinstance(prediction, Embedding):
        values = prediction.values
        numbers = " ".join(f"{value:.4f}" for value in values[:_SHOWN_NUMBERS])
        return f"{shown}  {numbers}{' ...' * (len(values) > _SHOWN_NUMBERS)}"
    if isinstance(prediction, LabelSet):
        pairs = zip(prediction.labels, prediction.scores, strict=True)
        labels = ", ".join(f"{label} {score:.4f}" for label, score in pairs)
        return f"{shown}  {labels or '(none)'}"
    return "\n".join([f"{shown}  {label:20}  {p:.4f}" for label, p in prediction])


def _show_rows(rows: Iterable[Row]) -> list[str]:
    """Formats what is shown of each row, as long as a line has space for it."""
    texts: list[str] = []
    for block, numbers in group_rows(rows):
        if isinstance(block.shown, dict):
            shown = _join_cells((name, cells[numbers]) for name, cells in block.shown.items())
        else:
            shown = [" ".join(text.split()) for text in block.shown[numbers]]
        texts += [_fit_width(text, "image_bytes" in block.inputs) for text in shown]
    return texts


def _join_cells(columns: Iterable[tuple[str, np.ndarray]]) -> list[str]:
    """Formats the first cells of rows: at least as many as a line shows."""
    texts: list[str] = []
    for name, cells in columns:
        if cells.dtype == object:
            parts = [" ".join(f"{name}={cell}".split()) for cell in cells]
        else:
            start = " ".join(f"{name}=".split())
            parts = [f"{start}{cell}" for cell in cells.tolist()]
        texts = [*map(", ".join, zip(texts, parts, strict=True))] if texts else parts
        if min(map(len, texts)) > _WIDTH:  # the first of perhaps thousands
            break
    return texts


def _fit_width(text: str, is_path: bool) -> str:
    """Returns a text of the width of its column in a line."""
    if len(text) <= _WIDTH:
        return text.ljust(_WIDTH)
    cut = _WIDTH - len("...")
    # the end of a path tells more than its start
    return f"...{text[-cut:]}" if is_path else f"{text[:cut]}..."
