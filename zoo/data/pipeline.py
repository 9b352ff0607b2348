"""Splits to batches: in memory by gathering rows, streamed where the data does not fit.

tf.data's autotuning stays off: with it every iterator waits for its next tuning period when it is
destroyed, and `fit` makes one an epoch. So do its rewrites, for which all that the functions hold,
the data among it, would be copied for each iterator.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from zoo.data.augment import augment
from zoo.data.parts import Part, Parts, cut, separate
from zoo.data.spec import Arrays, Spec, Split

_AHEAD = 4  # batches made while the model works
_WIDTHS = 16  # of batches of texts, which are cut to the longest of each
_SORTED = 50  # batches among which texts are sorted by length


def training_batches(
    split: Split,
    spec: Spec,
    *,
    batch_size: int,
    seed: int,
    epoch: tf.Variable,
    changes: dict[str, float],
    one_hot: bool,
    class_weights: np.ndarray | None,
    parts: Parts | None = None,
) -> tf.data.Dataset:
    """Shuffled batches of one epoch, each a function of (seed, epoch, position) alone.

    Texts of like length go together, in a batch as wide as the longest of them.

    Args:
        split: What is trained on.
        spec: What the data is.
        batch_size: Examples per batch; the last batch of an epoch may be smaller.
        seed: Seed of the run.
        epoch: int64 scalar, read when the dataset is iterated: set it before each epoch.
        changes: Augmentation, from `recipe.augmentation`.
        one_hot: Whether labels are float32 of shape (batch, classes).
        class_weights: float32 of shape (classes,), or None.
        parts: Which parts of each batch are made here, from the examples, and with the
            augmentation, that the whole batch has; None for whole batches.

    Returns:
        Dataset of ({input name: x}, {"logits": y}) or, with class weights or parts,
        ({input name: x}, {"logits": y}, {"logits": weight}).
    """
    base = tf.constant([seed, 0], tf.int64)
    weights = None if class_weights is None else tf.constant(class_weights, tf.float32)

    # an image is blended with its neighbour, which may be of another part: cut afterwards
    early, late = (None, parts) if "mixup" in changes else (parts, None)
    shuffled = _shuffler(split, spec, batch_size, early)

    @tf.autograph.experimental.do_not_convert
    def of_epoch(_):
        return shuffled(tf.random.fold_in(base, epoch.read_value()))

    @tf.autograph.experimental.do_not_convert
    def finish(position, batch):
        x, y, *part = batch
        weight = None if weights is None else tf.gather(weights, y)
        if one_hot:
            y = tf.one_hot(y, spec.num_classes)
        if changes:
            of_batch = tf.random.fold_in(base, epoch.read_value())
            x, y = augment(x, y, changes, tf.random.fold_in(of_batch, position), *part)
        if late:
            x, y, *part = _cutter(spec, late, batch_size)(x, y)
        return _named(spec, x, y, weight, *part)

    batches = tf.data.Dataset.from_tensors(0).flat_map(of_epoch).enumerate()
    batches = batches.map(finish, num_parallel_calls=os.cpu_count(), deterministic=True)
    return _finished(batches, split, batch_size, parts)


def batches(
    split: Split,
    spec: Spec,
    *,
    batch_size: int,
    one_hot: bool = False,
    parts: Parts | None = None,
) -> tf.data.Dataset:
    """Batches in the order of `order`: ({input name: x}, {"logits": y}), and the weights of parts.

    Here the weights are 1, and 0 where parts are filled up: there is no gradient to get right.
    """

    @tf.autograph.experimental.do_not_convert
    def finish(x, y, *part):
        part = [p._replace(weight=tf.minimum(p.weight, 1.0)) for p in part]
        return _named(spec, x, tf.one_hot(y, spec.num_classes) if one_hot else y, None, *part)

    if isinstance(split, Arrays):
        rows = tf.data.Dataset.from_tensor_slices(order(split, spec)).batch(batch_size)
        examples = rows.map(_gather(split, spec, parts, batch_size))
    else:
        examples = split.read(None).batch(batch_size)
        if parts:
            examples = examples.map(_cutter(spec, parts, batch_size))
    return _finished(examples.map(finish), split, batch_size, parts)


def plain_batches(split: Split, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches (x, y) in the order of the split, texts as strings if they are not token ids."""
    if isinstance(split, Arrays):
        for start in range(0, len(split), batch_size):
            rows = slice(start, start + batch_size)
            yield split.x[rows], split.y[rows]
    else:
        examples = split.read(None).batch(batch_size)
        yield from without_autotuning(examples).as_numpy_iterator()


def order(split: Split, spec: Spec) -> np.ndarray:
    """The rows of the split in the order of `batches`: texts in memory go by their length."""
    if spec.is_text and isinstance(split, Arrays):
        return np.argsort(np.count_nonzero(split.x, axis=1), kind="stable")
    return np.arange(len(split))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset with tf.data's autotuning and rewrites off, and in a fixed order."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options)


def _shuffler(
    split: Split, spec: Spec, batch_size: int, parts: Parts | None
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """From a seed to the split's batches (x, y), or (x, y, part), in the order of that seed."""
    if not isinstance(split, Arrays):

        def streamed(seed):
            @tf.autograph.experimental.do_not_convert
            def sort(x, y):
                rows = _by_length(tf.range(tf.shape(y)[0]), _lengths(x), batch_size, seed)
                return tf.gather(x, rows), tf.gather(y, rows)

            examples = split.read(seed)
            if spec.is_text:
                examples = examples.batch(_SORTED * batch_size).map(sort).unbatch()
            batches = examples.batch(batch_size)
            return batches.map(_cutter(spec, parts, batch_size)) if parts else batches

        return streamed
    # made here: a constant made while the epoch is traced would be copied into its graph
    gather = _gather(split, spec, parts, batch_size)
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if spec.is_text else None

    def shuffled(seed):
        rows = tf.random.experimental.stateless_shuffle(tf.range(len(split), dtype=tf.int64), seed)
        if lengths is not None:
            rows = _by_length(rows, tf.gather(lengths, rows), batch_size, seed)
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size).map(gather)

    return shuffled


def _by_length(rows: tf.Tensor, lengths: tf.Tensor, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Shuffled rows of texts, so that each batch has texts of like length.

    They are sorted within blocks of 50 batches; then whole batches are shuffled.
    """
    block = tf.range(tf.size(rows, tf.int64)) // (_SORTED * batch_size)
    rows = tf.gather(rows, tf.argsort(block * 2**32 + lengths, stable=True))
    whole = tf.size(rows) // batch_size
    batches = tf.reshape(rows[: whole * batch_size], [whole, batch_size])
    batches = tf.random.experimental.stateless_shuffle(batches, tf.random.fold_in(seed, 1))
    return tf.concat([tf.reshape(batches, [-1]), rows[whole * batch_size :]], axis=0)


def _lengths(tokens: tf.Tensor) -> tf.Tensor:
    return tf.math.count_nonzero(tokens, axis=-1)


def _gather(split: Arrays, spec: Spec, parts: Parts | None, batch_size: int) -> Callable:
    """From row numbers to (x, y), or to (x, y, part) of the rows that are made here alone."""
    x, y = tf.constant(split.x), tf.constant(split.y)
    if parts is None:
        return tf.autograph.experimental.do_not_convert(
            lambda rows: (tf.gather(x, rows), tf.gather(y, rows))
        )
    lengths = tf.constant(np.count_nonzero(split.x, axis=1), tf.int64) if spec.is_text else None

    @tf.autograph.experimental.do_not_convert
    def gather(rows):
        part = cut(parts, tf.size(rows), batch_size)
        here = tf.gather(rows, part.places)
        found = tf.gather(x, here)
        if spec.is_text and not parts.static:
            found = _narrowed(spec, found, tf.gather(lengths, rows))
        return found, tf.gather(y, here), part

    return gather


def _cutter(spec: Spec, parts: Parts, batch_size: int) -> Callable:
    """From a whole batch (x, y) to (x, y, part) of what is made here."""

    @tf.autograph.experimental.do_not_convert
    def cut_batch(x, y):
        if spec.is_text and not parts.static:
            x = _narrowed(spec, x, _lengths(x))
        part = cut(parts, tf.shape(y)[0], batch_size)
        return tf.gather(x, part.places), tf.gather(y, part.places), part

    return cut_batch


def _narrowed(spec: Spec, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Texts cut to the width of a batch: the longest of its lengths, in steps."""
    step = -(-spec.shape[0] // _WIDTHS)
    longest = tf.reduce_max(lengths)
    return x[:, : tf.minimum(-(-longest // step) * step, spec.shape[0])]


def _named(
    spec: Spec, x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor | None, part: Part | None = None
):
    if part is not None:
        weight = part.weight if weight is None else weight * part.weight
    elif spec.is_text:
        x = _narrowed(spec, x, _lengths(x))
    inputs, targets = {spec.input_name: x}, {"logits": y}
    return (inputs, targets) if weight is None else (inputs, targets, {"logits": weight})


def _finished(
    dataset: tf.data.Dataset, split: Split, batch_size: int, parts: Parts | None
) -> tf.data.Dataset:
    steps = -(-len(split) // batch_size)
    if parts:
        dataset = separate(dataset, parts, batch_size)
        steps *= parts.count if parts.apart else 1
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return without_autotuning(dataset.prefetch(_AHEAD))
