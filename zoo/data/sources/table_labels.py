"""Reads the columns of tables that are no inputs: the label, groups, times, weights, slices."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.config import DataConfig, find_label_columns
from zoo.data.sources.label_lists import read_lists
from zoo.data.sources.label_sets import describe_whole_cells, has_label_sets, read_label_sets
from zoo.data.sources.repeated_headers import find_repeated_headers
from zoo.data.sources.table_files import Table, reject_values
from zoo.data.tables.cells import (
    STRING,
    count_values,
    find_number_form,
    parse_numbers,
    strip_cells,
)
from zoo.data.tables.column_cells import choose_date_format, parse_cells
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import describe_date_format
from zoo.data.tables.label_cells import clean_labels
from zoo.data.tables.labels import (
    Target,
    describe_numbers,
    encode_target,
    explain_other_label,
    read_target,
    resolve_case,
)
from zoo.data.tables.row_groups import name_groups
from zoo.data.tables.target_numbers import check_unit, describe_rounding
from zoo.data.tables.value_variants import describe_variants
from zoo.errors import UserError, format_count
from zoo.schema import is_text

_MIN_ROWS = 4
_WEIGHT_MEANS = (0.1, 10)  # between which the learning rate need not be another


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """The rows of a table that have a label.

    Attributes:
        rows: Which rows of the table these are, a boolean mask.
        y: Their targets: int64 class indices (n,), of a multi-label task 0 or 1 for each class,
            uint8 (n, classes), or float32 numbers (n, 1).
        groups: Their groups, int64 (n,); None if they were not asked for.
        times: Their times, float64 (n,); None if they were not asked for.
        weights: Their weights in the training, float32 (n,); None if they were not asked for.
        slices: Their groups for scores, strings (n,); None if they were not asked for.
    """

    rows: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    slices: np.ndarray | None = None


def read_labelled_rows(
    tables: dict[str, Table],
    label: str,
    config: DataConfig,
    class_names: tuple[str, ...] | None = None,
) -> tuple[dict[str, LabelledRows], Target, tuple[str, ...]]:
    """Reads the label of each split, and the group, time and weight that the config asks for.

    Args:
        tables: Tables by split, "train" among them.
        label: Name of the column of labels, or of several columns, as 'a,b'.
        config: `task`, `merge_label_case`, `known_classes`, `exact_classes`, `known_unit`, `group`,
            `time`, `weight` and `slices` are used.
        class_names: Names of the classes where the source has them; None to find out.

    Returns:
        The rows by split, without splits that have no labels; what the labels are; and notes.

    Raises:
        UserError: if a label, a group, a time or a weight is invalid.
    """
    train = tables["train"]
    if len(train.frame) < _MIN_ROWS and not config.known_classes:
        raise UserError(
            f"{train.path}: {format_count(len(train.frame), 'row')}; expected at least "
            f"{_MIN_ROWS} to train and test on"
        )
    columns = find_label_columns(label, train.frame)
    lists, notes = read_lists(tables, columns, config.task)
    has_sets = has_label_sets(lists["train"], columns, config.task)
    read = read_label_sets if has_sets else _read_single_labels
    found, target, label_notes = read(lists, columns, config, class_names)
    notes += label_notes
    rows = {name: LabelledRows(*pair) for name, pair in found.items()}
    if config.group:
        groups, group_notes = _read_groups(tables, config.group, rows)
        rows = {n: dataclasses.replace(r, groups=groups.get(n)) for n, r in rows.items()}
        notes += group_notes
    elif config.time:
        times, time_notes = _read_times(train, config.time, rows["train"].rows)
        notes += time_notes
        rows["train"] = dataclasses.replace(rows["train"], times=times)
    if config.weight:
        weights, weight_notes = read_weights(train, config.weight, rows["train"].rows)
        rows["train"] = dataclasses.replace(rows["train"], weights=weights)
        notes += weight_notes
    if config.slices:
        slices = _read_slices(tables, config.slices, rows)
        rows = {name: dataclasses.replace(r, slices=slices[name]) for name, r in rows.items()}
    return rows, target, notes


def _read_single_labels(
    tables: dict[str, Table],
    columns: Sequence[str],
    config: DataConfig,
    class_names: tuple[str, ...] | None,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], Target, tuple[str, ...]]:
    """Reads one class or number per row; returns what `read_label_sets` does."""
    (label,) = columns
    labels, notes = _clean_labels(tables, label)
    names = config.known_classes or class_names or ()
    labels, names, case_notes = resolve_case(labels, config, names)
    target = (
        Target(names)
        if names
        else read_target(labels["train"].dropna(), tables["train"], config.task)
    )
    check_unit(target, config.known_unit, tables["train"], label)
    case_notes += describe_numbers(labels["train"].dropna(), target)
    case_notes += describe_rounding(labels["train"].dropna(), target, tables["train"])
    if config.task is None and not config.known_classes and tables["train"].kind != "tfds":
        case_notes += describe_whole_cells(target.class_names or (), label)
    source = "the model" if config.known_classes else tables["train"].path.name
    rows = {
        name: (cells.notna().to_numpy(), _encode_labels(cells, target, tables[name], source))
        for name, cells in labels.items()
    }
    return rows, target, notes + case_notes


def _is_no_label(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and not is_text(value))


def _clean_labels(
    tables: dict[str, Table], label: str
) -> tuple[dict[str, pd.Series], tuple[str, ...]]:
    """Returns the labels of each split that has some, null where they are missing, and notes."""
    labels = {}
    notes: tuple[str, ...] = ()
    for name, table in tables.items():
        if label not in table.frame:
            notes += (f"{table.path} is left out: it has no column {label!r}",)
            continue
        if table.frame[label].dtype != STRING:
            is_invalid = table.frame[label].map(_is_no_label)
            reject_values(table, label, is_invalid, "expected a string or a number")
        labels[name], new_notes = clean_labels(table.frame[label])
        is_header = find_repeated_headers(table, label)
        if is_header.any():
            labels[name] = labels[name].mask(is_header)
            repeated = format_count(int(is_header.sum()), "line repeats", "lines repeat")
            new_notes += (f"left out: {repeated} the names of columns",)
        if name != "train" and labels[name].isna().all():
            notes += (f"{table.path} is left out: its column {label!r} is empty",)
            del labels[name]
            continue
        notes += tuple(f"{table.path}: {note}" for note in new_notes)
    if labels["train"].isna().all():
        raise UserError(
            f"{tables['train'].path}: the column {label!r} is empty, there are no labels to learn "
            "from: choose another with --label"
        )
    return labels, notes


def _encode_labels(labels: pd.Series, target: Target, table: Table, source: str) -> np.ndarray:
    """Returns the targets of the rows with a label; see `encode_target`."""
    present = labels.dropna()
    y = encode_target(present, target)
    if target.class_names is None:
        invalid, expected = ~np.isfinite(y[:, 0]), "expected a number below 3.4e38"
    else:
        invalid, expected = y < 0, ""
        if invalid.any():
            first = present[invalid].iloc[0]
            expected = explain_other_label(first, target.class_names, source)
    is_invalid = np.zeros(len(labels), bool)
    is_invalid[labels.notna()] = invalid
    reject_values(table, str(labels.name), is_invalid, expected)
    return y


def _read_groups(
    tables: dict[str, Table], column: str, rows: dict[str, LabelledRows]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns a number for each group; a row without one is a group of its own."""
    found = {name: tables[name] for name in rows if column in tables[name].frame}
    cells = [strip_cells(table.frame[column])[rows[name].rows] for name, table in found.items()]
    codes, values = pd.factorize(pd.concat(cells, ignore_index=True))
    codes = codes.astype("int64")
    notes = describe_variants(map(str, values), f"column {column!r}", "group")
    alone = codes < 0
    if alone.any():
        codes[alone] = codes.max() + 1 + np.arange(alone.sum())
        notes += (
            f"column {column!r}: {format_count(int(alone.sum()), 'row')} without a group: "
            "each is a group of its own",
        )
    ends = np.cumsum([len(part) for part in cells])[:-1]
    groups = dict(zip(found, np.split(codes, ends), strict=True))
    for name in groups.keys() - {"train"}:
        if shared := len(np.intersect1d(groups[name], groups["train"])):
            notes += (
                f"{tables[name].path}: "
                + format_count(
                    shared,
                    f"group of {column!r} is in the training split too",
                    f"groups of {column!r} are in the training split too",
                ),
            )
    return groups, notes


def _read_slices(
    tables: dict[str, Table], column: str, rows: dict[str, LabelledRows]
) -> dict[str, np.ndarray]:
    """Returns the group of each row of each split; see `name_groups`."""
    for name in rows:
        if column not in tables[name].frame:
            raise UserError(f"slices={column}: {tables[name].path} has no such column")
    cells = [strip_cells(tables[name].frame[column])[found.rows] for name, found in rows.items()]
    groups = name_groups(pd.concat(cells, ignore_index=True))
    ends = np.cumsum([len(part) for part in cells])[:-1]
    return dict(zip(rows, np.split(groups, ends), strict=True))


def _read_times(table: Table, column: str, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the times of the rows, numbers or days since 1970-01-01, and notes on them."""
    cells = strip_cells(table.frame[column])
    reject_values(
        table, column, cells.isna().to_numpy(bool) & rows, "expected a time: fill it in, or remove "
        "these lines"
    )  # fmt: skip
    present = cells[rows]
    decimal, thousands, is_number = find_number_form(present)
    if is_number.all():
        return parse_numbers(present, decimal, thousands), ()
    date_format, dates, rivals = choose_date_format([count_values(present)])
    if dates < len(present):
        raise UserError(
            f"time={column}: {table.path} has {str(present.iloc[0])[:40]!r} and others there; "
            "expected numbers, or dates of one form, such as 2026-01-31 or 2026-01-31 23:59"
        )
    note = describe_date_format(date_format, rivals)
    times = parse_cells(present, Column(column, "date", date_format=date_format))
    return times, (f"column {column!r}: {note}",) * bool(note)


def read_weights(table: Table, column: str, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the weights of the rows, float32 (n,), and notes on them.

    Raises:
        UserError: if a weight is missing, no number or negative, or all are 0.
    """
    cells = strip_cells(table.frame[column])
    decimal, thousands, _ = find_number_form(cells[rows])
    weights = parse_numbers(cells, decimal, thousands)
    # NaN where there is no number
    is_invalid = ~((weights >= 0) & (weights <= np.finfo("float32").max)) & rows
    reject_values(table, column, is_invalid, "expected a weight, a number of at least 0")
    weights = weights[rows].astype("float32")
    if not weights.any():
        raise UserError(
            f"weight={column}: {table.path} has only zeros there, so that there is nothing to "
            "learn from: choose another column"
        )
    notes = []
    if zeros := int((weights == 0).sum()):
        notes.append(
            f"column {column!r}: {format_count(zeros, 'row has', 'rows have')} weight 0: "
            "nothing is learned of them"
        )
    mean = weights.mean(dtype="float64")
    if not _WEIGHT_MEANS[0] <= mean <= _WEIGHT_MEANS[1]:
        notes.append(
            f"column {column!r}: the weights are {mean:.3g} on average, by which they multiply the "
            "loss and its gradient: divide them by it, or suit --learning_rate to it"
        )
    return weights, tuple(notes)
