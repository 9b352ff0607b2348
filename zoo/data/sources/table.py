"""Reads tables whose inputs are columns of numbers, categories and dates, or texts."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from zoo.data.config import DataConfig
from zoo.data.labels import Target, clean_labels, encode_target, read_target
from zoo.data.sources.table_files import Table, read_table
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, LabelledSplits
from zoo.errors import UserError
from zoo.schema import is_text, suggest_closest

# names of the files of a folder, in any case, before the extension
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_MIN_ROWS = 4


def load_table(kind: str, path: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a file, or of the files train, validation and test of a folder.

    Args:
        kind: "csv", "tsv", "jsonl" or "parquet", also the file extension in a folder.
        path: A file or a folder.
        config: Names of the columns, and what is known of a trained model.

    Returns:
        Splits whose inputs are texts, or a DataFrame of the cells of all other columns.

    Raises:
        UserError: if a file, column or value is invalid. The message contains the line number.
    """
    files, notes = _find_files(kind, path)
    tables = {name: read_table(kind, file, config.separator) for name, file in files.items()}
    label = config.label
    columns = _choose_columns(f"{kind}:{path}", tables["train"], config.text, label)
    assert label is not None  # `_choose_columns` requires it
    if config.known_columns:
        columns, notes = _match_columns(columns, config, tables["train"], notes)
    labels, notes = _read_labels(tables, label, notes)
    if len(labels["train"]) < _MIN_ROWS and not config.known_classes:
        raise UserError(
            f"{files['train']}: {len(labels['train'])} rows; expected at least {_MIN_ROWS} to "
            "train and test on"
        )
    if config.known_classes:
        target = Target(config.known_classes)
    else:
        target = read_target(labels["train"].dropna(), tables["train"], config.task)
    source = "the model" if config.known_classes else files["train"].name
    splits = {}
    for name, cells in labels.items():
        _check_columns(tables[name], columns, f"{files['train'].name} has")
        y = _encode_labels(cells, target, tables[name], source)
        frame, rows = tables[name].frame[columns], cells.notna().to_numpy()
        x = _read_texts(frame, rows, tables[name]) if config.text else frame[rows]
        splits[name] = Arrays(x, y)
    notes += tuple(note for table in tables.values() for note in table.notes)
    class_names = target.class_names
    if config.text:
        kind = "text" if len(config.text) == 1 else "text_pair"
        spec = Spec(kind, (), class_names, tuple(config.text))
    else:
        spec = Spec("features", (len(columns),), class_names, tuple(columns))
    origins = {name: str(files[name]) for name in splits}
    return LabelledSplits("", spec, splits, origins, notes)


def _find_files(kind: str, path: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Returns the file of each split, and notes on files that are passed over."""
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        if not root.is_file():
            raise UserError(f"{kind}:{path}: there is no file {root}")
        return {"train": root}, ()
    files: dict[str, Path] = {}
    others = []
    for file in sorted(root.rglob(f"*.{kind}*") if kind == "parquet" else root.iterdir()):
        stem, _, extension = file.name.lower().partition(".")
        if extension not in (kind, f"{kind}.gz") or file.name.startswith("."):
            continue
        stem = stem.split("-0")[0]  # train-00000-of-00001.parquet of Hugging Face's datasets
        split = next((s for s, names in SPLIT_NAMES.items() if stem in names), None)
        if split and split not in files:
            files[split] = file
        else:
            others.append(file.name)
    if "train" not in files:
        raise UserError(f"{kind}:{path}: there is no file {root / f'train.{kind}'}")
    if len(files) == 1 and "validation" in files:
        others.append(files["validation"].name)
    notes = (f"{root}: these files are not read: {', '.join(others)}",) if others else ()
    return files, notes


def _choose_columns(
    dataset: str, train: Table, text: Sequence[str], label: str | None
) -> list[str]:
    """Returns the names of the input columns, after checking those that the user gave."""
    columns = list(train.frame.columns)
    if label is None:
        raise UserError(
            f"{dataset}: no column to predict: choose one with --label=COLUMN; the columns are "
            f"{', '.join(columns)}"
        )
    for option, column in (("label", label), *(("text", column) for column in text)):
        if column not in columns:
            raise UserError(
                f"{option}={column!r}: {train.path} has no such column."
                f"{suggest_closest(column, columns)} The columns are {', '.join(columns)}"
            )
    if len(text) > 2 or label in text:
        raise UserError(f"text={','.join(text)}: expected one or two columns other than the label")
    features = list(text) or [column for column in columns if column != label]
    if not features:
        raise UserError(f"{dataset}: {label!r} is the only column; expected feature columns too")
    return features


def _match_columns(
    columns: list[str], config: DataConfig, table: Table, notes: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the columns of a trained model, and a note on those that it does not read."""
    known = [column.name for column in config.known_columns]
    _check_columns(table, known, "the model reads")
    if others := [name for name in columns if name not in known]:
        notes += (f"{table.path}: the model does not read the columns {', '.join(others)}",)
    if [name for name in columns if name in known] != known:
        order = ", ".join(known)
        notes += (f"{table.path}: the columns are read in the order of the model: {order}",)
    return known, notes


def _check_columns(table: Table, columns: list[str], reason: str) -> None:
    if missing := set(columns) - set(table.frame.columns):
        name = min(missing)
        raise UserError(
            f"{table.path}: there is no column {name!r}, which {reason}."
            f"{suggest_closest(name, table.frame.columns)}"
        )


def _read_labels(
    tables: dict[str, Table], label: str, notes: tuple[str, ...]
) -> tuple[dict[str, pd.Series], tuple[str, ...]]:
    """Returns the labels of each split that has some, null where they are missing, and notes."""
    labels = {}
    for name, table in tables.items():
        if label not in table.frame:
            notes += (f"{table.path} is left out: it has no column {label!r}",)
            continue
        _reject_values(
            table,
            label,
            table.frame[label].map(lambda value: isinstance(value, list)),
            "expected a string or a number",
        )
        labels[name], new_notes = clean_labels(table.frame[label])
        if name != "train" and labels[name].isna().all():
            notes += (f"{table.path} is left out: its column {label!r} is empty",)
            del labels[name]
            continue
        notes += tuple(f"{table.path}: {note}" for note in new_notes)
    if labels["train"].isna().all():
        raise UserError(
            f"{tables['train'].path}: the column {label!r} is empty: choose another with --label"
        )
    return labels, notes


def _encode_labels(labels: pd.Series, target: Target, table: Table, source: str) -> np.ndarray:
    """Returns the targets of the rows with a label; see `encode_target`."""
    present = labels.dropna()
    y = encode_target(present, target)
    if target.class_names is None:
        invalid, expected = np.isnan(y[:, 0]), "expected a number"
    else:
        invalid, expected = y < 0, f"expected a class of {source}: remove these lines"
    is_invalid = np.zeros(len(labels), bool)
    is_invalid[labels.notna()] = invalid
    _reject_values(table, str(labels.name), is_invalid, expected)
    return y


def _read_texts(frame: pd.DataFrame, rows: np.ndarray, table: Table) -> np.ndarray:
    """Returns texts as an object array of shape (n,), or (n, 2) for pairs.

    Raises:
        UserError: if a cell is empty or no text.
    """
    columns = []
    for name in frame:
        cells = frame[name]
        blank = cells.isna() | cells.map(lambda cell: isinstance(cell, str) and not cell.strip())
        found = np.flatnonzero(blank & rows)
        if len(found):
            raise UserError(
                f"{table.find_line(found[0])}: column {name!r} is empty ({len(found)} such lines): "
                "fill in these lines or remove them"
            )
        is_invalid = ~cells.map(is_text).to_numpy(bool) & rows
        _reject_values(table, str(name), is_invalid, "expected a text")
        columns.append(cells.to_numpy(object)[rows])
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _reject_values(table: Table, name: str, invalid: npt.ArrayLike, expected: str) -> None:
    """Raises a UserError about the first row set in the boolean mask `invalid`, if any."""
    rows = np.flatnonzero(invalid)
    if len(rows):
        raise UserError(
            f"{table.find_line(rows[0])}: column {name!r} holds "
            f"{str(table.frame[name].iloc[rows[0]])[:40]!r} ({len(rows)} such lines); {expected}"
        )
