"""Chooses the rows of each batch: shuffled by a seed, and those of this process's micro-batches."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.data.memory import make_row_gatherer
from zoo.data.microbatches import MicroBatch, MicroBatches, assign_rows
from zoo.data.oversampling import count_oversampled, make_oversampler
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, Stream

_WIDTH_STEPS = 16  # number of widths that batches of texts are trimmed to
_SORTED_BATCHES = 50  # batches within which texts are sorted by length


class Batch(NamedTuple):
    """A batch of inputs, labels and weights, or this process's rows of one; None for none."""

    x: tf.Tensor
    y: tf.Tensor
    weight: tf.Tensor | None = None
    microbatch: MicroBatch | None = None


def make_shuffler(
    split: Split,
    spec: Spec,
    batch_size: int,
    microbatches: MicroBatches | None,
    oversample: bool,
) -> tuple[Callable[[tf.Tensor], tf.data.Dataset], int]:
    """Returns a function from a seed to the shuffled batches, and their number of examples.

    Args:
        split: The training split.
        spec: Description of the data.
        batch_size: Examples per batch.
        microbatches: The micro-batches of this process; None for whole batches.
        oversample: Whether rare classes are repeated, see `zoo.data.oversampling`; not of a stream.

    Returns:
        The function, whose datasets have the elements of `Batch`, and the number.
    """
    if not isinstance(split, Arrays):
        return _make_stream_shuffler(split, spec, batch_size, microbatches), len(split)
    shuffle = _make_array_shuffler(split, spec, batch_size, microbatches, oversample)
    return shuffle, count_oversampled(split.y) if oversample else len(split)


def _make_array_shuffler(
    split: Arrays,
    spec: Spec,
    batch_size: int,
    microbatches: MicroBatches | None,
    oversample: bool,
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    # outside of `shuffle_rows`, whose tracing would copy these constants into its graph
    gather = make_gatherer(split, spec, microbatches, batch_size)
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if spec.is_text else None
    draw_rows = make_oversampler(split.y) if oversample else None

    def shuffle_rows(seed):
        if draw_rows is None:
            rows = tf.range(len(split), dtype=tf.int64)
        else:
            rows = draw_rows(tf.random.fold_in(seed, 2))
        rows = tf.random.experimental.stateless_shuffle(rows, seed)
        if lengths is not None:
            rows = _group_by_length(rows, tf.gather(lengths, rows), batch_size, seed)
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size).map(gather)

    return shuffle_rows


def _make_stream_shuffler(
    split: Stream, spec: Spec, batch_size: int, microbatches: MicroBatches | None
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    select_rows = make_row_selector(spec, microbatches, batch_size)

    def shuffle_stream(seed):
        @tf.autograph.experimental.do_not_convert
        def sort_block(x, y):
            rows = _group_by_length(tf.range(tf.shape(y)[0]), count_tokens(x), batch_size, seed)
            return tf.gather(x, rows), tf.gather(y, rows)

        examples = split.read(seed)
        if spec.is_text:
            examples = examples.batch(_SORTED_BATCHES * batch_size).map(sort_block).unbatch()
        return examples.batch(batch_size).map(select_rows)

    return shuffle_stream


def _group_by_length(
    rows: tf.Tensor, lengths: tf.Tensor, batch_size: int, seed: tf.Tensor
) -> tf.Tensor:
    """Reorders shuffled rows of texts so that each batch has texts of similar length.

    Sorts within blocks of `_SORTED_BATCHES` batches, then shuffles the full batches.
    """
    block = tf.range(tf.size(rows, tf.int64)) // (_SORTED_BATCHES * batch_size)
    rows = tf.gather(rows, tf.argsort(block * 2**32 + lengths, stable=True))
    full_batches = tf.size(rows) // batch_size
    batches = tf.reshape(rows[: full_batches * batch_size], [full_batches, batch_size])
    batches = tf.random.experimental.stateless_shuffle(batches, tf.random.fold_in(seed, 1))
    return tf.concat([tf.reshape(batches, [-1]), rows[full_batches * batch_size :]], axis=0)


def count_tokens(tokens: tf.Tensor) -> tf.Tensor:
    """Returns the number of tokens of each text, int64 (batch,), without padding."""
    return tf.math.count_nonzero(tokens, axis=-1)


def make_gatherer(
    split: Arrays, spec: Spec, microbatches: MicroBatches | None, batch_size: int
) -> Callable:
    """Returns a function from the row numbers of a batch to a `Batch`."""
    gather_inputs, y = make_row_gatherer(split.x), tf.constant(split.y)
    weights = None if split.weights is None else tf.constant(split.weights)
    trimmed = spec.is_text and microbatches is not None and not microbatches.static
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if trimmed else None

    @tf.autograph.experimental.do_not_convert
    def gather(rows):
        selected_rows, microbatch = rows, None
        if microbatches is not None:
            microbatch = assign_rows(microbatches, tf.size(rows), batch_size)
            selected_rows = tf.gather(rows, microbatch.row_indices)
        inputs = gather_inputs(selected_rows)
        if trimmed:
            # all micro-batches of a batch have the width of the whole batch
            inputs = trim_padding(spec, inputs, tf.gather(lengths, rows))
        weight = None if weights is None else tf.gather(weights, selected_rows)
        return Batch(inputs, tf.gather(y, selected_rows), weight, microbatch)

    return gather


def make_row_selector(spec: Spec, microbatches: MicroBatches | None, batch_size: int) -> Callable:
    """Returns a function from a whole batch (x, y) to a `Batch` of this process's rows."""

    @tf.autograph.experimental.do_not_convert
    def select_rows(x, y):
        if microbatches is None:
            return Batch(x, y)
        if spec.is_text and not microbatches.static:
            x = trim_padding(spec, x, count_tokens(x))
        microbatch = assign_rows(microbatches, tf.shape(y)[0], batch_size)
        row_indices = microbatch.row_indices
        return Batch(tf.gather(x, row_indices), tf.gather(y, row_indices), None, microbatch)

    return select_rows


def trim_padding(spec: Spec, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Trims token ids to the longest of `lengths`, rounded up to one of `_WIDTH_STEPS` widths."""
    step = -(-spec.shape[0] // _WIDTH_STEPS)
    longest = tf.reduce_max(lengths)
    return x[:, : tf.minimum(-(-longest // step) * step, spec.shape[0])]
