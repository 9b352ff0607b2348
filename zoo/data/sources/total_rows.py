"""Finds the line of totals that spreadsheets have below a table."""

import itertools
import re

import pandas as pd

from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import STRING

_TOTAL = re.compile(
    r"((grand|sub) ?)?totals?( .*)?|sum|average|mean|gesamt.*|summe|total g.n.ral|totale|"
    r"suma|somme|moyenne|mittelwert|\u0438\u0442\u043e\u0433\u043e|\u5408\u8ba1|\u5408\u8a08",
    re.IGNORECASE,
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
