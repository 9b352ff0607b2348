"""Batches that are cut into equal parts: one for each replica, or for each step of accumulation.

Parts of one batch have the same number of rows. What is missing in the last ones is filled with
rows of weight 0, and the weights of the others are such that the mean over the parts, of the means
over the rows of each, is the mean over the examples of the batch. That is how Keras and
tf.distribute put losses and gradients together, so these are those of the whole batch.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Parts:
    """Into how many parts each batch is cut, and which of them are made here.

    Attributes:
        total: Number of parts.
        first: The first part that is made here.
        count: How many are made here.
        apart: Whether each part is a batch of its own, or all that are made here are one.
        static: Whether the shapes are the same for all batches, the last of an epoch included.
    """

    total: int
    first: int
    count: int
    apart: bool = False
    static: bool = False


class Part(NamedTuple):
    """What of a batch is made here.

    Attributes:
        places: int64 of shape (rows here,): where in the batch each row comes from.
        weight: float32 of shape (rows here,): 0 where the parts are filled up.
        rows: int64 scalar: examples of the whole batch.
    """

    places: tf.Tensor
    weight: tf.Tensor
    rows: tf.Tensor


def cut(parts: Parts, rows: tf.Tensor, batch_size: int) -> Part:
    """What is made here of a batch of `rows` examples, at least one and at most `batch_size`."""
    rows = tf.cast(rows, tf.int64)
    size = tf.constant(batch_size, tf.int64) if parts.static else rows
    each = (size + parts.total - 1) // parts.total
    places = parts.first * each + tf.range(parts.count * each)
    weight = tf.cast(parts.total * each, tf.float32) / tf.cast(rows, tf.float32)
    there = places < rows
    return Part(tf.where(there, places, 0), tf.where(there, weight, 0.0), rows)


def separate(dataset: tf.data.Dataset, parts: Parts, batch_size: int) -> tf.data.Dataset:
    """The dataset with each part as a batch, where the parts are apart, and of static shapes."""

    @tf.autograph.experimental.do_not_convert
    def split(*batch):
        return tf.nest.map_structure(
            lambda t: tf.reshape(t, tf.concat([[parts.count, -1], tf.shape(t)[1:]], 0)), batch
        )

    @tf.autograph.experimental.do_not_convert
    def fixed(*batch):
        rows = -(-batch_size // parts.total) * (1 if parts.apart else parts.count)
        return tf.nest.map_structure(lambda t: tf.ensure_shape(t, [rows, *t.shape[1:]]), batch)

    if parts.apart and parts.count > 1:
        shapes = tf.nest.map_structure(lambda s: s.shape, dataset.element_spec)
        dataset = dataset.map(split).unbatch()
        dataset = dataset.map(
            lambda *batch: tf.nest.map_structure(
                lambda t, shape: tf.ensure_shape(t, [None, *shape[1:]]), batch, shapes
            )
        )
    return dataset.map(fixed) if parts.static else dataset
