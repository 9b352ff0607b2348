"""Tables of the user's own, CSV and JSON Lines: plain features, texts or pairs of texts."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.spec import Arrays, Source, Spec
from zoo.errors import UserError
from zoo.schema import closest

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
    where = Path(path).expanduser()
    if where.is_dir():
        files = {s: where / f"{s}.{kind}" for s in _SPLITS if (where / f"{s}.{kind}").is_file()}
    else:
        files = {"train": where}
    if "train" not in files or not files["train"].is_file():
        missing = where / f"train.{kind}" if where.is_dir() else where
        raise UserError(f"{kind}:{path}: there is no file {missing}")
    read = _read_csv if kind == "csv" else _read_jsonl
    frames = {part: read(file, text) for part, file in files.items()}

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

    class_names = _class_names(frames["train"][label], files["train"], label)
    values = _strings if text else _numbers
    splits = {
        part: Arrays(
            _side_by_side([values(frame[c], files[part]) for c in features], squeeze=bool(text)),
            _labels(frame[label], class_names, files[part]),
        )
        for part, frame in frames.items()
    }
    if text:
        spec = Spec("text" if len(text) == 1 else "text_pair", (), class_names)
    else:
        spec = Spec("features", (len(features),), class_names, tuple(features))
    return Source("", spec, splits, {part: str(file) for part, file in files.items()})


def _read_csv(file: Path, text: Sequence[str]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = pd.read_csv(
                file,
                skipinitialspace=True,
                low_memory=False,
                # so that a text such as NA or 007 stays as it is
                converters=dict.fromkeys(text, str),
            )
    except pd.errors.EmptyDataError:
        raise UserError(f"{file}: the file is empty; expected a line of column names") from None
    except pd.errors.ParserError as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UserError(
            f"{file}: {reason}: mend that line, so that all have as many fields as the first"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"{file}: line 2 has more fields than the first line has column names")
    # quoted texts may go over several lines
    breaks = sum((frame[c].str.count("\n") for c in text if c in frame), np.zeros(len(frame), int))
    frame.index = 2 + np.arange(len(frame)) + np.cumsum(breaks) - breaks
    return _enough(frame, file)


def _read_jsonl(file: Path, text: Sequence[str]) -> pd.DataFrame:
    rows, lines = [], []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError:
            raise UserError(f"{file}, line {number}: not UTF-8: save the file as UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}, line {number}: this is no JSON ({error})") from None
        if not isinstance(row, dict):
            raise UserError(f'{file}, line {number}: expected an object, such as {{"text": ...}}')
        rows.append(row)
        lines.append(number)
    if not rows:
        raise UserError(f"{file}: the file is empty; expected a JSON object on each line")
    return _enough(pd.DataFrame(rows, index=lines), file)


def _enough(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    if len(frame) < 4:
        raise UserError(f"{file}: {len(frame)} rows; expected at least 4 to train and test on")
    return frame


def _side_by_side(columns: list[np.ndarray], squeeze: bool) -> np.ndarray:
    """Columns of shape (n,) as (n, columns), or one alone as (n,) if it is to be squeezed."""
    return columns[0] if squeeze and len(columns) == 1 else np.stack(columns, axis=1)


def _refuse_gaps(column: pd.Series, file: Path) -> None:
    gaps = np.flatnonzero(column.isna())
    if len(gaps):
        raise UserError(
            f"{file}, line {column.index[gaps[0]]}: column {column.name!r} is empty "
            f"({len(gaps)} such lines): fill them in or leave them out"
        )


def _numbers(column: pd.Series, file: Path) -> np.ndarray:
    """A column as float32."""
    _refuse_gaps(column, file)
    try:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy("float32")
    except TypeError:  # lists and objects of JSON
        numbers = np.full(len(column), np.nan, "float32")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise UserError(
            f"{file}, line {column.index[wrong[0]]}: column {column.name!r} holds "
            f"{str(column.iloc[wrong[0]])[:40]!r} ({len(wrong)} such lines); expected a finite "
            "number: turn classes into 0 and 1 columns, or leave the column out"
        )
    return numbers


def _strings(column: pd.Series, file: Path) -> np.ndarray:
    """A column of texts as an object array."""
    _refuse_gaps(column.map(lambda v: np.nan if v == "" or str(v).isspace() else v), file)
    odd = [line for line, value in column.items() if not isinstance(value, str)]
    if odd:
        raise UserError(
            f"{file}, line {odd[0]}: column {column.name!r} holds {str(column[odd[0]])[:40]!r} "
            f"({len(odd)} such lines); expected a text"
        )
    return column.to_numpy(object)


def _class_names(column: pd.Series, file: Path, label: str) -> tuple[str, ...] | None:
    """Names of the classes in order, or None for a column of floats: a regression."""
    _refuse_gaps(column, file)
    if pd.api.types.is_float_dtype(column):
        return None
    try:
        values = sorted(column.unique())
    except TypeError:
        raise UserError(
            f"{file}: column {label!r} holds values of several types, or lists; expected "
            "strings or numbers alone"
        ) from None
    if pd.api.types.is_integer_dtype(column) and len(values) > max(50, len(column) // 5):
        raise UserError(
            f"{file}: column {label!r} holds {len(values)} different whole numbers, too many for "
            f"classes: to predict a number, write it with a decimal point ({values[0]}.0)"
        )
    if len(values) < 2:
        raise UserError(
            f"{file}: column {label!r} holds only {str(values[0])!r}; expected at least 2 classes"
        )
    return tuple(map(str, values))


def _labels(column: pd.Series, class_names: tuple[str, ...] | None, file: Path) -> np.ndarray:
    if class_names is None:
        return _numbers(column, file)[:, None]
    _refuse_gaps(column, file)
    labels = pd.Index(class_names).get_indexer(column.astype(str))
    wrong = np.flatnonzero(labels < 0)
    if len(wrong):
        raise UserError(
            f"{file}, line {column.index[wrong[0]]}: column {column.name!r} holds "
            f"{str(column.iloc[wrong[0]])[:40]!r}, which train.csv never does"
        )
    return labels.astype("int64")
