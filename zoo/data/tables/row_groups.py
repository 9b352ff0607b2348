"""Groups of rows by the values of a column, by which scores are divided."""

import numpy as np
import pandas as pd

from zoo.data.tables.cells import find_number_form, parse_numbers
from zoo.errors import UserError

MISSING_GROUP = "(missing)"

_MOST_GROUPS = 50
_MOST_NUMBERS = 10  # with more of them, numbers are divided into four ranges


def name_groups(cells: pd.Series) -> np.ndarray:
    """Returns the group of each cell, an object array of strings.

    Values are groups. Numbers with more than 10 different values are divided at their quartiles.

    Args:
        cells: Cells from `strip_cells`, null where they are missing.

    Raises:
        UserError: if there are more than 50 groups, or all cells are missing.
    """
    present = cells.dropna()
    distinct = present.unique()
    groups = np.full(len(cells), MISSING_GROUP, object)
    if not len(distinct):
        raise UserError(f"slices={cells.name}: all cells of this column are empty: choose another")
    decimal, thousands, is_number = find_number_form(present)
    if len(distinct) > _MOST_NUMBERS and is_number.all():
        numbers = pd.Series(parse_numbers(present, decimal, thousands))
        ranges = pd.qcut(numbers, 4, duplicates="drop")
        names = {x: _name_range(numbers[ranges == x]) for x in ranges.cat.categories}
        groups[cells.notna().to_numpy(bool)] = [names[x] for x in ranges]
        return groups
    if len(distinct) > _MOST_GROUPS:
        raise UserError(
            f"slices={cells.name}: this column has {len(distinct):,} different values; expected at "
            f"most {_MOST_GROUPS}, or numbers: choose another column"
        )
    groups[cells.notna().to_numpy(bool)] = [str(value) for value in present]
    return groups


def _name_range(numbers: pd.Series) -> str:
    return f"{numbers.min():.6g} to {numbers.max():.6g}"
