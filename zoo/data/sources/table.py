"""Reads CSV and JSON Lines files whose inputs are numeric features, texts or text pairs."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, LabelledSplits
from zoo.errors import UserError
from zoo.schema import is_line, is_text, suggest_closest

_MEMORY_FACTOR = 5  # memory per byte of a file: 5 for texts, up to 20 for short numbers
_SPLITS = ("train", "validation", "test")


def load_table(kind: str, path: str, text: Sequence[str], label: str | None) -> LabelledSplits:
    """Reads the labelled splits of a file, or of the files train, validation and test of a folder.

    The first line of a CSV file contains the column names; each line of a JSON Lines file is an
    object. Labels that are all numbers, at least one of them with a decimal point, make a
    regression; all others make a classification.

    Args:
        kind: "csv" or "jsonl", also the file extension in a folder.
        path: A file or a folder.
        text: Names of one or two text columns to use as inputs. If empty, all columns except the
            label are numeric features.
        label: Name of the column to predict.

    Raises:
        UserError: if a file, column or value is invalid. The message contains the line number.
    """
    files = _find_files(kind, path)
    read_frame = _read_csv if kind == "csv" else _read_jsonl
    frames = {name: read_frame(file) for name, file in files.items()}
    input_columns, label = _choose_columns(f"{kind}:{path}", files, frames, text, label)
    class_names = _find_class_names(frames["train"][label], files["train"])
    read_column = _read_strings if text else _read_numbers
    splits = {}
    for split_name, frame in frames.items():
        file = files[split_name]
        columns = [read_column(frame[name], file) for name in input_columns]
        x = columns[0] if len(text) == 1 else np.stack(columns, axis=1)
        y = _read_targets(frame[label], class_names, file, files["train"])
        splits[split_name] = Arrays(x, y)
    if text:
        spec = Spec("text" if len(text) == 1 else "text_pair", (), class_names)
    else:
        spec = Spec("features", (len(input_columns),), class_names, tuple(input_columns))
    return LabelledSplits("", spec, splits, {name: str(file) for name, file in files.items()})


def _find_files(kind: str, path: str) -> dict[str, Path]:
    """Returns the file of each split."""
    root = Path(os.path.expanduser(path))
    files = {s: root / f"{s}.{kind}" for s in _SPLITS} if root.is_dir() else {"train": root}
    if not files["train"].is_file():
        raise UserError(f"{kind}:{path}: there is no file {files['train']}")
    return {split_name: file for split_name, file in files.items() if file.is_file()}


def _choose_columns(
    dataset: str,
    files: dict[str, Path],
    frames: dict[str, pd.DataFrame],
    text: Sequence[str],
    label: str | None,
) -> tuple[list[str], str]:
    """Returns the names of the input columns and the label, after checking all files for them."""
    columns = list(frames["train"].columns)
    if label is None:
        raise UserError(
            f"{dataset}: no column to predict: choose one with --label=COLUMN; the columns are "
            f"{', '.join(columns)}"
        )
    for option, column in (("label", label), *(("text", column) for column in text)):
        if column not in columns:
            raise UserError(
                f"{option}={column!r}: {files['train']} has no such column."
                f"{suggest_closest(column, columns)} The columns are {', '.join(columns)}"
            )
    if len(text) > 2 or label in text:
        raise UserError(f"text={','.join(text)}: expected one or two columns other than the label")
    features = list(text) or [column for column in columns if column != label]
    if not features:
        raise UserError(f"{dataset}: {label!r} is the only column; expected feature columns too")
    for split_name, frame in frames.items():
        if differing := set(frame.columns) ^ set(columns):
            file, name = files[split_name], min(differing)
            raise UserError(
                f"{file}: column {name!r} is not in both this file and {files['train'].name}"
            )
    return features, label


def _read_csv(file: Path) -> pd.DataFrame:
    """Reads strings, indexed by the last line number of each row. Empty rows are skipped."""
    content = list(io.StringIO(_read_text(file), newline=""))
    reader = csv.reader(content, skipinitialspace=True)
    names, rows, line_numbers, start, last_start = None, [], [], 1, 1
    try:
        for row in reader:
            last_start, start = start, reader.line_num + 1
            if not row:
                continue
            if names is None:
                names = row
                continue
            if len(row) != len(names):
                lines = _format_lines(file, last_start, reader.line_num)
                raise UserError(
                    f"{lines}: {len(row)} fields, but the first line names {len(names)} columns: "
                    "fix that line (put fields with a comma in quotes, and close every quote)"
                )
            rows.append(row)
            line_numbers.append(reader.line_num)
    except csv.Error as error:
        lines = _format_lines(file, start, max(start, reader.line_num))
        if "field limit" in str(error):
            raise UserError(
                f"{lines}: a field has more than {csv.field_size_limit():,} characters: close the "
                "quote that it begins with, or shorten it"
            ) from None
        raise UserError(f"{lines}: {error}: fix that line") from None
    if names is None:
        raise UserError(f"{file}: the file is empty; expected a line of column names")
    if _has_open_quote(content[last_start - 1 :]):
        lines = _format_lines(file, last_start, len(content))
        raise UserError(f"{lines}: a quote is not closed before the end of the file: close it")
    if invalid := [name for name in names if not is_line(name)]:
        raise UserError(f"{file}, line 1: {invalid[0][:40]!r} is not a valid column name")
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{file}: the first line names the column {duplicate!r} twice")
    return _require_rows(pd.DataFrame(rows, line_numbers, names, dtype=object), file)


def _format_lines(file: Path, start: int, end: int) -> str:
    """Formats the position of a row, which has several lines if it has quoted line breaks."""
    return f"{file}, lines {start} to {end}" if end > start else f"{file}, line {start}"


def _has_open_quote(lines: list[str]) -> bool:
    """Whether the last row of a file ends within quotes; only a strict reader reports this."""
    try:
        list(csv.reader(lines, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _read_jsonl(file: Path) -> pd.DataFrame:
    """Reads JSON values, indexed by line number. Blank lines are skipped, missing keys are NaN."""
    rows, line_numbers = [], []
    for number, line in enumerate(_read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number}: expected a JSON object, {{...}}, on each line")
        if invalid := [key for key in row if not is_line(key)]:
            name = invalid[0][:40]
            raise UserError(f"{file}, line {number}: {name!r} is not a valid column name")
        rows.append(row)
        line_numbers.append(number)
    if not rows:
        raise UserError(f"{file}: the file is empty; expected a JSON object on each line")
    return _require_rows(pd.DataFrame(rows, line_numbers, dtype=object), file)


def _read_text(file: Path) -> str:
    """Reads UTF-8 text, after checking that memory suffices and that there is no NUL byte."""
    size, free = file.stat().st_size, psutil.virtual_memory().available
    if size * _MEMORY_FACTOR > free:
        raise UserError(
            f"{file}: {size >> 20:,} MiB of text need at least {_MEMORY_FACTOR} times as much "
            f"memory, but {free >> 20:,} MiB are free: use fewer rows, or make a TFDS dataset of it"
        )
    content = file.read_bytes()
    if b"\0" in content:
        line = content.partition(b"\0")[0].count(b"\n") + 1
        raise UserError(f"{file}, line {line}: a NUL byte: save the file as UTF-8 text")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}, line {line}: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from None


def _require_rows(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    if len(frame) < 4:
        raise UserError(f"{file}: {len(frame)} rows; expected at least 4 to train and test on")
    return frame


def _require_filled(column: pd.Series, file: Path) -> None:
    """Raises a UserError if a value is missing or blank."""
    blank = column.isna() | column.map(lambda v: isinstance(v, str) and not v.strip())
    lines = column.index[blank]
    if len(lines):
        raise UserError(
            f"{file}, line {lines[0]}: column {column.name!r} is empty ({len(lines)} such lines): "
            "fill in these lines or remove them"
        )


def _reject_values(column: pd.Series, invalid: npt.ArrayLike, file: Path, expected: str) -> None:
    """Raises a UserError about the first row set in the boolean mask `invalid`, if any."""
    rows = np.flatnonzero(invalid)
    if len(rows):
        raise UserError(
            f"{file}, line {column.index[rows[0]]}: column {column.name!r} holds "
            f"{str(column.iloc[rows[0]])[:40]!r} ({len(rows)} such lines); {expected}"
        )


def _read_numbers(column: pd.Series, file: Path) -> np.ndarray:
    """Returns a column as float32."""
    _require_filled(column, file)
    numbers = np.array([_parse_number(value) for value in column], "float32")
    expected = (
        "expected a finite number: encode categories as 0 and 1, remove the column or, if it "
        f"contains texts, pass --text={column.name}"
    )
    _reject_values(column, ~np.isfinite(numbers), file, expected)
    return numbers


def _parse_number(value: Any) -> float:
    """Converts a field to a number, or to NaN if it is not a number."""
    try:
        # float() accepts Python's digit separator, as in 1_000
        return np.nan if "_" in str(value) else float(value)
    except (ValueError, TypeError, OverflowError):
        return np.nan


def _read_strings(column: pd.Series, file: Path) -> np.ndarray:
    """Returns a column of texts as an object array."""
    _require_filled(column, file)
    _reject_values(column, [not is_text(value) for value in column], file, "expected a text")
    return column.to_numpy(object)


def _find_class_names(column: pd.Series, file: Path) -> tuple[str, ...] | None:
    """Returns the class names in order, or None for a regression (numbers with decimals)."""
    _require_filled(column, file)
    not_scalar = [not isinstance(value, str | int | float) for value in column]
    _reject_values(column, not_scalar, file, "expected a string or a number")
    not_line = [not is_line(str(value)) for value in column]
    _reject_values(column, not_line, file, "expected a class name without line breaks")
    all_whole = all(_is_whole(value) for value in column)
    if not all_whole and not any(np.isnan(_parse_number(v)) or isinstance(v, bool) for v in column):
        return None
    names = sorted(set(map(str, column)), key=int if all_whole else None)
    if all_whole and len(names) > max(50, len(column) // 5):
        raise UserError(
            f"{file}: column {column.name!r} holds {len(names)} different whole numbers, too many "
            f"for classes: to predict a number, write it with a decimal point ({names[0]}.0)"
        )
    if len(names) < 2:
        raise UserError(
            f"{file}: column {column.name!r} holds only {names[0]!r}; expected at least 2 classes"
        )
    return tuple(names)


def _is_whole(value: Any) -> bool:
    """Whether a value is an integer or its canonical text, unlike '07'."""
    if isinstance(value, str):
        return len(value) < 19 and value.lstrip("-").isdecimal() and str(int(value)) == value
    return isinstance(value, int) and not isinstance(value, bool)


def _read_targets(
    column: pd.Series, class_names: tuple[str, ...] | None, file: Path, train_file: Path
) -> np.ndarray:
    """Returns class indices, int64 (n,), or the targets of a regression, float32 (n, 1)."""
    if class_names is None:
        return _read_numbers(column, file)[:, None]
    _require_filled(column, file)
    labels = pd.Index(class_names).get_indexer(column.map(str))
    expected = f"expected a class of {train_file.name}: remove these lines"
    _reject_values(column, labels < 0, file, expected)
    return labels.astype("int64")
