"""Targets of tables: whether a column makes a classification or a regression, and its classes."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from zoo.data.config import DataConfig
from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import (
    STRING,
    are_plain_numbers,
    count_values,
    describe_decoration,
    describe_number_form,
    find_number_form,
    parse_numbers,
    strip_units,
)
from zoo.data.tables.number_units import count_units, find_common_unit, find_mixed_units
from zoo.data.tables.value_variants import describe_variants, find_alike, normalize_look
from zoo.errors import UserError
from zoo.schema import is_line, suggest_closest

# whole numbers with at most so many different values are classes, without and with decimal points
_MAX_WHOLE, _MAX_DECIMAL = 20, 10
_MANY_ROWS = 20  # with almost as many labels, these are no classes
_MAX_COUNTED = 50  # of classes that are counted from 0 or 1, unless each has 5 rows
_MAX_NOTES = 5  # labels in a note


@dataclasses.dataclass(frozen=True)
class Target:
    """What a column of labels holds.

    Attributes:
        class_names: Class names in order; None for a regression.
        multilabel: As in `Spec`.
        decimal: Decimal mark of the numbers of a regression.
        thousands: Their thousands separator.
        unit: Their unit.
        written_unit: Their unit, or a sign such as $, which is no part of a number by itself.
    """

    class_names: tuple[str, ...] | None
    multilabel: bool = False
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    written_unit: str = ""


def read_target(cells: pd.Series, table: Table, task: str | None = None) -> Target:
    """Returns what the labels of the training file are.

    Texts are classes. Numbers, with a unit or without, make a regression, unless they are a few
    whole numbers.

    Args:
        cells: The labels from `clean_labels`, without missing ones.
        table: The table of the cells, for error messages.
        task: "classification" or "regression"; None to decide by the labels.

    Raises:
        UserError: if there is only one class, or almost each row has its own, a class name has
            line breaks, or a label of a regression is no number.
    """
    values, counts = count_values(cells)
    units = None if task == "classification" else _count_label_units(values, counts)
    unit = "" if find_mixed_units(units) else find_common_unit(units)
    numbers = strip_units(values, unit)
    decimal, thousands, is_number = find_number_form(numbers, counts)
    others = values[~is_number]
    are_numbers = task is None and not len(others)
    if task == "regression" or (are_numbers and _is_regression(numbers, len(cells), decimal, unit)):
        if len(others):
            _reject(cells, others, table, "a regression needs numbers, of one unit")
        written = unit or next(filter(None, units or ()), "")
        return Target(None, False, decimal, thousands, unit, written)
    if task is None and _are_mostly_numbers(is_number, counts):
        _reject(cells, others, table, "most of the others are different numbers")
    if broken := [value for value in values if not is_line(value)]:
        _reject(cells, broken, table, "expected a class name without line breaks")
    return Target(name_classes(cells, table, may_be_many=task is not None))


def _count_label_units(values: pd.Series, counts: np.ndarray) -> dict[str, int] | None:
    if are_plain_numbers(values):
        return None
    return count_units([(pa.array(values, pa.string()), counts)])


def describe_numbers(cells: pd.Series, target: Target) -> tuple[str, ...]:
    """Returns notes on how the labels of a regression are written; none of classes.

    Args:
        cells: The labels of the training split, none missing.
        target: What `read_target` found.
    """
    if target.class_names is not None or are_plain_numbers(cells):
        return ()
    numbers = parse_numbers(cells, target.decimal, target.thousands, target.unit)
    mixed = find_mixed_units(_count_label_units(*count_values(cells)))
    notes = (
        describe_decoration(cells, numbers, target.unit),
        f"the units {' and '.join(map(repr, mixed))} count alike" if mixed else "",
        describe_number_form(target.decimal, target.thousands),
    )
    return tuple(f"column {cells.name!r}: {note}" for note in notes if note)


def _are_mostly_numbers(is_number: pd.Series, counts: np.ndarray) -> bool:
    """Whether labels would be a regression but for some that are no numbers."""
    rows = counts.sum()
    return bool(
        rows >= _MANY_ROWS
        and 0.5 * rows <= counts[is_number].sum() < rows
        and is_number.sum() > 0.5 * rows
    )


def name_classes(cells: pd.Series, table: Table, may_be_many: bool = False) -> tuple[str, ...]:
    """Returns the names of the classes of labels, in order: whole numbers by their size.

    Args:
        cells: The labels, none of which is missing.
        table: The table of the labels, for error messages.
        may_be_many: Whether almost each label may have a class of its own.

    Raises:
        UserError: if there is only one class, or almost each label has its own.
    """
    names = find_canonical_names(cells.drop_duplicates())
    is_whole = names.str.fullmatch(r"-?(0|[1-9]\d*)").all()
    class_names = tuple(sorted(names.unique(), key=int if is_whole else None))
    if len(class_names) < 2:
        raise UserError(
            f"{table.path}: column {cells.name!r} holds only {class_names[0]!r}; expected at least "
            "2 classes"
        )
    if not may_be_many and len(cells) >= _MANY_ROWS and len(class_names) > 0.9 * len(cells):
        raise UserError(
            f"{table.path}: column {cells.name!r} has {len(class_names):,} different values in "
            f"{len(cells):,} rows: these are no classes: choose another column with --label"
        )
    return class_names


def _reject(cells: pd.Series, invalid: Iterable[str], table: Table, expected: str) -> None:
    """Raises a UserError about the first cell with an invalid value."""
    is_invalid = cells.isin([*invalid]).to_numpy(bool)
    row = int(cells.index[is_invalid][0])
    raise UserError(
        f"{table.find_line(row)}: column {cells.name!r} holds {cells[row][:40]!r} "
        f"({is_invalid.sum()} such rows); {expected}: correct these rows"
    )


def resolve_case(
    labels: Mapping[str, pd.Series], config: DataConfig, known: tuple[str, ...]
) -> tuple[dict[str, pd.Series], tuple[str, ...], tuple[str, ...]]:
    """Merges labels that differ only in case if the config asks for it, and else tells of them.

    The most frequent spelling of the training split stays; of the classes of a trained model each.

    Args:
        labels: The labels by split, "train" among them, null where they are missing.
        config: `merge_label_case` and `known_classes` are used.
        known: Names of the classes, where they are known.

    Returns:
        The labels by split, the names of the classes that stay, and notes.
    """
    if not config.merge_label_case:
        train = labels["train"]
        variants = describe_class_variants(train.dropna().unique(), f"column {train.name!r}")
        return dict(labels), known, variants
    counts = labels["train"].value_counts().to_dict()
    spellings = choose_spellings(counts, config, known)
    known = tuple(name for name in known if spellings.get(name.lower(), name) == name)
    merged, notes = {}, []
    for split, series in labels.items():
        names = [None if pd.isna(x) else spellings.get(x.lower(), x) for x in series]
        merged[split] = pd.Series(names, series.index, STRING, series.name)
        changed = collections.Counter(
            (old, new) for old, new in zip(series, names, strict=True) if new and old != new
        )
        if changed:
            pairs = [f"{count:,} {old!r} to {new!r}" for (old, new), count in changed.most_common()]
            more = ", ..." if pairs[_MAX_NOTES:] else ""
            notes.append(
                f"column {series.name!r}: {changed.total():,} labels of the {split} split were "
                f"merged with others in another case ({', '.join(pairs[:_MAX_NOTES])}{more})"
            )
    return merged, known, tuple(notes)


def choose_spellings(
    counts: Mapping[str, int], config: DataConfig, known: tuple[str, ...] = ()
) -> dict[str, str]:
    """Chooses one spelling of labels that differ only in case: that of the model, or the commonest.

    Args:
        counts: Number of examples in the training split by label.
        config: `known_classes` is used: the classes of a trained model.
        known: Names of the classes, where they are known.

    Returns:
        The spelling by its lower case; none if the classes of the model themselves differ only in
        case.
    """
    if config.known_classes:
        spellings = {name.lower(): name for name in config.known_classes}
        return spellings if len(spellings) == len(config.known_classes) else {}
    all_counts = dict.fromkeys(known, 0) | dict(counts)
    ascending = sorted(all_counts, key=lambda name: (all_counts[name], name))
    return {name.lower(): name for name in ascending}  # the last one stays


def describe_class_variants(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Returns notes on names of classes that differ only in case, look the same, or mean it.

    Args:
        names: The names.
        source: What has the classes, such as "column 'y'".
    """
    return describe_variants(names, source, "class", "--merge_label_case makes them one")


def explain_other_label(label: str, classes: Collection[str], source: str) -> str:
    """Returns what to do with a label that is none of the classes of a source, as "train.csv"."""
    alike = find_alike(label, classes)
    if alike is None:
        closest = suggest_closest(label, classes)
        return (
            f"expected a class of {source}: correct or remove these lines{closest and '.'}{closest}"
        )
    if alike.lower() == label.lower():
        return f"{source} has {alike!r}: make them the same, or pass --merge_label_case"
    show = ascii if normalize_look(alike) == normalize_look(label) else repr
    return f"{source} has {show(alike)}: make them the same if they are one class"


def encode_target(labels: pd.Series, target: Target) -> np.ndarray:
    """Returns class indices, int64 (n,), -1 for other classes; or float32 numbers (n, 1).

    Labels that are no number are NaN, and those beyond float32 infinite.
    """
    if target.class_names is None:
        numbers = parse_numbers(labels, target.decimal, target.thousands, target.unit)
        with np.errstate(over="ignore"):
            return numbers[:, None].astype("float32")
    rows, distinct = pd.factorize(labels)
    values = pd.Series(distinct, dtype=labels.dtype)
    codes = pd.Index(target.class_names).get_indexer(values)
    # labels that are written in another way, as 1.0 and +1 are for 1
    other = codes < 0
    codes[other] = pd.Index(target.class_names).get_indexer(find_canonical_names(values)[other])
    return codes.astype("int64")[rows]


def _is_regression(values: pd.Series, rows: int, decimal: str, unit: str) -> bool:
    """Whether labels that are numbers make a regression, by their different values."""
    if values.str.match(r"[+-]?0\d").any():
        return False
    numbers = parse_numbers(values, decimal)
    if np.isnan(numbers).any() or (numbers % 1).any():
        return True
    distinct = np.unique(numbers)
    if values.str.contains(r"[.,eE]").any():
        return len(distinct) > _MAX_DECIMAL
    is_counted = not unit and distinct[0] in (0, 1) and np.all(np.diff(distinct) == 1)
    limit = max(_MAX_COUNTED, rows // 5) if is_counted else _MAX_WHOLE
    return len(distinct) > limit


def find_canonical_names(cells: pd.Series) -> pd.Series:
    """Returns whole numbers in one form, if all are: "1" for "1.0" and "+1", "0" for "-0"."""
    pattern = r"[+-]?(?:0|[1-9]\d*)(?:\.0*)?"
    if not cells.str.fullmatch(pattern).all():
        return cells
    whole = cells.str.replace(r"\.0*$", "", regex=True)
    return whole.str.replace(r"^\+", "", regex=True).replace("-0", "0")
