"""Plain features from CSV files of the user's own."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.spec import Arrays, Source, Spec
from zoo.errors import UserError
from zoo.schema import closest

_SPLITS = ("train", "validation", "test")


def load(path: str, label: str | None) -> Source:
    """Reads PATH, or PATH/train.csv and, where they are there, validation.csv and test.csv.

    The first line names the columns. All but the label are features and must be numbers. A label
    with a decimal point makes a regression, any other a classification.

    Raises:
        UserError: if a file, a column or a value does not do; it names the line.
    """
    where = Path(path).expanduser()
    if where.is_dir():
        files = {s: where / f"{s}.csv" for s in _SPLITS if (where / f"{s}.csv").is_file()}
    else:
        files = {"train": where}
    if "train" not in files or not files["train"].is_file():
        missing = where / "train.csv" if where.is_dir() else where
        raise UserError(f"csv:{path}: there is no file {missing}")
    frames = {part: _read(file) for part, file in files.items()}

    columns = list(frames["train"].columns)
    if label is None:
        raise UserError(
            f"csv:{path}: say which column to predict with --label=COLUMN; there are "
            f"{', '.join(columns)}"
        )
    if label not in columns:
        raise UserError(
            f"label={label!r}: {files['train']} has no such column.{closest(label, columns)} There "
            f"are {', '.join(columns)}"
        )
    features = [column for column in columns if column != label]
    if not features:
        raise UserError(f"csv:{path}: {label!r} is the only column; expected features beside it")
    for part, frame in frames.items():
        if set(frame.columns) != set(columns):
            odd = min(set(frame.columns) ^ set(columns))
            raise UserError(f"{files[part]}: column {odd!r} is not in both this file and train.csv")

    class_names = _class_names(frames["train"][label], files["train"], label)
    splits = {
        part: Arrays(
            np.stack([_numbers(frame[c], files[part]) for c in features], axis=1),
            _labels(frame[label], class_names, files[part]),
        )
        for part, frame in frames.items()
    }
    spec = Spec("features", (len(features),), class_names, tuple(features))
    return Source("", spec, splits, {part: str(file) for part, file in files.items()})


def _read(file: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = pd.read_csv(file, skipinitialspace=True, low_memory=False)
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
    if len(frame) < 4:
        raise UserError(f"{file}: {len(frame)} rows; expected at least 4 to train and test on")
    return frame


def _line(row: int) -> int:
    """Number in the file of a row of the frame: the first line names the columns."""
    return row + 2


def _refuse_gaps(column: pd.Series, file: Path) -> None:
    gaps = np.flatnonzero(column.isna())
    if len(gaps):
        raise UserError(
            f"{file}, line {_line(gaps[0])}: column {column.name!r} is empty ({len(gaps)} such "
            "lines): fill them in or leave them out"
        )


def _numbers(column: pd.Series, file: Path) -> np.ndarray:
    """A column as float32."""
    _refuse_gaps(column, file)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy("float32")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise UserError(
            f"{file}, line {_line(wrong[0])}: column {column.name!r} holds "
            f"{str(column.iloc[wrong[0]])[:40]!r} ({len(wrong)} such lines); expected a finite "
            "number: turn classes into 0 and 1 columns, or leave the column out"
        )
    return numbers


def _class_names(column: pd.Series, file: Path, label: str) -> tuple[str, ...] | None:
    """Names of the classes in order, or None for a column of floats: a regression."""
    _refuse_gaps(column, file)
    if pd.api.types.is_float_dtype(column):
        return None
    values = sorted(column.unique())
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
            f"{file}, line {_line(wrong[0])}: column {column.name!r} holds "
            f"{str(column.iloc[wrong[0]])[:40]!r}, which train.csv never does"
        )
    return labels.astype("int64")
