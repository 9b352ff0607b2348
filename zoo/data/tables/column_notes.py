"""What a user should know about the columns of a table."""

import collections
import re
from collections.abc import Iterable

import numpy as np

from zoo.data.tables.cells import find_unseen_values
from zoo.data.tables.column_cells import ColumnCells, parse_cells
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import format_days
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.texts.tokenizer_settings import format_tokenizer
from zoo.errors import format_count, shorten_names

_SHOWN = 30  # characters of a value
_MOST_COLUMNS = 50  # in the headline
_MOST_ALIKE = 5  # columns of which the same is told one by one
_COLUMN_NOTE = re.compile(r"column (?P<name>'(?:[^'\\]|\\.)*'|\"[^\"]*\")(?P<text>.*)", re.DOTALL)
_RARE_SHARE = 0.05  # of rows with unseen values, which are not told


def format_columns(columns: tuple[Column, ...]) -> str:
    """Formats the columns, the first ones of many, as a table for the headline of a run."""
    rows = []
    for column in columns[:_MOST_COLUMNS]:
        if column.kind == "category":
            shown = ", ".join(shorten_line(value) or "(missing)" for value in column.values[:4])
            more = ", ..." if len(column.values) > 4 else ""
            rare = ", rare values together" if column.has_rare else ""
            detail = f"{len(column.values)} values: {shown}{more}{rare}"
        elif column.tokenizer:
            detail = format_tokenizer(column.tokenizer)
        elif column.kind == "date":
            shown = column.date_format if column.date_format == "%H:%M" else "%Y-%m-%d"
            median = format_days(np.array([column.center]), shown)[0]
            detail = f"median {median}, written as {column.date_format}"
        else:
            detail = f"median {column.center:.6g}, spread {column.scale:.4g}"
        rows.append((column.name, column.kind, detail + ", some missing" * column.has_missing))
    width = min(30, max(len(name) for name, *_ in rows))
    lines = [f"  {name:{width}}  {kind:8}  {detail}" for name, kind, detail in rows]
    if others := collections.Counter(column.kind for column in columns[_MOST_COLUMNS:]):
        kinds = (f"{count:,} {kind}" for kind, count in others.most_common())
        lines.append(f"  and {others.total():,} more columns: {', '.join(kinds)}")
    return "\n".join(lines)


def merge_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Returns notes on columns, with one in place of several that tell the same of many columns.

    Example:
        >>> merge_notes([f"column 'x{i}' is left out: it is empty" for i in range(12)])[0]
        "columns 'x0', 'x1', 'x2', 'x3', 'x4' and 7 more are left out: it is empty"
    """
    by_text = collections.defaultdict(list)
    for note in notes:
        found = _COLUMN_NOTE.fullmatch(note)
        by_text[found["text"] if found else note].append(found["name"] if found else "")
    merged = []
    for text, names in by_text.items():
        if len(names) > _MOST_ALIKE:
            text = re.sub("^ is ", " are ", text)
            merged.append(f"columns {shorten_names(names, _MOST_ALIKE)}{text}")
        else:
            merged += [f"column {name}{text}" if name else text for name in names]
    return tuple(merged)


def shorten_line(text: str) -> str:
    """Returns the beginning of a text without line breaks."""
    line = " ".join(text[:_SHOWN].split())
    return f"{line}..." if len(text) > _SHOWN else line


def describe_unreadable_cells(
    rows: FrameRows, columns: tuple[Column, ...], split_name: str
) -> tuple[str, ...]:
    """Returns notes on cells of numbers and dates that are neither, and on missing ones.

    Those of the training split are described by `infer_columns`.

    Args:
        rows: A split that nothing was learned from.
        columns: The columns.
        split_name: Name of the split.
    """
    notes = []
    for column in columns:
        if column.kind not in ("number", "date"):
            continue
        missing, invalid, example = _count_unreadable_cells(rows, column)
        if invalid:
            notes.append(
                f"column {column.name!r}: {example!r} is no {column.kind} and counts "
                f"as missing ({format_count(invalid, 'row')} of the {split_name} split)"
            )
        if missing and not column.has_missing:
            notes.append(
                f"column {column.name!r}: {format_count(missing, 'cell is', 'cells are')} missing "
                f"in the {split_name} split, and none in the training split: the median is taken"
            )
    return tuple(notes)


def _count_unreadable_cells(rows: FrameRows, column: Column) -> tuple[int, int, str]:
    """Returns the number of missing cells, and of those of another kind with the first of them."""
    if column.kind == "number" and rows.has_numbers(column.name):
        if not any(part.numbers[column.name].null_count for part in rows.parts):
            return 0, 0, ""
        return int(np.isnan(rows.read_numbers(column.name)).sum()), 0, ""
    missing, invalid, example = 0, 0, ""
    for cells in ColumnCells(rows, column.name).iterate_strings():
        is_missing = cells.isna()
        if column.missing_marks:
            is_missing |= cells.isin(column.missing_marks)
        is_missing = is_missing.to_numpy(bool)
        is_invalid = np.isnan(parse_cells(cells, column)) & ~is_missing
        if is_invalid.any():
            example = example or str(cells[is_invalid].iloc[0])[:20]
        missing += int(is_missing.sum())
        invalid += int(is_invalid.sum())
    return missing, invalid, example


def describe_unseen_values(
    rows: FrameRows, columns: tuple[Column, ...], split_name: str
) -> tuple[str, ...]:
    """Returns notes on categories of which many rows have values that the model does not know.

    Args:
        rows: A split that nothing was learned from.
        columns: The columns.
        split_name: Name of the split.
    """
    notes = []
    for column in columns:
        if column.kind != "category" or not column.values:  # of a server, they are not known
            continue
        count, example = 0, None
        for cells in ColumnCells(rows, column.name).iterate_strings():
            values = cells.fillna("")
            is_unseen = find_unseen_values(values, column.values, column.is_boolean)
            if example is None and is_unseen.any():
                example = str(values[is_unseen].iloc[0])
            count += int(is_unseen.sum())
        if count > _RARE_SHARE * len(rows):
            shown = shorten_line(example) if example else "(missing)"
            notes.append(
                f"column {column.name!r}: {count:,} of {len(rows):,} rows of the {split_name} "
                f"split have values that the model does not know, such as {shown!r}"
            )
    return tuple(notes)
