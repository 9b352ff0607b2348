"""Repeats examples of rare classes, so that an epoch has as many of each class."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def count_oversampled(labels: np.ndarray) -> int:
    """Returns the number of rows of `make_oversampler`.

    Args:
        labels: Class of each example, int64 (n,).
    """
    counts = np.bincount(labels)
    return int(counts.max() * np.count_nonzero(counts))


def make_oversampler(labels: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a seed to row numbers, with as many of each class as of the largest.

    All rows of a class occur equally often, but for a remainder that the seed draws. Classes
    without examples stay without.

    Args:
        labels: Class of each example, int64 (n,).
    """
    counts = np.maximum(np.bincount(labels), 1)
    in_order = np.sort(labels)
    rank = np.arange(len(labels)) - np.searchsorted(in_order, in_order)  # within the class
    copies, remainder = np.divmod(counts.max(), counts)
    # constants are made here, since a trace would copy them into its graph
    repeats = tf.constant(copies[in_order] + (rank < remainder[in_order]), tf.int64)
    classes = tf.constant(labels, tf.float64)

    def draw_rows(seed):
        draws = tf.random.stateless_uniform([len(labels)], seed)  # below 1
        shuffled = tf.argsort(classes + tf.cast(draws, tf.float64), stable=True)
        return tf.repeat(tf.cast(shuffled, tf.int64), repeats)

    return draw_rows
