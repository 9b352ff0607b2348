"""What a user should know about the splits of a dataset."""

import numpy as np
import pandas as pd

from zoo.data.file_copies import find_copies
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, Split, Stream, has_known_labels, read_labels
from zoo.data.tables.column_learning import measure_spread
from zoo.data.tables.column_notes import format_columns
from zoo.data.tables.row_hashes import hash_rows
from zoo.data.tables.split_ranges import compare_sizes
from zoo.data.targets import count_classes, count_labels
from zoo.data.texts.tokenizer_settings import format_tokenizer
from zoo.errors import format_count

_SHOWN_CLASSES = 10


def describe_data(data: Data) -> list[str]:
    """Returns lines for the headline of a run: task, classes, weights, columns or tokens.

    The labels of data that is streamed are not read for this.
    """
    lines = []
    if has_known_labels(data.train):
        lines.append(_describe_target(read_labels(data.train), data.spec))
    weights = data.train.weights if isinstance(data.train, Arrays) else None
    if weights is not None:
        lines.append(
            f"weights in the training loss: {weights.min():.3g} to {weights.max():.3g}, mean "
            f"{weights.mean():.3g}"
        )
    if data.spec.columns:
        lines.append(format_columns(data.spec.columns))
    if data.spec.tokenizer:
        lines.append(f"texts: {format_tokenizer(data.spec.tokenizer)}")
    return lines


def _describe_target(y: np.ndarray, spec: Spec) -> str:
    """Describes the task and the training targets in one line."""
    class_names = spec.class_names
    if class_names is None:
        return f"regression: {y.min():.6g} to {y.max():.6g}, mean {y.mean():.6g}"
    counts = count_classes(y, spec)
    shown = ", ".join(
        f"{name} ({count:,})"
        for name, count in zip(class_names, counts[:_SHOWN_CLASSES], strict=False)
    )
    more = ", ..." if len(class_names) > _SHOWN_CLASSES else ""
    line = f"{spec.task}: {len(class_names)} classes: {shown}{more}"
    if not spec.multilabel:
        return line
    labels = count_labels(y)
    return (
        f"{line}; {labels.mean():.2f} labels per example (label cardinality), at most "
        f"{labels.max()}, none for {format_count(int((labels == 0).sum()), 'example')}"
    )


def describe_missing_classes(splits: dict[str, Split], spec: Spec) -> list[str]:
    """Returns notes on classes without an example in a split, where that is known."""
    notes = []
    for name, split in splits.items():
        if spec.class_names and has_known_labels(split):
            counts = count_classes(read_labels(split), spec)
            missing = [repr(spec.class_names[i]) for i in np.flatnonzero(counts == 0)]
            if missing:
                shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
                name = "training" if name == "train" else name
                notes.append(f"the {name} split has no example of {shown}")
    return notes


def describe_odd_targets(splits: dict[str, Split], spec: Spec) -> list[str]:
    """Returns notes on numbers to predict that are all the same, or of another size in a split.

    Args:
        splits: The splits; those that are scored are compared with "train" if it is there.
        spec: Spec of the data.
    """
    if spec.class_names is not None:
        return []
    notes = []
    targets = {name: read_labels(split)[:, 0].astype("float64") for name, split in splits.items()}
    train = targets.get("train", np.empty(0))
    center, scale = measure_spread(train)
    for name, values in targets.items():
        shown = "training" if name == "train" else name
        if len(values) > 1 and np.ptp(values) == 0:
            notes.append(
                f"the {shown} split has the same number to predict, {values[0]:.6g}, in each of "
                f"its {len(values):,} rows: check its labels"
            )
        elif (
            name != "train"
            and len(train)
            and (sizes := compare_sizes(values, train, center, scale))
        ):
            notes.append(f"numbers to predict: in the {shown} split {sizes}")
    return notes


def describe_repeated_rows(splits: dict[str, Split]) -> list[str]:
    """Returns notes on rows whose inputs are in the training split too."""
    return [
        f"{repeated.sum():,} of {len(repeated):,} rows of the {name} split have the same inputs "
        "as rows of the training split"
        for name, repeated in find_repeated_rows(splits).items()
        if repeated.any()
    ]


def find_repeated_rows(splits: dict[str, Split]) -> dict[str, np.ndarray]:
    """Returns which rows of the splits but "train" have the inputs of a row of that, bool (n,).

    The inputs are not encoded yet. Files of images are compared as `find_copies` does it; of other
    splits that are streamed nothing is returned.
    """
    paths = {name: _list_paths(split) for name, split in splits.items()}
    if all(paths.values()):
        known = paths.pop("train")
        return {name: find_copies(known, others) for name, others in paths.items()}
    arrays = {name: split for name, split in splits.items() if isinstance(split, Arrays)}
    if len(arrays) < len(splits):
        return {}
    hashes = hash_rows({name: split.x for name, split in arrays.items()})
    train = pd.Index(hashes.pop("train")).unique()
    return {name: train.get_indexer(values) >= 0 for name, values in hashes.items()}


def _list_paths(split: Split) -> list[str]:
    """Returns the paths of the examples of a split, if each has a file of its own."""
    return split.list_paths() if isinstance(split, Stream) else []
