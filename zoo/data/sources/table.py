"""Reads tables whose inputs are columns of numbers, categories and dates, or texts."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.config import DataConfig, find_label_columns, format_column_kinds
from zoo.data.memory import choose_budget
from zoo.data.sources.image_paths import describe_lost_images, find_path_column
from zoo.data.sources.image_table import load_image_paths
from zoo.data.sources.odd_rows import describe_comments, describe_totals
from zoo.data.sources.table_files import StorageOptions, Table, read_table, reject_values
from zoo.data.sources.table_folders import find_split_files
from zoo.data.sources.table_labels import read_labelled_rows
from zoo.data.sources.table_parts import join_parts, read_parts
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, LabelledSplits
from zoo.data.tables.cells import (
    FLOAT,
    STRING,
    find_number_form,
    has_numbers,
    have_decimal_commas,
)
from zoo.data.tables.columns import DROP
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.row_texts import RowTexts
from zoo.errors import UserError, shorten_names
from zoo.schema import is_text, suggest_closest


def load_table(kind: str, path: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a file, or of the files train, validation and test of a folder.

    Args:
        kind: One of `TABLE_KINDS`, also the file extension in a folder.
        path: A file or a folder.
        config: Names of the columns, and what is known of a trained model.

    Returns:
        Splits whose inputs are texts, images, or the rows of all other columns.

    Raises:
        UserError: if a file, column or value is invalid. The message contains the line number.
    """
    files, notes = find_split_files(kind, path)
    tables = _read_tables(kind, files, config)
    if column := find_path_column(tables["train"], config):
        return load_image_paths(f"{kind}:{path}", tables, column, config, notes)
    for setting in ("image_size", "resize", "color", "skip_broken"):
        if value := getattr(config, setting):
            raise UserError(f"{setting}={value}: {kind}:{path} has no images to resize")
    notes += tuple(describe_lost_images(tables["train"], config))
    config = dataclasses.replace(config, text=_join_parted_name(config.text, tables["train"]))
    return make_table_splits(f"{kind}:{path}", tables, config, notes)


def _read_tables(kind: str, files: dict[str, list[Path]], config: DataConfig) -> dict[str, Table]:
    """Reads the files of each split. A column has numbers in all of them, or strings in all."""
    labels = (config.label or "", *map(str.strip, (config.label or "").split(",")))
    others = (config.group, config.time, config.weight, ",".join(config.text))
    named = (*labels, *config.text, *others, *config.strings)
    kinds = (*config.columns, *((column.name, column.kind) for column in config.known_columns))
    strings = {name for name in named if name} | {n for n, kind in kinds if kind != "number"}
    if kind in ("csv", "tsv"):  # which would read 1.200 as 1.2
        strings |= {column.name for column in config.known_columns if column.thousands == "."}
    budget = choose_budget(config.memory_budget) // sum(map(len, files.values()))

    def read(file: Path, strings: set[str]) -> Table:
        storage = StorageOptions(strings, budget, config.mapped_dir)
        return read_table(kind, file, config.separator, storage=storage, encoding=config.encoding)

    tables = {
        split: read_parts(parts, functools.partial(read, strings=strings))
        for split, parts in files.items()
    }
    in_any = _find_string_columns(tables)
    for parts in tables.values():
        for number, table in enumerate(parts):
            if any(has_numbers(table.frame[name]) for name in in_any & {*table.frame}):
                parts[number] = read(table.path, strings | in_any)
    return {split: join_parts(parts, files[split]) for split, parts in tables.items()}


def _find_string_columns(tables: dict[str, list[Table]]) -> set[str]:
    """Returns the columns that have strings in a file, or numbers where a comma is the mark."""
    found = {
        str(name)
        for parts in tables.values()
        for table in parts
        for name, cells in table.frame.items()
        if not has_numbers(cells)
    }
    train, *_ = tables["train"]
    written = (cells for _, cells in train.frame.items() if not has_numbers(cells))
    if train.separator != "," and have_decimal_commas(written):
        found |= {name for name, cells in train.frame.items() if cells.dtype == FLOAT}  # as 1.234
    return found


def make_table_splits(
    dataset: str,
    tables: dict[str, Table],
    config: DataConfig,
    notes: tuple[str, ...],
    class_names: tuple[str, ...] | None = None,
) -> LabelledSplits:
    """Returns the labelled splits of tables; see `load_table`.

    Args:
        dataset: Name of the dataset, for error messages.
        tables: Tables by split, "train" among them.
        config: As in `load_table`.
        notes: Notes on the tables.
        class_names: Names of the classes where the source has them; None to find out.
    """
    train, label = tables["train"], config.label
    columns = _choose_columns(dataset, train, config)
    assert label is not None  # `_choose_columns` requires it
    if config.known_columns:
        columns, notes = _match_columns(columns, config, train, notes)
    labelled, target, label_notes = read_labelled_rows(tables, label, config, class_names)
    splits = {}
    for name, found in labelled.items():
        table = _fill_dropped_columns(tables[name], columns, config)
        _check_columns(table, columns, f"{train.path.name} has", can_drop=not config.known_columns)
        frame, rows = table.frame[columns], found.rows
        if config.text:
            _check_texts(frame, rows, tables[name])
        selected = FrameRows(frame, masks=[None if rows.all() else rows])
        x = RowTexts(selected, tuple(columns)) if config.text else selected
        splits[name] = Arrays(
            x, found.y, found.groups, found.times, found.weights, slices=found.slices
        )
    notes += label_notes + tuple(note for table in tables.values() for note in table.notes)
    for name in splits:
        rows = labelled[name].rows
        notes += describe_comments(tables[name], rows)
        notes += describe_totals(tables[name]) if rows[-1] else ()
    if config.text:
        kind = "text" if len(config.text) == 1 else "text_pair"
        spec = Spec(kind, (), target.class_names, tuple(config.text))
    else:
        spec = Spec("features", (len(columns),), target.class_names, tuple(columns))
    spec = dataclasses.replace(spec, multilabel=target.multilabel, label_unit=target.written_unit)
    origins = {name: str(tables[name].path) for name in splits}
    return LabelledSplits("", spec, splits, origins, notes)


def _fill_dropped_columns(table: Table, columns: list[str], config: DataConfig) -> Table:
    """Returns a table with empty cells in place of columns that it lacks and that are left out."""
    dropped = [name for name, kind in config.columns if kind == DROP and name in columns]
    absent = [name for name in dropped if name not in table.frame]
    empty = pd.Series(pd.NA, table.frame.index, STRING)
    return dataclasses.replace(table, frame=table.frame.assign(**dict.fromkeys(absent, empty)))


def _join_parted_name(text: tuple[str, ...], table: Table) -> tuple[str, ...]:
    """Returns a column whose name has a comma, which a flag reads as two, as one."""
    joined = [name for name in (",".join(text), ", ".join(text)) if name in table.frame]
    return (joined[0],) if len(text) == 2 and joined else text


def _choose_columns(dataset: str, train: Table, config: DataConfig) -> list[str]:
    """Returns the names of the input columns, after checking those that the user gave."""
    columns, label, text = list(train.frame.columns), config.label, config.text
    if label is None:
        raise UserError(
            f"{dataset}: no column to predict: choose one with --label=COLUMN; the columns are "
            f"{shorten_names(columns)}"
        )
    labels = find_label_columns(label, columns)
    options = ("group", "time", "weight", "slices")
    named = [(option, x) for option in options if (x := getattr(config, option))]
    labelled, texts = (("label", x) for x in labels), (("text", x) for x in text)
    for option, column in (*labelled, *named, *texts):
        if column not in columns:
            raise UserError(
                f"{option}={column!r}: {train.path} has no such column."
                f"{suggest_closest(column, columns)} The columns are {shorten_names(columns)}"
                f"{_explain_names(train)}"
            )
    for column, kind in config.columns:
        if column in labels:
            raise UserError(f"columns={column}:{kind}: this column is the label: omit it")
    for option, column in named:
        if column in labels:
            raise UserError(f"{option}={column}: this column is the label: choose another one")
    if len(text) > 2 or {*labels, config.weight} & {*text}:
        raise UserError(
            f"text={','.join(text)}: expected one or two columns other than the label and the "
            "weight"
        )
    # what tells the groups apart tells nothing about those that are held out
    others = {*labels, config.weight}
    if config.group not in dict(config.columns):
        others.add(config.group)
    features = list(text) or [column for column in columns if column not in others]
    if not features:
        raise UserError(f"{dataset}: {label!r} is the only column; expected feature columns too")
    return features


def _explain_names(table: Table) -> str:
    """Returns why the names of columns may be others than expected, for an error message."""
    encodings = [note for note in table.notes if " is not UTF-8 " in note]
    if encodings:
        return f" ({encodings[0]})"
    if table.kind in ("csv", "tsv") and find_number_form(table.frame.columns.to_series())[2].any():
        return " (its first line is taken for the names of columns: add a line of names above it)"
    if table.kind in ("csv", "tsv") and len(table.frame.columns) == 1:
        (name,) = table.frame.columns
        if table.separator in name:
            return " (there is one, since each line is within quotes: remove them)"
        other = " or pass it as csv:PATH" * (table.kind == "tsv")
        blank = ", as in --separator=' '" * (" " in name)
        return f" (there is one: pass what separates the fields with --separator{blank}{other})"
    return ""


def _match_columns(
    columns: list[str], config: DataConfig, table: Table, notes: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the columns of a trained model, and a note on those that it does not read."""
    known = [column.name for column in config.known_columns]
    _check_columns(table, known, "the model reads")
    if others := [name for name in columns if name not in known]:
        notes += (f"{table.path}: the model does not read the columns {shorten_names(others)}",)
    if [name for name in columns if name in known] != known:
        order = shorten_names(known)
        notes += (f"{table.path}: the columns are read in the order of the model: {order}",)
    return known, notes


def _check_columns(table: Table, columns: list[str], reason: str, can_drop: bool = False) -> None:
    if missing := set(columns) - set(table.frame.columns):
        name = min(missing)
        raise UserError(
            f"{table.path}: there is no column {name!r}, which {reason}. "
            f"It has: {shorten_names(table.frame.columns)}."
            f"{suggest_closest(name, table.frame.columns)}"
            + f" To leave it out, pass {format_column_kinds([name], DROP)}"
            * can_drop
        )


def _check_texts(frame: pd.DataFrame, rows: np.ndarray, table: Table) -> None:
    """Raises a UserError if a cell of a labelled row is empty or no text."""
    for name in frame:
        blank, invalid = [], []
        for cells in FrameRows(frame).iterate_cells(str(name)):
            if cells.dtype == STRING:
                blank.append((cells.isna() | (cells.str.strip() == "")).to_numpy(bool))
                invalid.append(blank[-1])
                continue
            blanks = cells.map(lambda cell: isinstance(cell, str) and not cell.strip())
            blank.append((cells.isna() | blanks).to_numpy(bool))
            invalid.append(~cells.map(is_text).to_numpy(bool))
        found = np.flatnonzero(np.concatenate(blank) & rows)
        if len(found):
            raise UserError(
                f"{table.find_line(found[0])}: column {name!r} is empty ({len(found)} such lines): "
                "fill in these lines or remove them"
            )
        reject_values(table, str(name), np.concatenate(invalid) & rows, "expected a text")
