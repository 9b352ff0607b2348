"""The targets of a split: int64 classes (n,), uint8 labels (n, classes) or float32 numbers (n, 1).

The labels of a multi-label task are 0 or 1 for each class.
"""

import numpy as np
import tensorflow as tf

from zoo.data.spec import Spec


def make_empty_targets(spec: Spec, size: int) -> np.ndarray:
    """Returns an array for the targets of `size` examples, whose values are not set."""
    if spec.class_names is None:
        return np.empty((size, 1), "float32")
    if spec.multilabel:
        return np.empty((size, len(spec.class_names)), "uint8")
    return np.empty(size, "int64")


def encode_targets(target: tf.Tensor, spec: Spec, one_hot: bool) -> tf.Tensor:
    """Returns a batch of targets as losses take it.

    Args:
        target: Targets of the batch.
        spec: Spec of the data.
        one_hot: Whether classes become float32 vectors (batch, classes), as several labels always
            do.
    """
    if spec.multilabel:
        return tf.cast(target, tf.float32)
    return tf.one_hot(target, spec.num_classes) if one_hot else target


def count_classes(target: np.ndarray, spec: Spec) -> np.ndarray:
    """Returns the number of examples of each class, int64 (classes,)."""
    if spec.multilabel:
        return target.sum(axis=0, dtype="int64")
    return np.bincount(target, minlength=len(spec.class_names or ()))


def find_strata(target: np.ndarray, spec: Spec) -> np.ndarray:
    """Returns a number for each example, int64 (n,), of which splits get equal shares.

    It is the class or, of a multi-label task, the rarest label of the example, and the number of
    classes if it has none.
    """
    if not spec.multilabel:
        return target
    counts = np.where(target, count_classes(target, spec), np.iinfo("int64").max)
    return np.where(target.any(axis=1), counts.argmin(axis=1), target.shape[1])


def count_labels(target: np.ndarray) -> np.ndarray:
    """Returns the number of labels of each example of a multi-label task, int64 (n,)."""
    return target.sum(axis=1, dtype="int64")
