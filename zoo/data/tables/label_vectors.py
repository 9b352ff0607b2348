"""Vectors of 0 and 1 of several labels per row, and the labels that are none of the classes."""

import collections

import numpy as np
import pandas as pd

from zoo.data.tables.labels import find_canonical_names
from zoo.data.tables.value_variants import find_alike
from zoo.errors import format_count

_SHOWN = 5  # labels in a note


def encode_label_sets(
    labels: pd.Series, size: int, class_names: tuple[str, ...]
) -> tuple[np.ndarray, pd.Series]:
    """Returns a vector of 0 and 1 for each row, uint8 (size, classes), and the other labels.

    Args:
        labels: The labels by number of their row; the index has a row as often as it has labels.
        size: Number of rows.
        class_names: Names of the classes.
    """
    index = pd.Index(class_names)
    codes = index.get_indexer(labels)
    other = codes < 0
    codes[other] = index.get_indexer(find_canonical_names(labels)[other])
    y = np.zeros((size, len(class_names)), "uint8")
    found = codes >= 0
    y[labels.index[found], codes[found]] = 1
    return y, labels[~found]


def describe_unknown_labels(labels: pd.Series, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns a note on labels that are none of the classes, if there are any."""
    if labels.empty:
        return ()
    unknown = collections.Counter(labels)
    shown = ", ".join(f"{name!r}" for name, _ in unknown.most_common(_SHOWN))
    more = ", ..." if len(unknown) > _SHOWN else ""
    count = format_count(
        unknown.total(),
        "label is none of the classes and is left out",
        "labels are none of the classes and are left out",
    )
    alike = {name: find_alike(name, class_names) for name in unknown}
    meant = next((f"; {x!r} may be the class {y!r}" for x, y in alike.items() if y), "")
    return (f"{count}: {shown}{more}; their rows stay{meant}",)
