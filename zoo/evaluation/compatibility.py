"""Checks that a model fits a dataset."""

from typing import Any

from zoo.data.fingerprint import compare_labels
from zoo.data.spec import Spec
from zoo.data.splits import Data
from zoo.errors import UserError

_MAX_NAMES = 10  # of classes or features, in a message
_TARGETS = {
    "classification": "classes",
    "multilabel": "any number of labels each",
    "regression": "numbers",
}
# datasets whose examples all are in the training split of another one
_WHOLES = {"mnist_5k": "mnist"}


def check_compatibility(subject: str, spec: Spec, data: Data, *, named: bool) -> None:
    """Checks that a model can be scored on a dataset: its inputs, its target and its classes.

    Args:
        subject: Name of the model, for the messages.
        spec: Spec of the model's data.
        data: The dataset.
        named: Whether the spec has the names of classes and features, and distinguishes texts from
            pairs of texts.

    Raises:
        UserError: if they don't match.
    """
    other = data.spec
    if spec.kind != other.kind and (named or spec.is_text != other.is_text):
        raise UserError(
            f"{subject} reads {spec.kind}, but {data.name} has {other.kind}: choose data of the "
            "same kind"
        )
    if not spec.is_text and spec.shape != other.shape:
        raise UserError(
            f"{subject} reads {spec.kind} of shape {spec.shape}, but {data.name} has shape "
            f"{other.shape}: choose data of the same shape"
        )
    if spec.task != other.task:
        predicted, labelled = (_TARGETS[each.task] for each in (spec, other))
        raise UserError(
            f"{subject} predicts {predicted}, but the labels of {data.name} are {labelled}: choose "
            "another column with --label"
        )
    if named:
        classes = spec.class_names or (), other.class_names or ()
        check_same_names(subject, "classes", classes[0], data.name, classes[1])
        if spec.kind == "features":  # columns of texts may have other names
            features = spec.feature_names, other.feature_names
            check_same_names(subject, "features", features[0], data.name, features[1])
    elif spec.class_names and spec.num_classes != other.num_classes:
        raise UserError(
            f"{subject} has {spec.num_classes} classes, but {data.name} has {other.num_classes}: "
            "choose data with the same classes"
        )


def describe_leak(record: dict[str, Any], data: Data, split_name: str) -> str:
    """Returns a warning if the split may contain training examples of the model, or "".

    Args:
        record: The model's record; may be empty.
        data: The dataset that the model is scored on.
        split_name: "train", "validation" or "test".
    """
    trained_on = record.get("dataset")
    if data.name in _WHOLES and trained_on == _WHOLES[data.name]:
        return (
            f"{data.name} is a part of the training split of {trained_on}: the weights were "
            "trained on all of its examples, and scores on them are too good"
        )
    if trained_on != data.name or split_name == "train":
        return ""
    if split_name == "all":
        return "all examples are scored, those of the training too"
    splits = record.get("splits")
    split = splits.get(split_name) if isinstance(splits, dict) else None
    trained_origin = split.get("from") if isinstance(split, dict) else None
    origin = data.splits[split_name]
    if trained_origin == origin:
        fingerprint = record.get("fingerprint")
        changes = compare_labels(fingerprint, data) if isinstance(fingerprint, dict) else []
        return (
            f"{data.name} is not divided as when the model was trained ({'; '.join(changes)}): the "
            f"{split_name} split may contain training examples. Restore the data and the seed, or "
            "score new examples"
        ) * bool(changes)
    return (
        f"the {split_name} split is {origin}, but was {trained_origin!s:.100} when the model was "
        "trained: it may contain training examples. Use the data flags of the training"
    )


def check_same_names(
    subject: str, kind: str, names: tuple[str, ...], data: str, data_names: tuple[str, ...]
) -> None:
    """Checks that a model and a dataset have the same classes or features, in the same order.

    Args:
        subject: Name of the model, for the message.
        kind: "classes" or "features".
        names: The model's names.
        data: Name of the dataset, for the message.
        data_names: The dataset's names.

    Raises:
        UserError: if they differ; the message shows the names from the first difference on.
    """
    if names == data_names:
        return
    start = 0
    if max(len(names), len(data_names)) > _MAX_NAMES:
        while names[start : start + 1] == data_names[start : start + 1]:
            start += 1
    excerpts = [
        ("... " if start else "")
        + ", ".join(each[start : start + _MAX_NAMES])
        + (" ..." if start + _MAX_NAMES < len(each) else "")
        for each in (names, data_names)
    ]
    raise UserError(
        f"{subject} has the {kind} {excerpts[0]}, but {data} has {excerpts[1]}: choose data with "
        f"the same {kind} in the same order"
    )
