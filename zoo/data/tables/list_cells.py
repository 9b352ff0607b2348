"""Lists that are written as texts, as pandas, NumPy, JSON and PostgreSQL write them into a cell."""

import ast
import json
import re
from typing import Any

import pandas as pd

from zoo.data.tables.cells import STRING, WHOLE_NUMBER_PATTERN, strip_cells

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_NUMBERS = r"\s*([+-]?\d+\.?\d*(\s+|$))+"


def parse_lists(cells: pd.Series, required: bool) -> pd.Series | None:
    """Returns cells of lists as such, other texts as they are; None for a column of other texts.

    A column has lists if some have another number of items than one, and all cells that are not
    missing are lists.

    Args:
        cells: Cells of a file.
        required: Whether some lists are enough.
    """
    if cells.dtype != STRING:
        return None
    stripped = strip_cells(cells)
    codes, values = pd.factorize(stripped)
    lists = [parse_list(value) for value in values]
    is_list = [items is not None for items in lists]
    has_others = any(items is not None and len(items) != 1 for items in lists)
    if not (has_others and (all(is_list) or (required and any(is_list)))):
        return None
    found = [value if items is None else items for value, items in zip(values, lists, strict=True)]
    return pd.Series(
        [found[code] if code >= 0 else None for code in codes], cells.index, object, cells.name
    )


def parse_list(cell: str) -> list[Any] | None:
    """Returns the items of a list, strings and whole numbers; None for another text.

    Example:
        >>> [parse_list(cell) for cell in ('["a", "b"]', "['a' 'b']", "[1 0]", "{a,b}", "[]", "a")]
        [['a', 'b'], ['a', 'b'], [1, 0], ['a', 'b'], [], None]
    """
    cell = cell.strip()
    if len(cell) < 2 or _BRACKETS.get(cell[0]) != cell[-1]:
        return None
    inner = cell[1:-1].strip()
    if not re.sub(_QUOTED, "", inner).strip(", \n"):
        try:
            return [_unquote(item) for item in re.findall(_QUOTED, inner)]
        except (ValueError, SyntaxError):
            return None
    if cell[0] == "(" or re.search(r"[\"'\[\](){}]", inner):
        return None
    parts = inner.split() if re.fullmatch(_NUMBERS, inner) else inner.removesuffix(",").split(",")
    items = [part.strip() for part in parts]
    if not all(items):
        return None
    return [int(float(x)) if re.fullmatch(WHOLE_NUMBER_PATTERN, x) else x for x in items]


def _unquote(item: str) -> str:
    return json.loads(item) if item.startswith('"') else ast.literal_eval(item)
