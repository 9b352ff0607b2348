"""Writes predictions to CSV and JSON Lines files, beside the columns of the rows."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from zoo.data.sources.label_sets import SEPARATOR
from zoo.errors import UserError
from zoo.serving.rows.blocks import Row
from zoo.serving.rows.row_predictions import Embedding, LabelSet
from zoo.storage.atomic import replace_file

OUTPUT_SUFFIXES = (".csv", ".jsonl")


def check_prediction_file(path: Path, inputs: tuple[str, ...]) -> None:
    """Checks that a file can take predictions.

    Args:
        path: The file.
        inputs: The files that are predicted.

    Raises:
        UserError: if its name has another suffix, its folder does not exist, or it is predicted.
    """
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise UserError(f"out={path}: expected a file whose name ends in .csv or .jsonl")
    if path.is_dir() or not path.parent.is_dir():
        what = "this is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UserError(f"out={path}: {what}: choose another file")
    if any(path.resolve() == Path(name).resolve() for name in inputs):
        raise UserError(f"out={path}: this file is predicted: choose another file")


@contextlib.contextmanager
def open_prediction_file(path: Path) -> Iterator[Callable[[Row, Any], None]]:
    """Context manager that yields a function that writes a row and its prediction.

    The prediction is a column `prediction`, and of classes `probability`; of several classes these
    are `prediction_1`, `probability_1` and so on. Several labels per row are lists, which "|"
    separates in CSV. An embedding is a column `features`, a list of numbers. Where a row has such a
    column, ".1" is added. The file is replaced at the end.
    """
    is_csv = path.suffix.lower() == ".csv"
    header: list[str] = []
    # newline="" leaves line ends to csv
    with replace_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")

        def write(row: Row, prediction: Any) -> None:
            cells = {name: _to_json(value) for name, value in row.columns.items()}
            for name, value in _name_prediction(prediction).items():
                while name in cells:
                    name += ".1"
                is_joined = is_csv and isinstance(prediction, LabelSet)
                cells[name] = SEPARATOR.join(map(str, value)) if is_joined else value
            if not is_csv:
                stream.write(json.dumps(cells, ensure_ascii=False) + "\n")
                return
            if not header:
                header.extend(cells)
                writer.writerow(header)
            if list(cells) != header:
                raise UserError(
                    f"{row.place}: the columns are other than those of the first file: write them "
                    f"to a .jsonl file, or predict one file at a time"
                )
            writer.writerow(map(_to_csv, cells.values()))

        yield write


def _name_prediction(prediction: Any) -> dict[str, Any]:
    """Returns a prediction as columns."""
    if isinstance(prediction, Embedding):
        return {"features": list(prediction.values)}
    if isinstance(prediction, float):
        return {"prediction": prediction}
    if isinstance(prediction, LabelSet):
        return {"prediction": list(prediction.labels), "probability": list(prediction.scores)}
    columns: dict[str, Any] = {}
    for number, (label, probability) in enumerate(prediction, 1):
        end = f"_{number}" if len(prediction) > 1 else ""
        columns |= {f"prediction{end}": label, f"probability{end}": probability}
    return columns


def _to_json(value: Any) -> Any:
    """Returns a cell of a table, None where it is missing."""
    return value if isinstance(value, list) or not pd.isna(value) else None


def _to_csv(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value
