"""Batches that are cut into micro-batches of equal size, one per replica or accumulation step.

All micro-batches of a batch have the same number of rows; the last ones are padded with rows of
weight 0. The other weights are scaled so that averaging the weighted means of the micro-batches
gives the mean over the examples of the batch. Keras and tf.distribute combine losses and gradients
in this way, so both equal those of the whole batch.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class MicroBatches:
    """How batches are cut into micro-batches, and which of them this process produces.

    Attributes:
        total: Number of micro-batches per batch, over all processes.
        first: Index of the first micro-batch of this process.
        count: Number of consecutive micro-batches of this process.
        separate: Whether each micro-batch is a dataset element of its own. Otherwise those of this
            process are concatenated.
        static: Whether all batches have the same shape, including the last one of an epoch.
    """

    total: int
    first: int
    count: int
    separate: bool = False
    static: bool = False


class MicroBatch(NamedTuple):
    """The rows of a batch that this process works on.

    Attributes:
        row_indices: int64 of shape (n,): position of each row in the whole batch; 0 for padding.
        weight: float32 of shape (n,): weight of each row; 0 for padding.
        rows: int64 scalar: number of examples in the whole batch.
    """

    row_indices: tf.Tensor
    weight: tf.Tensor
    rows: tf.Tensor


def assign_rows(microbatches: MicroBatches, rows: tf.Tensor, batch_size: int) -> MicroBatch:
    """Returns this process's rows of a batch of `rows` examples, 1 <= rows <= batch_size."""
    rows = tf.cast(rows, tf.int64)
    padded_rows = tf.constant(batch_size, tf.int64) if microbatches.static else rows
    size = (padded_rows + microbatches.total - 1) // microbatches.total
    row_indices = microbatches.first * size + tf.range(microbatches.count * size)
    weight = tf.cast(microbatches.total * size, tf.float32) / tf.cast(rows, tf.float32)
    is_example = row_indices < rows
    return MicroBatch(tf.where(is_example, row_indices, 0), tf.where(is_example, weight, 0.0), rows)


def separate_microbatches(
    dataset: tf.data.Dataset, microbatches: MicroBatches, batch_size: int
) -> tf.data.Dataset:
    """Makes each micro-batch an element of its own if `separate`, and sets static shapes."""

    @tf.autograph.experimental.do_not_convert
    def stack_microbatches(*batch):
        return tf.nest.map_structure(
            lambda t: tf.reshape(t, tf.concat([[microbatches.count, -1], tf.shape(t)[1:]], 0)),
            batch,
        )

    @tf.autograph.experimental.do_not_convert
    def set_rows(*batch):
        count = 1 if microbatches.separate else microbatches.count
        rows = -(-batch_size // microbatches.total) * count
        return tf.nest.map_structure(lambda t: tf.ensure_shape(t, [rows, *t.shape[1:]]), batch)

    if microbatches.separate and microbatches.count > 1:
        shapes = tf.nest.map_structure(lambda s: s.shape, dataset.element_spec)
        dataset = dataset.map(stack_microbatches).unbatch()
        dataset = dataset.map(
            lambda *batch: tf.nest.map_structure(
                lambda t, shape: tf.ensure_shape(t, [None, *shape[1:]]), batch, shapes
            )
        )
    return dataset.map(set_rows) if microbatches.static else dataset


def draw_uniform(images, seed, low, high, dtype, microbatch: MicroBatch | None):
    """Draws one number per image, of shape (images,), as for the whole batch."""
    if microbatch is None:
        return tf.random.stateless_uniform([tf.shape(images)[0]], seed, low, high, dtype)
    numbers = tf.random.stateless_uniform([microbatch.rows], seed, low, high, dtype)
    return tf.gather(numbers, microbatch.row_indices)
