"""Turns splits into batches: rows are gathered from arrays, or read from streams.

tf.data's autotuning is off: with it, every iterator waits up to its next tuning period when it is
destroyed, and `fit` creates one per epoch. tf.data's graph rewrites are off because they copy
everything that the mapped functions capture, including the data, for each iterator. Autograph is
off because the functions have no Python control flow on tensors and tracing is faster without it.
"""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from zoo.data.augmentation import augment_batch
from zoo.data.microbatches import MicroBatch, MicroBatches, assign_rows, separate_microbatches
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, Stream, disable_autotuning
from zoo.data.targets import encode_targets
from zoo.recipe import BLENDING

_PREFETCHED_BATCHES = 4
_WIDTH_STEPS = 16  # number of widths that batches of texts are trimmed to
_SORTED_BATCHES = 50  # batches within which texts are sorted by length


def make_training_batches(
    split: Split,
    spec: Spec,
    *,
    batch_size: int,
    seed: int,
    epoch: tf.Variable,
    changes: dict[str, float],
    one_hot: bool,
    class_weights: np.ndarray | None,
    microbatches: MicroBatches | None = None,
) -> tf.data.Dataset:
    """Returns the shuffled batches of one epoch, which depend only on (seed, epoch, position).

    Args:
        split: The training split.
        spec: Description of the data. Texts of similar length are batched together.
        batch_size: Examples per batch; the last batch of an epoch may be smaller.
        seed: Seed of the run.
        epoch: int64 scalar, read while the dataset is iterated: assign it before each epoch.
        changes: Augmentation, from `zoo.recipe.parse_augmentation`.
        one_hot: As in `zoo.data.targets.encode_targets`.
        class_weights: float32 of shape (classes,), or None.
        microbatches: The micro-batches of this process; None for whole batches.

    Returns:
        Dataset of ({input name: x}, {"logits": y}) or, with class weights or micro-batches,
        ({input name: x}, {"logits": y}, {"logits": weight}).
    """
    root_seed = tf.constant([seed, 0], tf.int64)

    def get_epoch_seed():
        return tf.random.fold_in(root_seed, epoch.read_value())

    # neighbours that are blended may be in different micro-batches: select their rows afterwards
    blends = changes.keys() & BLENDING
    before, after = (None, microbatches) if blends else (microbatches, None)
    shuffle = _make_shuffler(split, spec, batch_size, before)
    select_rows = _make_row_selector(spec, after, batch_size) if after else None
    finish_batch = _make_finisher(
        spec, changes, one_hot, class_weights, select_rows, get_epoch_seed
    )

    @tf.autograph.experimental.do_not_convert
    def shuffle_epoch(_):
        return shuffle(get_epoch_seed())

    batches = tf.data.Dataset.from_tensors(0).flat_map(shuffle_epoch).enumerate()
    batches = batches.map(finish_batch, num_parallel_calls=os.cpu_count(), deterministic=True)
    return _finish_dataset(batches, split, batch_size, microbatches)


def make_evaluation_batches(
    split: Split,
    spec: Spec,
    *,
    batch_size: int,
    one_hot: bool = False,
    microbatches: MicroBatches | None = None,
) -> tf.data.Dataset:
    """Returns batches in the order of `batch_order`.

    Args:
        split: The split to evaluate.
        spec: Description of the data.
        batch_size: Examples per batch; the last batch may be smaller.
        one_hot: Whether labels are float32 of shape (batch, classes).
        microbatches: The micro-batches of this process; None for whole batches.

    Returns:
        Dataset of ({input name: x}, {"logits": y}) or, with micro-batches,
        ({input name: x}, {"logits": y}, {"logits": weight}), where the weight is 1 for examples
        and 0 for padding: metrics need no scaled weights, as gradients do.
    """

    @tf.autograph.experimental.do_not_convert
    def finish_batch(x, y, microbatch=None):
        if microbatch is not None:
            microbatch = microbatch._replace(weight=tf.minimum(microbatch.weight, 1.0))
        return _name_tensors(spec, x, encode_targets(y, spec, one_hot), None, microbatch)

    if isinstance(split, Arrays):
        rows = tf.data.Dataset.from_tensor_slices(batch_order(split, spec)).batch(batch_size)
        batches = rows.map(_make_gatherer(split, spec, microbatches, batch_size))
    else:
        batches = split.read(None).batch(batch_size)
        if microbatches:
            batches = batches.map(_make_row_selector(spec, microbatches, batch_size))
    return _finish_dataset(batches.map(finish_batch), split, batch_size, microbatches)


def batch_order(split: Split, spec: Spec) -> np.ndarray:
    """Returns the row numbers in evaluation order: texts in memory are sorted by length."""
    if spec.is_text and isinstance(split, Arrays):
        return np.argsort(np.count_nonzero(split.x, axis=1), kind="stable")
    return np.arange(len(split))


def _make_shuffler(
    split: Split, spec: Spec, batch_size: int, microbatches: MicroBatches | None
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns a function from a seed to the shuffled batches, (x, y) or (x, y, MicroBatch)."""
    if isinstance(split, Arrays):
        return _make_array_shuffler(split, spec, batch_size, microbatches)
    return _make_stream_shuffler(split, spec, batch_size, microbatches)


def _make_array_shuffler(
    split: Arrays, spec: Spec, batch_size: int, microbatches: MicroBatches | None
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    # outside of `shuffle_rows`, whose tracing would copy these constants into its graph
    gather = _make_gatherer(split, spec, microbatches, batch_size)
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if spec.is_text else None

    def shuffle_rows(seed):
        rows = tf.random.experimental.stateless_shuffle(tf.range(len(split), dtype=tf.int64), seed)
        if lengths is not None:
            rows = _group_by_length(rows, tf.gather(lengths, rows), batch_size, seed)
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size).map(gather)

    return shuffle_rows


def _make_stream_shuffler(
    split: Stream, spec: Spec, batch_size: int, microbatches: MicroBatches | None
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    def shuffle_stream(seed):
        @tf.autograph.experimental.do_not_convert
        def sort_block(x, y):
            rows = _group_by_length(tf.range(tf.shape(y)[0]), _count_tokens(x), batch_size, seed)
            return tf.gather(x, rows), tf.gather(y, rows)

        examples = split.read(seed)
        if spec.is_text:
            examples = examples.batch(_SORTED_BATCHES * batch_size).map(sort_block).unbatch()
        batches = examples.batch(batch_size)
        if microbatches:
            batches = batches.map(_make_row_selector(spec, microbatches, batch_size))
        return batches

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


def _count_tokens(tokens: tf.Tensor) -> tf.Tensor:
    return tf.math.count_nonzero(tokens, axis=-1)


def _make_finisher(
    spec: Spec,
    changes: dict[str, float],
    one_hot: bool,
    class_weights: np.ndarray | None,
    select_rows: Callable | None,
    get_epoch_seed: Callable[[], tf.Tensor],
) -> Callable:
    """Returns a function from (position, batch) to the element that `fit` takes."""
    weights = None if class_weights is None else tf.constant(class_weights, tf.float32)

    @tf.autograph.experimental.do_not_convert
    def finish_batch(position, batch):
        x, y = batch[:2]
        microbatch = batch[2] if len(batch) > 2 else None
        weight = None if weights is None else tf.gather(weights, y)
        y = encode_targets(y, spec, one_hot)
        if changes:
            batch_seed = tf.random.fold_in(get_epoch_seed(), position)
            x, y = augment_batch(x, y, changes, batch_seed, microbatch)
        if select_rows is not None:
            x, y, microbatch = select_rows(x, y)
        return _name_tensors(spec, x, y, weight, microbatch)

    return finish_batch


def _make_gatherer(
    split: Arrays, spec: Spec, microbatches: MicroBatches | None, batch_size: int
) -> Callable:
    """Returns a function from the row numbers of a batch to (x, y) or (x, y, MicroBatch)."""
    x, y = tf.constant(split.x), tf.constant(split.y)
    trimmed = spec.is_text and microbatches is not None and not microbatches.static
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if trimmed else None

    @tf.autograph.experimental.do_not_convert
    def gather(rows):
        if microbatches is None:
            return tf.gather(x, rows), tf.gather(y, rows)
        microbatch = assign_rows(microbatches, tf.size(rows), batch_size)
        selected_rows = tf.gather(rows, microbatch.row_indices)
        inputs = tf.gather(x, selected_rows)
        if trimmed:
            # all micro-batches of a batch have the width of the whole batch
            inputs = _trim_padding(spec, inputs, tf.gather(lengths, rows))
        return inputs, tf.gather(y, selected_rows), microbatch

    return gather


def _make_row_selector(spec: Spec, microbatches: MicroBatches, batch_size: int) -> Callable:
    """Returns a function from a whole batch (x, y) to this process's (x, y, MicroBatch)."""

    @tf.autograph.experimental.do_not_convert
    def select_rows(x, y):
        if spec.is_text and not microbatches.static:
            x = _trim_padding(spec, x, _count_tokens(x))
        microbatch = assign_rows(microbatches, tf.shape(y)[0], batch_size)
        row_indices = microbatch.row_indices
        return tf.gather(x, row_indices), tf.gather(y, row_indices), microbatch

    return select_rows


def _trim_padding(spec: Spec, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Trims token ids to the longest of `lengths`, rounded up to one of `_WIDTH_STEPS` widths."""
    step = -(-spec.shape[0] // _WIDTH_STEPS)
    longest = tf.reduce_max(lengths)
    return x[:, : tf.minimum(-(-longest // step) * step, spec.shape[0])]


def _name_tensors(
    spec: Spec,
    x: tf.Tensor,
    y: tf.Tensor,
    weight: tf.Tensor | None,
    microbatch: MicroBatch | None,
) -> tuple:
    """Returns ({input name: x}, {"logits": y}), with {"logits": weight} if there are weights."""
    if microbatch is not None:
        weight = microbatch.weight if weight is None else weight * microbatch.weight
    elif spec.is_text:
        x = _trim_padding(spec, x, _count_tokens(x))
    inputs, targets = {spec.input_name: x}, {"logits": y}
    return (inputs, targets) if weight is None else (inputs, targets, {"logits": weight})


def _finish_dataset(
    dataset: tf.data.Dataset, split: Split, batch_size: int, microbatches: MicroBatches | None
) -> tf.data.Dataset:
    """Separates micro-batches, sets the number of steps and prefetches."""
    steps = -(-len(split) // batch_size)
    if microbatches:
        dataset = separate_microbatches(dataset, microbatches, batch_size)
        steps *= microbatches.count if microbatches.separate else 1
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return disable_autotuning(dataset.prefetch(_PREFETCHED_BATCHES))
