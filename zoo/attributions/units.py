"""Sums what the embeddings of a model contribute for each unit: a pixel, a token or a column."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from zoo.attributions.embeddings import read_outputs
from zoo.data.spec import Spec
from zoo.errors import UserError

# from the contributions at the input, if it has a gradient, and at each embedding, and the number
# of tokens, to the contributions of the units, float32 (batch, *units)
UnitSum = Callable[[list[tf.Tensor], tf.Tensor], tf.Tensor]


def make_unit_sum(model: keras.Model, spec: Spec, embeddings: Sequence[keras.Operation]) -> UnitSum:
    """Returns the function that sums contributions for each unit.

    The units of images have the shape (rows, columns), those of texts (tokens,), and those of
    tables (columns,).

    Args:
        model: The model.
        spec: Spec of its data.
        embeddings: Its embeddings.

    Raises:
        UserError: if the embeddings do not tell the units apart.
    """
    if spec.kind == "features":
        matches = _match_columns(model, spec, embeddings)
        return lambda contributions, _: _sum_columns(contributions, matches)
    _check_ranks(model, spec, embeddings)
    return _sum_tokens if spec.is_text else lambda contributions, _: _sum_pixels(contributions)


def _check_ranks(model: keras.Model, spec: Spec, embeddings: Sequence[keras.Operation]) -> None:
    """Checks that there are embeddings, and that they have one vector for each pixel or token."""
    shape = (4,) if spec.is_text else spec.shape
    example = {spec.input_name: tf.ones((1, *shape), spec.dtype)}
    outputs = read_outputs(model, embeddings, example)
    if not outputs or any(x.shape.rank != 1 + len(shape) + spec.is_text for x in outputs):
        raise _no_units_error(model, spec)


def _match_columns(
    model: keras.Model, spec: Spec, embeddings: Sequence[keras.Operation]
) -> list[np.ndarray]:
    """Returns which positions of the input and of each embedding belong to which column.

    The embeddings are asked: a row of zeros is compared with rows in which one feature is 1.

    Returns:
        For the input and for each embedding an array of zeros and ones, (positions, columns).
    """
    width = spec.shape[0]
    owners = [i for i, column in enumerate(spec.columns) for _ in column.cardinalities]
    for i, column in enumerate(spec.columns):  # the tokens of texts follow
        owners += [i] * (column.tokenizer.length if column.tokenizer else 0)
    columns = np.eye(len(spec.columns) or width, dtype="float32")[owners or range(width)]
    probe = tf.constant(np.eye(1 + width, width, -1, dtype="float32"))
    matches = [columns]
    for outputs in read_outputs(model, embeddings, {spec.input_name: probe}):
        positions = outputs.shape[1] if outputs.shape.rank == 3 else 1
        vectors = outputs.numpy().reshape(1 + width, positions, -1)
        differs = (vectors[1:] != vectors[0]).any(axis=-1)
        matches.append((differs.T @ columns > 0).astype("float32"))
        if matches[-1].sum(axis=1).max() > 1:
            raise _no_units_error(model, spec)
    return matches


def _sum_columns(contributions: list[tf.Tensor], matches: list[np.ndarray]) -> tf.Tensor:
    sums = []
    for x, positions in zip(contributions, matches, strict=True):
        vectors = tf.reshape(x, [tf.shape(x)[0], len(positions), -1])
        sums.append(tf.reduce_sum(vectors, axis=-1) @ positions)
    return tf.add_n(sums)


def _sum_pixels(contributions: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(x, axis=-1) for x in contributions])


def _sum_tokens(contributions: list[tf.Tensor], length: tf.Tensor) -> tf.Tensor:
    """Sums contributions for each token.

    Those of windows of several tokens are divided between the first and the last token.
    """
    sums = []
    for x in contributions:
        windows = tf.reduce_sum(x, axis=-1)
        rest = length - tf.shape(windows)[1]
        first = tf.pad(windows, [[0, 0], [0, rest]])
        last = tf.pad(windows, [[0, 0], [rest, 0]])
        sums.append((first + last) / 2)
    return tf.add_n(sums)


def _no_units_error(model: keras.Model, spec: Spec) -> UserError:
    unit = {"image": "pixel", "features": "column"}.get(spec.kind, "token")
    return UserError(
        f"{model.name} has no place where each {unit} is a number or vector of its own, as "
        "integrated gradients need: choose --method=occlusion, and no --explain_signature"
    )
