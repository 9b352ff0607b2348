"""Tables of the user's own, CSV and JSON Lines: plain features, texts or pairs of texts."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from zoo.data.spec import Arrays, Source, Spec
from zoo.errors import UserError
from zoo.schema import closest, is_line, is_text

_EXPANSION = 5  # times its size that a file takes in memory, texts least, short numbers 20
_SPLITS = ("train", "validation", "test")


def load(kind: str, path: str, text: Sequence[str], label: str | None) -> Source:
    """Reads PATH, or PATH/train.csv and, where they are there, validation.csv and test.csv.

    A CSV file's first line names the columns; each line of a JSON Lines file is an object. With
    `text` the inputs are one or two columns of texts; else all but the label are features and must
    be numbers. A label with a decimal point makes a regression, any other a classification.

    Args:
        kind: "csv" or "jsonl", which is also the ending of the files in a folder.
        path: A file or a folder.
        text: Names of the columns of texts, or nothing.
        label: Name of the column to predict.

    Raises:
        UserError: if a file, a column or a value does not do; it names the line.
    """
    where = Path(os.path.expanduser(path))
    if where.is_dir():
        files = {s: where / f"{s}.{kind}" for s in _SPLITS if (where / f"{s}.{kind}").is_file()}
    else:
        files = {"train": where}
    if "train" not in files or not files["train"].is_file():
        missing = where / f"train.{kind}" if where.is_dir() else where
        raise UserError(f"{kind}:{path}: there is no file {missing}")
    read = _read_csv if kind == "csv" else _read_jsonl
    frames = {part: read(file) for part, file in files.items()}

    columns = list(frames["train"].columns)
    if label is None:
        raise UserError(
            f"{kind}:{path}: say which column to predict with --label=COLUMN; there are "
            f"{', '.join(columns)}"
        )
    for option, column in (("label", label), *(("text", column) for column in text)):
        if column not in columns:
            raise UserError(
                f"{option}={column!r}: {files['train']} has no such column."
                f"{closest(column, columns)} There are {', '.join(columns)}"
            )
    if len(text) > 2 or label in text:
        raise UserError(f"text={','.join(text)}: expected one or two columns beside the label")
    features = list(text) or [column for column in columns if column != label]
    if not features:
        raise UserError(f"{kind}:{path}: {label!r} is the only column; expected features beside it")
    for part, frame in frames.items():
        if set(frame.columns) != set(columns):
            odd = min(set(frame.columns) ^ set(columns))
            raise UserError(
                f"{files[part]}: column {odd!r} is not in both this file and {files['train'].name}"
            )

    class_names = _class_names(frames["train"][label], files["train"])
    values = _strings if text else _numbers
    splits = {
        part: Arrays(
            _side_by_side([values(frame[c], files[part]) for c in features], squeeze=bool(text)),
            _labels(frame[label], class_names, files[part], files["train"]),
        )
        for part, frame in frames.items()
    }
    if text:
        spec = Spec("text" if len(text) == 1 else "text_pair", (), class_names)
    else:
        spec = Spec("features", (len(features),), class_names, tuple(features))
    return Source("", spec, splits, {part: str(file) for part, file in files.items()})


def _read_csv(file: Path) -> pd.DataFrame:
    """Strings, by the line that each row ends on; rows without any field are passed over."""
    content = list(io.StringIO(_decoded(file), newline=""))
    reader = csv.reader(content, skipinitialspace=True)
    names, rows, lines, start, last = None, [], [], 1, 1
    try:
        for row in reader:
            place = _lines(file, start, reader.line_num)
            last, start = start, reader.line_num + 1
            if not row:
                continue
            if names is None:
                names = row
                continue
            if len(row) != len(names):
                raise UserError(
                    f"{place}: {len(row)} fields, but the first line names {len(names)} columns: "
                    "mend that line (a field with a comma needs quotes, and a quote its end)"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        place = _lines(file, start, max(start, reader.line_num))
        if "field limit" in str(error):
            raise UserError(
                f"{place}: a field has more than {csv.field_size_limit():,} characters: close the "
                "quote that it begins with, or shorten it"
            ) from None
        raise UserError(f"{place}: {error}: mend that line") from None
    if names is None:
        raise UserError(f"{file}: the file is empty; expected a line of column names")
    if _is_open(content[last - 1 :]):
        place = _lines(file, last, len(content))
        raise UserError(f"{place}: a quote without an end, which takes all that follows: close it")
    if odd := [name for name in names if not is_line(name)]:
        raise UserError(f"{file}, line 1: {odd[0][:40]!r} is no name for a column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{file}: the first line names the column {twice!r} twice")
    return _enough(pd.DataFrame(rows, lines, names, dtype=object), file)


def _lines(file: Path, start: int, end: int) -> str:
    """Where a row stands, which with quotes may go over many lines."""
    return f"{file}, lines {start} to {end}" if end > start else f"{file}, line {start}"


def _is_open(row: list[str]) -> bool:
    """Whether the lines of the last row end within quotes, which only a strict reader minds."""
    try:
        list(csv.reader(row, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _read_jsonl(file: Path) -> pd.DataFrame:
    """JSON values, by line; blank lines are passed over, missing keys are gaps."""
    rows, lines = [], []
    for number, line in enumerate(_decoded(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number}: expected a JSON object, {{...}}, on each line")
        if odd := [key for key in row if not is_line(key)]:
            raise UserError(f"{file}, line {number}: {odd[0][:40]!r} is no name for a column")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise UserError(f"{file}: the file is empty; expected a JSON object on each line")
    return _enough(pd.DataFrame(rows, lines, dtype=object), file)


def _decoded(file: Path) -> str:
    size, free = file.stat().st_size, psutil.virtual_memory().available
    if size * _EXPANSION > free:
        raise UserError(
            f"{file}: {size >> 20:,} MiB of text take at least {_EXPANSION} times that in memory, "
            f"of which {free >> 20:,} MiB are free: take a part of it, or make a TFDS dataset of it"
        )
    content = file.read_bytes()
    if b"\0" in content:
        line = content.partition(b"\0")[0].count(b"\n") + 1
        raise UserError(f"{file}, line {line}: a NUL byte, which is no text: save it as UTF-8")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}, line {line}: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from None


def _enough(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    if len(frame) < 4:
        raise UserError(f"{file}: {len(frame)} rows; expected at least 4 to train and test on")
    return frame


def _side_by_side(columns: list[np.ndarray], squeeze: bool) -> np.ndarray:
    """Columns of shape (n,) as (n, columns), or one alone as (n,) if it is to be squeezed."""
    return columns[0] if squeeze and len(columns) == 1 else np.stack(columns, axis=1)


def _refuse_gaps(column: pd.Series, file: Path) -> None:
    gaps = column.index[column.isna() | column.map(lambda v: isinstance(v, str) and not v.strip())]
    if len(gaps):
        raise UserError(
            f"{file}, line {gaps[0]}: column {column.name!r} is empty ({len(gaps)} such lines): "
            "fill them in or leave them out"
        )


def _refuse(column: pd.Series, wrong: np.ndarray, file: Path, expected: str) -> None:
    """Names the first of the rows that are set in the mask `wrong`, if there is one."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise UserError(
            f"{file}, line {column.index[rows[0]]}: column {column.name!r} holds "
            f"{str(column.iloc[rows[0]])[:40]!r} ({len(rows)} such lines); {expected}"
        )


def _numbers(column: pd.Series, file: Path) -> np.ndarray:
    """A column as float32."""
    _refuse_gaps(column, file)
    numbers = np.array([_number(value) for value in column], "float32")
    expected = (
        "expected a finite number: turn classes into 0 and 1 columns, leave it out or, if it holds "
        f"texts, take --text={column.name}"
    )
    _refuse(column, ~np.isfinite(numbers), file, expected)
    return numbers


def _number(value: Any) -> float:
    """The number that a field of a file holds, NaN if it is none."""
    try:
        # Python's own separator of digits is none in data
        return np.nan if "_" in str(value) else float(value)
    except (ValueError, TypeError, OverflowError):
        return np.nan


def _strings(column: pd.Series, file: Path) -> np.ndarray:
    """A column of texts as an object array."""
    _refuse_gaps(column, file)
    _refuse(column, [not is_text(value) for value in column], file, "expected a text")
    return column.to_numpy(object)


def _class_names(column: pd.Series, file: Path) -> tuple[str, ...] | None:
    """Names of the classes in order, or None for numbers with decimals: a regression."""
    _refuse_gaps(column, file)
    plain = [isinstance(value, str | int | float) for value in column]
    _refuse(column, np.logical_not(plain), file, "expected a string or a number")
    lines = [is_line(str(value)) for value in column]
    _refuse(column, np.logical_not(lines), file, "expected the name of a class in one line")
    whole = all(_is_whole(value) for value in column)
    if not whole and not any(np.isnan(_number(v)) or isinstance(v, bool) for v in column):
        return None
    names = sorted(set(map(str, column)), key=int if whole else None)
    if whole and len(names) > max(50, len(column) // 5):
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
    """Whether it is a whole number, or the text of one; the text 07 is a name."""
    if isinstance(value, str):
        return len(value) < 19 and value.lstrip("-").isdecimal() and str(int(value)) == value
    return isinstance(value, int) and not isinstance(value, bool)


def _labels(
    column: pd.Series, class_names: tuple[str, ...] | None, file: Path, train: Path
) -> np.ndarray:
    if class_names is None:
        return _numbers(column, file)[:, None]
    _refuse_gaps(column, file)
    labels = pd.Index(class_names).get_indexer(column.map(str))
    _refuse(column, labels < 0, file, f"which {train.name} never does: leave them out")
    return labels.astype("int64")
