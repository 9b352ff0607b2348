"""Reads the lists of labels that the cells of a table have as texts, such as ["cat", "dog"]."""

import dataclasses
from collections.abc import Sequence

from zoo.data.sources.table_files import Table
from zoo.data.tables.list_cells import parse_list, parse_lists


def read_lists(
    tables: dict[str, Table], columns: Sequence[str], task: str | None
) -> tuple[dict[str, Table], tuple[str, ...]]:
    """Returns the tables with the lists that the cells of one column of labels have as texts.

    Args:
        tables: Tables by split, "train" among them.
        columns: Names of the columns of labels.
        task: The task that the user set; None to decide by the labels.
    """
    train, (name, *others) = tables["train"], columns
    if (
        others
        or train.kind == "tfds"
        or task not in (None, "multilabel")
        or name not in train.frame
    ):
        return tables, ()
    if parse_lists(train.frame[name], task is not None) is None:
        return tables, ()
    read = {}
    for split, table in tables.items():
        lists = parse_lists(table.frame[name], True) if name in table.frame else None
        frame = table.frame if lists is None else table.frame.assign(**{name: lists})
        read[split] = dataclasses.replace(table, frame=frame)
    example = next(cell for cell in train.frame[name].dropna() if parse_list(cell))
    note = (
        f"column {name!r}: {example[:40]!r} is read as a list of labels (--task=classification "
        "takes each cell as one class)"
    )
    return read, (note,)
