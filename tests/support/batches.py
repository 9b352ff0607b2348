"""Training batches, epoch by epoch."""

import tensorflow as tf

from zoo.data.batching import make_training_batches


def training(split, spec, *, batch_size=4, seed=0, changes=None, one_hot=False, weights=None,
             oversample=False, microbatches=None):  # fmt: skip
    """A function from the number of an epoch to the list of its batches."""
    epoch = tf.Variable(0, dtype=tf.int64)
    batches = make_training_batches(
        split,
        spec,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        changes=changes or {},
        one_hot=one_hot,
        class_weights=weights,
        oversample=oversample,
        microbatches=microbatches,
    )

    def of(number):
        epoch.assign(number)
        return list(batches.as_numpy_iterator())

    return of
