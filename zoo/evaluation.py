"""Whether a model suits a data set, and what a server says of one."""

from typing import Any

import keras
import numpy as np

from zoo import metadata, report, saved_model
from zoo.data import pipeline
from zoo.data.spec import Data, Spec, Split
from zoo.errors import UserError
from zoo.report import Predictions
from zoo.serving.client import Client
from zoo.serving.predict import INPUTS

_MOST_NAMES = 10  # of classes or features, in a message


def spec_of(model: keras.Model, record: dict[str, Any], source: str) -> Spec:
    """What the data of the model is: of its record, or, of a file that stands alone, of itself.

    Raises:
        UserError: if neither tells.
    """
    if "spec" in record:
        return Spec(**metadata.spec_of(record, source))
    return saved_model.spec_of(model, None)


def check_agreement(subject: str, spec: Spec, data: Data, *, named: bool) -> None:
    """Makes sure that the model reads such data, and means by its classes what they do.

    Args:
        subject: What is scored, for the messages.
        spec: What the model's data is.
        data: What it is to be scored on.
        named: Whether the spec has the names of classes and features, and tells texts from pairs.

    Raises:
        UserError: if not.
    """
    theirs = data.spec
    if spec.kind != theirs.kind and (named or spec.is_text != theirs.is_text):
        raise UserError(f"{subject} reads {spec.kind}, but {data.name} has {theirs.kind}: take "
                        "data of the same kind")  # fmt: skip
    if not spec.is_text and spec.shape != theirs.shape:
        raise UserError(f"{subject} reads {spec.kind} of shape {spec.shape}, but {data.name} has "
                        f"shape {theirs.shape}: take data of the same shape")  # fmt: skip
    if (spec.class_names is None) != (theirs.class_names is None):
        ours, other = "a number", "classes"
        if theirs.class_names is None:
            ours, other = other, ours
        raise UserError(f"{subject} predicts {ours}, but the label of {data.name} is {other}: "
                        "name another with --label")  # fmt: skip
    compared = [("classes", spec.class_names or (), theirs.class_names or ())]
    compared.append(("features", spec.feature_names, theirs.feature_names))
    for what, ours, other in compared:
        if named and ours != other:
            raise _other(subject, what, ours, data.name, other)
    counts = spec.num_classes, theirs.num_classes
    if not named and spec.class_names and counts[0] != counts[1]:
        raise UserError(f"{subject} has {counts[0]} classes, and {data.name} has {counts[1]}: take "
                        "data with the same")  # fmt: skip


def leak(record: dict[str, Any], data: Data, part: str) -> str:
    """A warning where the split may hold examples that the model was trained on, or nothing.

    Args:
        record: What is known of the model.
        data: What it is to be scored on.
        part: "train", "validation" or "test".
    """
    if record.get("dataset") != data.name or part == "train":
        return ""
    splits = record.get("splits")
    before = splits.get(part) if isinstance(splits, dict) else None
    origin = before.get("from") if isinstance(before, dict) else None
    now = data.splits[part]
    if origin == now:
        return ""
    return (
        f"its {part} split was {origin!s:.100} in the training and is {now} here: it may hold "
        "examples that were trained on: give the data flags of the training"
    )


def ask(client: Client, split: Split, spec: Spec, batch_size: int) -> Predictions:
    """What a server says of each example of a split, texts as strings.

    Raises:
        UserError: as the client does, and where the server has other classes than the spec.
    """
    names = INPUTS.get(spec.kind, [spec.kind])

    def inputs(x):
        columns = [x] if len(names) == 1 else list(x.T)
        return dict(zip(names, columns, strict=True))

    def answer(x):
        given = client.predict(inputs(x))
        return given["prediction"][:, None] if spec.class_names is None else given["logits"]

    if spec.class_names is not None:
        first, _ = next(pipeline.plain_batches(split, 1))
        _check_classes(client, inputs(first), spec)
    pairs = ((answer(x), y) for x, y in pipeline.plain_batches(split, batch_size))
    return report.gathered(pairs, -(-len(split) // batch_size), np.arange(len(split)))


def _check_classes(client: Client, example: dict[str, Any], spec: Spec) -> None:
    """Asks a server for its classes: it tells their names only as those of the best of an example.

    Raises:
        UserError: if they are not the spec's.
    """
    given = client.predict(example | {"k": [spec.num_classes + 1]}, "top_k")
    ours = tuple(given["labels"][0][np.argsort(given["class_ids"][0])])
    if ours != spec.class_names:
        raise _other(client.model, "classes", ours, "the data set", spec.class_names)


def _other(
    subject: str, what: str, ours: tuple[str, ...], data: str, theirs: tuple[str, ...]
) -> UserError:
    """The error about names that differ, from the first that does where there are many."""
    start = 0
    if max(len(ours), len(theirs)) > _MOST_NAMES:
        while ours[start : start + 1] == theirs[start : start + 1]:
            start += 1
    shown = [
        ("... " if start else "")
        + ", ".join(names[start : start + _MOST_NAMES])
        + (" ..." if start + _MOST_NAMES < len(names) else "")
        for names in (ours, theirs)
    ]
    return UserError(
        f"{subject} has the {what} {shown[0]}, and {data} has {shown[1]}: take data with the same, "
        "in that order"
    )
