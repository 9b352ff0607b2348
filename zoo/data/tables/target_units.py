"""Units of the numbers to predict."""

from zoo.data.sources.table_files import Table
from zoo.data.tables.labels import Target
from zoo.data.tables.number_units import unify_unit
from zoo.errors import UserError


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
