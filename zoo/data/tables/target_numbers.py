"""Numbers to predict: their unit, and whether float32, in which models compute, rounds them."""

import numpy as np
import pandas as pd

from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import parse_numbers
from zoo.data.tables.labels import Target
from zoo.data.tables.number_units import unify_unit
from zoo.errors import UserError

_ROUNDED, _LOST = 0.003, 0.3  # errors of float32, by standard deviations, reported and refused


def check_unit(target: Target, known: str, table: Table, label: str) -> None:
    """Checks that the numbers of a column have the unit of those that a model was trained on.

    Numbers without a unit are taken to be in it.

    Args:
        target: What the labels of the table are.
        known: Unit of the model, or "".
        table: The table.
        label: Name of the column.

    Raises:
        UserError: if they have another unit.
    """
    unit = target.written_unit
    if known and unit and unify_unit(unit) != unify_unit(known):
        raise UserError(
            f"{table.path}: column {label!r} has numbers in {unit!r}, but the model predicts "
            f"{known!r}: convert them to {known!r}"
        )


def describe_rounding(labels: pd.Series, target: Target, table: Table) -> tuple[str, ...]:
    """Returns a note if float32, in which models compute, rounds the numbers of a regression.

    There is none of classes.

    Args:
        labels: The labels of the training file, without missing ones.
        target: What they are.
        table: Their table, for the messages.

    Raises:
        UserError: if rounding leaves nothing of their differences, as of times in seconds that
            differ by less than a minute.
    """
    if target.class_names is not None:
        return ()
    limit = np.finfo("float32").max  # larger ones are refused where they are encoded
    numbers = parse_numbers(labels, target.decimal, target.thousands, target.unit)
    numbers = numbers.clip(-limit, limit)
    errors = numbers.astype("float32") - numbers
    spread, error = np.nanstd(numbers), np.nanmax(np.abs(errors))
    if not np.nanstd(errors) > _ROUNDED * spread:
        return ()
    low = np.nanmin(numbers)
    problem = (
        f"column {labels.name!r}: its numbers, from {low:.10g} to {np.nanmax(numbers):.10g}, are "
        f"rounded to float32, by up to {error:.3g}"
    )
    if np.nanstd(errors) < _LOST * spread:
        return (f"{problem}: subtract {low:.10g} from them for exact ones",)
    raise UserError(
        f"{table.path}: {problem}, and then they hardly differ: subtract {low:.10g} from them, or "
        "choose a smaller unit"
    )
