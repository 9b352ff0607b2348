"""Finds rows that may be none: comments, and the totals that spreadsheets have below a table."""

import itertools
import re

import numpy as np
import pandas as pd

from zoo.data.sources.odd_lines import COMMENT
from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import STRING
from zoo.errors import format_count

_COMMENT = COMMENT.replace(r"\s?", r"\s")  # words with a hash are no comments
_RARE_SHARE = 0.05  # of the rows, which may be comments
_TOTAL = re.compile(
    r"((grand|sub) ?)?totals?( .*)?|sum|average|mean|gesamt.*|summe|total g.n.ral|totale|"
    r"suma|somme|moyenne|mittelwert|\u0438\u0442\u043e\u0433\u043e|\u5408\u8ba1|\u5408\u8a08",
    re.IGNORECASE,
)


def describe_comments(table: Table, rows: np.ndarray) -> tuple[str, ...]:
    """Returns a note on a few rows of a CSV file that may be comments, by their first cells.

    Args:
        table: The table.
        rows: Which rows have a label, bool (rows,).
    """
    cells = table.frame.iloc[:, 0]
    if table.kind not in ("csv", "tsv") or cells.dtype != STRING:
        return ()
    found = np.flatnonzero(cells.str.match(_COMMENT).fillna(False).to_numpy(bool) & rows)
    if not 0 < len(found) <= max(_RARE_SHARE * len(cells), 1):
        return ()
    shown = str(cells.iloc[found[0]])[:40]
    return (
        f"{table.find_line(found[0])}: {shown!r} in the first column looks like a comment "
        f"({format_count(len(found), 'such row')}): remove it if it is no example",
    )


def describe_totals(table: Table) -> tuple[str, ...]:
    """Returns a note on the last row of a table if it may sum up the others.

    A cell of it says so, and no other of the same column has that word.
    """
    frame = table.frame
    for name in frame:
        cells = frame[name]
        if cells.dtype != STRING or pd.isna(cells.iloc[-1]):
            continue
        written = str(cells.iloc[-1]).strip(" :\u00a0")
        if _TOTAL.fullmatch(written) and (cells == cells.iloc[-1]).sum() == 1:
            place = next(itertools.islice(table.iterate_places(), len(frame) - 1, None))
            return (f"{place}: {written[:40]!r} in column {name!r} looks like a line of totals: "
                    "remove it if it is no example",)  # fmt: skip
    return ()
