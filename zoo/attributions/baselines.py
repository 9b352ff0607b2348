"""Baselines: the inputs that explanations compare with.

An image is compared with a black one, and a text with vectors of zeros in place of its words
(Sundararajan et al. 2017, section 3). A row of a table is compared with the typical row of the
training split: medians, the most frequent categories, and texts without words.
"""

import keras
import numpy as np
import tensorflow as tf

from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.data.tables.date_forms import format_days
from zoo.data.tables.table_encoding import encode_records


def describe_baseline(spec: Spec) -> str:
    """Returns what inputs are compared with, in words."""
    if spec.kind == "image":
        return "a black image"
    return "a text without words" if spec.is_text else "the typical row of the training data"


def describe_occlusion(spec: Spec) -> str:
    """Returns what occlusion does to an input, in words."""
    if spec.kind == "image":
        return "black patches"
    return "leaving out words" if spec.is_text else "typical cells, one at a time"


def make_typical_record(columns: tuple[Column, ...]) -> np.ndarray:
    """Returns the typical row of a table as a record of shape (1,); see `column_encoding`."""
    types = [(c.name, "f8" if c.kind == "number" else "O") for c in columns]
    record = np.empty(1, types)
    for column in columns:
        if column.kind == "number":
            record[column.name] = column.center
        elif column.kind == "date":
            record[column.name] = format_days(np.array([column.center]), column.date_format)
        else:
            record[column.name] = column.values[0] if column.values else ""
    return record


def make_baseline_inputs(model: keras.Model, spec: Spec) -> dict[str, np.ndarray] | None:
    """Returns the inputs of a model that stand for the baseline, of one example.

    Features that are no columns of a table are compared with their means in the training split,
    which the model's `Normalization` layer knows.

    Returns:
        The inputs by name, of shape (1, *spec.shape); None for texts, whose vectors are compared
        with zeros.
    """
    if spec.is_text:
        return None
    if spec.columns:
        return {"features": encode_records(make_typical_record(spec.columns), spec.columns)}
    baseline = np.zeros((1, *spec.shape), spec.dtype)
    layer = next((x for x in model.layers if isinstance(x, keras.layers.Normalization)), None)
    if spec.kind == "features" and layer is not None and layer.name == "normalization":
        baseline[:] = tf.reshape(layer.mean, [1, -1]).numpy()
    return {spec.input_name: baseline}
