"""Reads several labels per row of a table: from columns of 0 and 1, from lists, or from one cell.

| the labels are in | as in |
|---|---|
| several columns | `--label=cat,dog` and columns of 0 and 1, yes and no, or true and false |
| a list | `{"labels": ["cat", "dog"]}` in JSON Lines, or a column of lists in Parquet |
| one cell | `cat|dog` or `["cat", "dog"]` in a CSV file |

An empty list is a row without any label, and so is an empty cell. A missing value is a row whose
labels are not known, which is left out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.config import DataConfig
from zoo.data.sources.table_files import Table, reject_values
from zoo.data.tables.cells import STRING, strip_cells
from zoo.data.tables.columns import MISSING
from zoo.data.tables.label_vectors import describe_unknown_labels, encode_label_sets
from zoo.data.tables.labels import Target, name_classes, resolve_case
from zoo.data.tables.list_cells import parse_list
from zoo.errors import UserError, format_count, shorten_names
from zoo.schema import is_line

SEPARATOR = "|"  # of the labels in one cell
_TRUE, _FALSE = ("1", "1.0", "true", "yes", "t", "y"), ("0", "0.0", "false", "no", "f", "n")
_TRUTH = dict.fromkeys(_TRUE, 1.0) | dict.fromkeys(_FALSE, 0.0)
_EXPECTED = (
    "several columns of labels have 0 and 1, yes and no, or true and false: correct these lines, "
    "or choose one column"
)
_EXACT = "expected classes of the model ({}): rename or remove the others"


def has_label_sets(table: Table, columns: Sequence[str], task: str | None) -> bool:
    """Whether the rows of a table may have several labels.

    Args:
        table: The training table.
        columns: Names of the columns of labels.
        task: The task that the user set; None to decide by the labels.

    Raises:
        UserError: if there are several columns, and another task was set.
    """
    if len(columns) > 1:
        if task not in (None, "multilabel"):
            raise UserError(
                f"task={task}: {len(columns)} columns of labels, {shorten_names(columns)}, make a "
                "multilabel task: omit --task, or choose one column with --label"
            )
        return True
    if task is not None:
        return task == "multilabel"
    cells = table.frame[columns[0]].dropna()
    if cells.dtype != STRING:
        return bool(cells.map(lambda value: isinstance(value, list)).any())
    if table.kind == "tfds" or not cells.str.contains(SEPARATOR, regex=False).any():
        return False
    return _are_joined(cells.unique(), SEPARATOR)


def _are_joined(cells: Sequence[str], separator: str) -> bool:
    """Whether different cells are made of fewer labels.

    Names that have a separator of their own are not made of each other.
    """
    parts = {part.strip() for cell in cells for part in cell.split(separator)} - {""}
    return len(parts) < len(cells)


def describe_whole_cells(classes: Sequence[str], column: str) -> tuple[str, ...]:
    """Returns a note on classes that may be several labels in one cell."""
    if joined := next((name for name in classes if parse_list(name)), ""):
        parts = SEPARATOR.join(map(str, parse_list(joined) or ()))
        return (
            f"column {column!r}: {joined[:40]!r} counts as one class (write {parts}, or a list in "
            "each cell, if these are labels)",
        )
    for mark in (SEPARATOR, ",", ";"):
        joined = next((name for name in classes if mark in name.strip(f"{mark} ")), "")
        if joined and (mark == SEPARATOR or _are_joined(classes, mark)):
            parts = SEPARATOR.join(map(str.strip, joined.split(mark)))
            advice = f"(write {parts} if these are several labels)"
            if mark == SEPARATOR:
                advice = "(--task=multilabel separates labels at bars)"
            return (f"column {column!r}: {joined!r} counts as one class {advice}",)
    return ()


def read_label_sets(
    tables: dict[str, Table],
    columns: Sequence[str],
    config: DataConfig,
    class_names: tuple[str, ...] | None,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], Target, tuple[str, ...]]:
    """Reads the labels of each split.

    Args:
        tables: Tables by split, "train" among them.
        columns: Names of the columns of labels; all are in the training table.
        config: `known_classes`, `exact_classes`, `merge_label_case` and `task` are used.
        class_names: Names of the classes where the source has them; None to find out.

    Returns:
        For each split that has labels, which rows of the table have known labels, a boolean mask,
        and their targets, uint8 (n, classes); the classes; and notes.

    Raises:
        UserError: if a cell is invalid, there are fewer than two labels, or labels are none of the
            classes and these are exact.
    """
    sets, notes = _collect_sets(tables, columns)
    notes = _describe_separator(tables["train"], columns) + notes
    known = config.known_classes or class_names or (tuple(columns) if len(columns) > 1 else ())
    absent = [name for name in known if name not in columns] if len(columns) > 1 else []
    if absent and not config.merge_label_case:
        raise UserError(
            f"{tables['train'].path}: --label={','.join(columns)} lacks the columns of "
            f"{shorten_names(absent)}, which the model predicts: add them"
        )
    labels = {
        name: split.dropna().explode().dropna().astype(STRING) for name, split in sets.items()
    }
    labels, known, case_notes = resolve_case(labels, config, known)
    notes += case_notes
    if not known:
        known = name_classes(labels["train"], tables["train"], config.task is not None)
    splits = {}
    for name, split in sets.items():
        y, unknown = encode_label_sets(labels[name], len(split), known)
        if config.exact_classes:
            is_invalid = split.index.isin(unknown.index)
            reject_values(tables[name], columns[0], is_invalid, _EXACT.format(shorten_names(known)))
        other_notes = describe_unknown_labels(unknown, known)
        notes += tuple(f"{tables[name].path}: {note}" for note in other_notes)
        rows = split.notna().to_numpy()
        splits[name] = (rows, y[rows])
    return splits, Target(known, multilabel=True), notes


def _collect_sets(
    tables: dict[str, Table], columns: Sequence[str]
) -> tuple[dict[str, pd.Series], tuple[str, ...]]:
    """Returns the labels of each row, a tuple, or None where they are not known, by split.

    Splits without labels are left out, which the notes tell.
    """
    sets: dict[str, pd.Series] = {}
    notes: tuple[str, ...] = ()
    shown = shorten_names(map(repr, columns))
    for name, table in tables.items():
        if absent := [column for column in columns if column not in table.frame]:
            notes += (f"{table.path} is left out: it has no column {absent[0]!r}",)
            continue
        parse = _parse_column if len(columns) == 1 else _parse_columns
        parsed, new_notes = parse(table, columns)
        if not parsed.map(bool).any():
            if name == "train":
                raise UserError(
                    f"{table.path}: no row has a label in {shown}: choose another column with "
                    "--label"
                )
            notes += (f"{table.path} is left out: no row has a label in {shown}",)
            continue
        if missing := int(parsed.isna().sum()):
            new_notes += (
                f"column {shown}: "
                + format_count(
                    missing,
                    "row has no value and is left out",
                    "rows have no value and are left out",
                ),
            )
        sets[name] = parsed.rename(", ".join(columns))
        notes += tuple(f"{table.path}: {note}" for note in new_notes)
    return sets, notes


def _parse_columns(table: Table, columns: Sequence[str]) -> tuple[pd.Series, tuple[str, ...]]:
    """Returns the names of the columns that are true in each row."""
    truths = np.empty((len(table.frame), len(columns)))
    for number, name in enumerate(columns):
        cells = strip_cells(table.frame[name])
        values = cells.str.lower().map(_TRUTH, na_action="ignore").astype(float)
        reject_values(table, name, (cells.notna() & values.isna()).to_numpy(bool), _EXPECTED)
        truths[:, number] = values
    sets = [tuple(column for column, x in zip(columns, row, strict=True) if x == 1)
            for row in truths]  # fmt: skip
    known = np.isfinite(truths.sum(axis=1))
    return _make_series(sets, known), ()


def _parse_column(table: Table, columns: Sequence[str]) -> tuple[pd.Series, tuple[str, ...]]:
    """Returns the labels in the cells of one column: lists, or texts such as "a|b"."""
    (name,) = columns
    cells = table.frame[name]
    separator = None if table.kind == "tfds" else SEPARATOR
    lists = [_split_cell(cell, separator) for cell in cells]
    known = np.array([labels is not None for labels in lists])
    invalid = [labels is not None and None in labels for labels in lists]
    reject_values(table, name, invalid, 'expected names of labels, such as ["a", "b"] or a|b')
    _reject_vectors(table, name, cells)
    sets = [tuple(dict.fromkeys(filter(None, labels or ()))) for labels in lists]
    notes = []
    counts = [len(labels or ()) - (labels or []).count("") for labels in lists]
    if repeated := sum(len(labels) < n for labels, n in zip(sets, counts, strict=True)):
        notes.append(
            f"column {name!r}: {format_count(repeated, 'row names', 'rows name')} a label "
            "twice, which counts once"
        )
    if blank := int((cells.str.strip() == "").sum()) if cells.dtype == STRING else 0:
        notes.append(
            f"column {name!r}: {format_count(blank, 'empty cell')}: these rows have no label "
            "(write NA where the labels are not known)"
        )
    return _make_series(sets, known), tuple(notes)


def _describe_separator(table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Returns a note on what separates the labels in the cells of a column of texts."""
    cells = table.frame[columns[0]]
    if len(columns) > 1 or cells.dtype != STRING or table.kind == "tfds":
        return ()
    has_several = cells.str.contains(SEPARATOR, regex=False).any()
    name = columns[0]
    if has_several:
        return (
            f"column {name!r}: {SEPARATOR!r} separates the labels of a row "
            "(--task=classification takes each cell as one class)",
        )
    return (f"column {name!r}: no cell has several labels, which {SEPARATOR!r} would separate",)


def _make_series(sets: list[tuple[str, ...]], known: np.ndarray) -> pd.Series:
    """Returns the labels of the rows by their number, with None for rows that are not known."""
    return pd.Series(sets, dtype=object).where(known, None)


def _split_cell(cell: Any, separator: str | None) -> list[str | None] | None:
    """Returns the labels of a cell, None for what is no label; or None for a missing cell."""
    if isinstance(cell, list | np.ndarray):
        return [_format_label(item) for item in cell]
    if isinstance(cell, str) and cell.strip() not in MISSING:
        return [_format_label(item) for item in (cell.split(separator) if separator else [cell])]
    return None if pd.isna(cell) or isinstance(cell, str) else [_format_label(cell)]


def _format_label(item: Any) -> str | None:
    """Returns the name of a label without blanks around it, or None if it has none."""
    if isinstance(item, bool | int | np.integer):
        return str(item)
    if isinstance(item, float) and item.is_integer():
        return str(int(item))
    return item.strip() if is_line(item) else None


def _reject_vectors(table: Table, name: str, cells: Iterable[Any]) -> None:
    """Raises a UserError if lists have a 0 or 1 for each label instead of names."""
    lists = [cell for cell in cells if isinstance(cell, list) and cell]
    lengths = {len(cell) for cell in lists}
    items = {item for cell in lists for item in cell if not isinstance(item, dict | list)}
    is_vector = len(lengths) == 1 and items <= {0, 1}
    if is_vector and any(len(set(cell)) < len(cell) for cell in lists):
        raise UserError(
            f"{table.path}: column {name!r} has lists of 0 and 1, such as {lists[0]!r:.40}; "
            "expected lists with the names of a row's labels, or a column of 0 and 1 for each label"
        )
