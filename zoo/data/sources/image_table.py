"""Reads images that tables list with their labels."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from zoo.data.config import DataConfig, find_label_columns, format_column_kinds
from zoo.data.images.image_files import format_names
from zoo.data.sources.image_paths import find_image_file, look_up_files
from zoo.data.sources.image_streams import make_image_splits
from zoo.data.sources.table_files import Table, reject_values
from zoo.data.sources.table_labels import LabelledRows, read_labelled_rows
from zoo.data.splits import Arrays, LabelledSplits, match_split_name
from zoo.data.tables.cells import strip_cells
from zoo.errors import UserError, format_count, shorten_names
from zoo.schema import suggest_closest

_LABEL_NAMES = ("label", "labels", "class", "target")  # where there are several columns
_SPLIT_COLUMN = "split"


def load_image_paths(
    dataset: str,
    tables: Mapping[str, Table],
    column: str,
    config: DataConfig,
    notes: Sequence[str],
) -> LabelledSplits:
    """Reads the images whose paths a column of tables has, relative to the folder of the table.

    Args:
        dataset: Name of the dataset, for messages.
        tables: Tables by split, "train" among them.
        column: Name of the column of paths.
        config: Names of the columns, and settings of images.
        notes: Notes on the tables.

    Raises:
        UserError: if a label is invalid, or no file is there.
    """
    files = {}
    for split, table in tables.items():
        if column not in table.frame:
            raise UserError(f"{table.path}: there is no column {column!r} of paths of images")
        names = strip_cells(table.frame[column]).dropna().unique()
        paths = {name: find_image_file(table.path.parent, name) for name in names}
        index = {name: str(path) for name, path in paths.items() if path}
        files[split] = look_up_files(table, column, index)
    note = (
        f"{tables['train'].path}: column {column!r} has the images to learn from "
        f"({format_column_kinds([column], 'drop')} learns from the other columns instead)"
    )
    return make_listed_splits(dataset, tables, files, column, config, (*notes, note))


def make_listed_splits(
    dataset: str,
    tables: Mapping[str, Table],
    files: Mapping[str, pd.Series],
    column: str,
    config: DataConfig,
    notes: Sequence[str],
) -> LabelledSplits:
    """Returns the splits of the images that tables list.

    Args:
        dataset: Name of the dataset, for messages.
        tables: Tables by split, "train" among them, which alone may have rows of all splits.
        files: Path of the image of each row, None where it is not there, by split.
        column: Name of the column of files.
        config: Names of the columns, and settings of images.
        notes: Notes on the tables.

    Raises:
        UserError: if a label is invalid, no file is there, or two rows disagree on an image.
    """
    train = tables["train"]
    if config.columns:
        raise UserError(f"columns: {dataset} has images, and no columns of a table: omit --columns")
    config, label_notes = _choose_label(train, column, config)
    assert config.label is not None  # `_choose_label` sets it
    splits, split_notes = _assign_splits(tables, files, config)
    labelled, target, more_notes = read_labelled_rows(dict(tables), config.label, config)
    all_notes = [*notes, *label_notes, *split_notes, *more_notes]
    all_notes += [note for table in tables.values() for note in table.notes]
    listings: dict[str, Arrays] = {}
    origins: dict[str, str] = {}
    seen: dict[str, tuple[str, bytes]] = {}
    for name, rows in labelled.items():
        table = tables[name]
        listed, new_notes = _list_images(table, column, files[name], splits[name], rows, seen)
        listings |= listed
        all_notes += new_notes
        is_whole = len(tables) > 1 or len(listed) == 1
        origins |= {x: f"{table.path}" if is_whole else f"{x} rows of {table.path}" for x in listed}
    if "train" not in listings:
        raise UserError(f"{train.path}: no labelled row is of the training split: add some")
    return make_image_splits(dataset, listings, target, config, origins, all_notes)


def _choose_label(table: Table, column: str, config: DataConfig) -> tuple[DataConfig, list[str]]:
    """Returns the config with the label, and notes on how it was found and what is not read.

    Raises:
        UserError: if a column does not exist, or it is not clear which one is the label.
    """
    names, notes = list(map(str, table.frame)), []
    given = {column, config.group, config.time, config.slices}
    others = [name for name in names if name not in given and name.lower() != _SPLIT_COLUMN]
    if config.label is None:
        named = [name for name in others if name.lower() in _LABEL_NAMES]
        found = others if len(others) == 1 else named
        if len(found) != 1:
            raise UserError(
                f"{table.path}: no column to predict: choose one with --label=COLUMN, or several "
                f"columns of 0 and 1 with --label=A,B; the columns are {shorten_names(names)}"
            )
        config = dataclasses.replace(config, label=found[0])
        notes.append(f"{table.path}: the column {found[0]!r} is the label")
    labels = find_label_columns(str(config.label), names)
    used = [("label", label) for label in labels]
    used += [(x, getattr(config, x) or column) for x in ("group", "time", "slices")]
    for option, name in used:
        if name not in names:
            raise UserError(
                f"{option}={name!r}: {table.path} has no such column."
                f"{suggest_closest(name, names)} The columns are {shorten_names(names)}"
            )
    if unread := [name for name in others if name not in labels]:
        notes.append(f"{table.path}: these columns are not read: {shorten_names(unread)}")
    return config, notes


def _assign_splits(
    tables: Mapping[str, Table], files: Mapping[str, pd.Series], config: DataConfig
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the split of each row of each table, and notes.

    It is that of the table where there are several; else that in the column "split", or that of
    the folder of the image where all are in folders of splits.
    """
    if len(tables) > 1:
        sizes = {name: len(table.frame) for name, table in tables.items()}
        return {name: np.full(size, name, object) for name, size in sizes.items()}, []
    table, paths = tables["train"], files["train"]
    labels = find_label_columns(str(config.label), table.frame)
    names = [name for name in table.frame if name.lower() == _SPLIT_COLUMN and name not in labels]
    if names:
        cells = strip_cells(table.frame[names[0]])
        splits = cells.map(match_split_name, na_action="ignore").to_numpy(object)
        unknown = np.array([not isinstance(split, str) for split in splits])
        reject_values(table, names[0], unknown, "expected train, validation or test")
        return {"train": splits}, []
    tops = paths.map(lambda path: _find_top(path, table.path.parent), na_action="ignore")
    found = tops.dropna().tolist()
    if found and all(map(match_split_name, found)) and "train" in map(match_split_name, found):
        splits = tops.map(match_split_name, na_action="ignore")
        shown = ", ".join(sorted(set(found)))
        note = f"{table.path}: the folders of the images are taken for their splits: {shown}"
        return {"train": splits.where(paths.notna(), "train").to_numpy(object)}, [note]
    return {"train": np.full(len(paths), "train", object)}, []


def _find_top(path: str, folder: PurePath) -> str:
    """Returns the folder within a folder that an image is in; "" for an image elsewhere."""
    return (
        PurePath(path).relative_to(folder).parts[0] if PurePath(path).is_relative_to(folder) else ""
    )


def _list_images(
    table: Table,
    column: str,
    files: pd.Series,
    splits: np.ndarray,
    rows: LabelledRows,
    seen: dict[str, tuple[str, bytes]],
) -> tuple[dict[str, Arrays], list[str]]:
    """Returns the paths and targets of the images of a table by split, and notes.

    Args:
        table: The table.
        column: Name of the column of files.
        files: Path of the image of each row, None where it is not there.
        splits: Split of each row.
        rows: The rows with a label.
        seen: As in `_find_repeated`.

    Raises:
        UserError: if no file is there, or two rows disagree on an image.
    """
    notes, is_there = [], files.notna().to_numpy(bool)
    names = table.frame[column].fillna("").astype(str).to_numpy(object)
    if not is_there.any():
        raise UserError(
            f"{table.path}: no file of the column {column!r} is there, such as {names[0]!r}: "
            f"expected paths relative to {table.path.parent}"
        )
    if missing := names[~is_there].tolist():
        notes.append(
            f"{table.path}: left out: {format_count(len(missing), 'row')} whose file is not there "
            f"({format_names(missing)})"
        )
    paths = files.to_numpy(object)[rows.rows]
    listed = Arrays(paths, rows.y, rows.groups, rows.times, slices=rows.slices)
    assigned, kept = splits[rows.rows], is_there[rows.rows]
    repeated = _find_repeated(table, np.flatnonzero(rows.rows), listed, assigned, seen) & kept
    if repeated.any():
        notes.append(
            f"{table.path}: left out: {format_count(int(repeated.sum()), 'row')} with the image of "
            "another row"
        )
    kept &= ~repeated
    parts = {split: kept & (assigned == split) for split in dict.fromkeys(assigned[kept])}
    return {split: listed.select_rows(part) for split, part in parts.items()}, notes


def _find_repeated(
    table: Table,
    numbers: np.ndarray,
    listed: Arrays,
    assigned: np.ndarray,
    seen: dict[str, tuple[str, bytes]],
) -> np.ndarray:
    """Returns which rows name an image that an earlier row has, with the same label and split.

    Args:
        table: The table.
        numbers: The numbers of the rows in the table, int64 (n,).
        listed: Paths and targets of the rows.
        assigned: Their splits.
        seen: Split and target of the images of earlier tables by path; those of this one are added.

    Raises:
        UserError: if the label or the split differs.
    """
    repeated = np.zeros(len(listed), bool)
    for row, (path, split, y) in enumerate(zip(listed.x, assigned, listed.y, strict=True)):
        if path is None:
            continue
        entry = (split, y.tobytes())
        if seen.get(path, entry) != entry:
            raise UserError(
                f"{table.find_line(numbers[row])}: {path} has another row with another label or "
                "split: keep one of them (several labels of an image belong in one row, as in a|b)"
            )
        repeated[row] = path in seen
        seen[path] = entry
    return repeated
