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

from zoo.data.images.augmentation import augment_batch
from zoo.data.microbatches import MicroBatch, MicroBatches, separate_microbatches
from zoo.data.shuffling import (
    count_tokens,
    make_gatherer,
    make_row_selector,
    make_shuffler,
    trim_padding,
)
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, disable_autotuning
from zoo.data.targets import encode_targets
from zoo.data.texts.masked_tokens import mask_tokens
from zoo.recipe import BLENDING

_PREFETCHED_BATCHES = 4
# weight of examples of weight 0 in micro-batches, where a weight of 0 marks padding
_TINY_WEIGHT = 1e-30
_EVALUATION_SEED = (0, 1)  # of the tokens that are masked in an evaluation


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
    oversample: bool = False,
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
        oversample: Whether rare classes are repeated, see `zoo.data.oversampling`.
        microbatches: The micro-batches of this process; None for whole batches.

    Returns:
        Dataset of ({input name: x}, {"logits": y}); with weights also {"logits": weight}.
    """
    root_seed = tf.constant([seed, 0], tf.int64)

    def get_epoch_seed():
        return tf.random.fold_in(root_seed, epoch.read_value())

    # neighbours that are blended may be in different micro-batches: select their rows afterwards
    blends = changes.keys() & BLENDING
    before, after = (None, microbatches) if blends else (microbatches, None)
    shuffle, examples = make_shuffler(split, spec, batch_size, before, oversample)
    select_rows = make_row_selector(spec, after, batch_size) if after else None
    weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
    finish_batch = _make_finisher(spec, changes, one_hot, weights, select_rows, get_epoch_seed)

    @tf.autograph.experimental.do_not_convert
    def shuffle_epoch(_):
        return shuffle(get_epoch_seed())

    batches = tf.data.Dataset.from_tensors(0).flat_map(shuffle_epoch).enumerate()
    batches = batches.map(finish_batch, num_parallel_calls=os.cpu_count(), deterministic=True)
    return _finish_dataset(batches, examples, batch_size, microbatches)


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
        and 0 for padding: metrics need no scaled weights, as gradients do. The same tokens are
        masked each time.
    """
    mask_seed = tf.constant(_EVALUATION_SEED, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def finish_batch(position, batch):
        x, y, _, microbatch = batch
        if spec.is_masked:
            return _name_masked_tokens(spec, x, tf.random.fold_in(mask_seed, position))
        if microbatch is not None:
            microbatch = microbatch._replace(weight=tf.minimum(microbatch.weight, 1.0))
        return _name_tensors(spec, x, encode_targets(y, spec, one_hot), None, microbatch)

    if isinstance(split, Arrays):
        rows = tf.data.Dataset.from_tensor_slices(batch_order(split, spec)).batch(batch_size)
        batches = rows.map(make_gatherer(split, spec, microbatches, batch_size))
    else:
        select_rows = make_row_selector(spec, microbatches, batch_size)
        batches = split.read(None).batch(batch_size).map(select_rows)
    batches = batches.enumerate().map(finish_batch)
    return _finish_dataset(batches, len(split), batch_size, microbatches)


def batch_order(split: Split, spec: Spec) -> np.ndarray:
    """Returns the row numbers in evaluation order: texts in memory are sorted by length."""
    if spec.is_text and isinstance(split, Arrays):
        return np.argsort(np.count_nonzero(split.x, axis=1), kind="stable")
    return np.arange(len(split))


def _make_finisher(
    spec: Spec,
    changes: dict[str, float],
    one_hot: bool,
    weights: tf.Tensor | None,
    select_rows: Callable | None,
    get_epoch_seed: Callable[[], tf.Tensor],
) -> Callable:
    """Returns a function from (position, batch) to the element that `fit` takes."""

    @tf.autograph.experimental.do_not_convert
    def finish_batch(position, batch):
        x, y, weight, microbatch = batch
        if spec.is_masked:
            return _name_masked_tokens(spec, x, tf.random.fold_in(get_epoch_seed(), position))
        if weights is not None:
            class_weight = tf.gather(weights, y)
            weight = class_weight if weight is None else weight * class_weight
        y = encode_targets(y, spec, one_hot)
        if changes:
            batch_seed = tf.random.fold_in(get_epoch_seed(), position)
            x, y = augment_batch(x, y, changes, batch_seed, microbatch)
        if select_rows is not None:
            x, y, _, microbatch = select_rows(x, y)
        return _name_tensors(spec, x, y, weight, microbatch)

    return finish_batch


def _name_tensors(
    spec: Spec,
    x: tf.Tensor,
    y: tf.Tensor,
    weight: tf.Tensor | None,
    microbatch: MicroBatch | None,
) -> tuple:
    """Returns ({input name: x}, {"logits": y}), with {"logits": weight} if there are weights."""
    if microbatch is not None:
        scale = microbatch.weight
        weight = scale if weight is None else tf.maximum(weight, _TINY_WEIGHT) * scale
    elif spec.is_text:
        x = trim_padding(spec, x, count_tokens(x))
    inputs, targets = {spec.input_name: x}, {"logits": y}
    return (inputs, targets) if weight is None else (inputs, targets, {"logits": weight})


def _name_masked_tokens(spec: Spec, x: tf.Tensor, seed: tf.Tensor) -> tuple:
    """Returns ({"tokens": x, "masked_positions": p}, {"logits": y}, {"logits": weight}).

    The positions and the rest have shape (batch, masked), see `mask_tokens`.
    """
    assert spec.tokenizer is not None
    x = trim_padding(spec, x, count_tokens(x))
    tokens, positions, targets, weights = mask_tokens(x, spec.tokenizer, seed)
    inputs = {spec.input_name: tokens, "masked_positions": positions}
    return inputs, {"logits": targets}, {"logits": weights}


def _finish_dataset(
    dataset: tf.data.Dataset, examples: int, batch_size: int, microbatches: MicroBatches | None
) -> tf.data.Dataset:
    """Separates micro-batches, sets the number of steps and prefetches."""
    steps = -(-examples // batch_size)
    if microbatches:
        dataset = separate_microbatches(dataset, microbatches, batch_size)
        steps *= microbatches.count if microbatches.separate else 1
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return disable_autotuning(dataset.prefetch(_PREFETCHED_BATCHES))
