"""Structured pruning: whole filters and units are removed, so that the model becomes a smaller one.

It follows Li et al. 2016, 'Pruning filters for efficient ConvNets' (arXiv 1608.08710): the filters
with the smallest sums of absolute weights are removed, with the weights of the next layer that read
them. What remains is the registered model with smaller hyperparameters, which is then trained on.
"""

import itertools
import typing
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.layers.outputs import HEAD
from zoo.layers.weights import set_layer_weights, weighted_layers
from zoo.registry import Entry
from zoo.schema import split_annotation
from zoo.training.building import build_model

_RESIZED = (keras.layers.Dense, keras.layers.Conv2D)
# layers between them that keep the channels apart
_PASSED = (
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
)


def shrink_model(
    model: keras.Model, entry: Entry, hparams: dict[str, Any], spec: Spec, share: float
) -> tuple[keras.Model, dict[str, Any]]:
    """Builds a smaller model of the same entry with the most important filters and units.

    Args:
        model: A trained model, in which one layer follows the other.
        entry: Its entry in the registry.
        hparams: Its hyperparameters.
        spec: Spec of the data.
        share: Share of the filters and units of each layer that are removed, but for the head.

    Returns:
        The smaller model with the remaining weights, and its hyperparameters.

    Raises:
        UserError: if the model has branches, or its sizes are not hyperparameters.
    """
    chain = _find_chain(model)
    smaller = {name: argument.default for name, argument in entry.hyperparameters.items()} | hparams
    target = None
    # sizes of other layers, such as the width of embeddings before the first dense layer, stay
    for name, sizes in _shrink_sizes(entry, smaller, share) if chain else ():
        changed = smaller | {name: sizes}
        candidate = build_model(entry, spec, changed)
        if _is_shrunk_chain(model, candidate, chain):
            target, smaller = candidate, changed
    if target is None:
        raise UserError(
            f"structured: this {entry.name} cannot lose whole filters or units: this needs layers "
            "that follow each other, with sizes above 1 that are hyperparameters, as those of cnn "
            "and mlp: use prune, int8 or distill instead"
        )
    _copy_weights(model, target, chain)
    return target, smaller


def _find_chain(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers from the first that can be resized to the head, if they form a chain.

    It is empty if one of them has branches, or mixes the channels of others.
    """
    layers = model.layers
    names = [layer.name for layer in layers]
    if HEAD not in names:
        return []
    chain = [layers[names.index(HEAD)]]
    for before in reversed(layers[: names.index(HEAD)]):
        follows = chain[0].input is before.output
        if not follows or not isinstance(before, (*_RESIZED, *_PASSED)):
            break
        chain.insert(0, before)
    while chain and not isinstance(chain[0], _RESIZED):
        chain.pop(0)
    return chain if len([x for x in chain if isinstance(x, _RESIZED)]) > 1 else []


def _shrink_sizes(
    entry: Entry, hparams: dict[str, Any], share: float
) -> Iterator[tuple[str, int | tuple[int, ...]]]:
    """Yields the names of the hyperparameters that are numbers, with smaller ones."""
    for name, argument in entry.hyperparameters.items():
        kind, _ = split_annotation(argument.annotation)
        value = hparams[name]
        if kind is int and isinstance(value, int):
            yield name, _shrink_size(value, share)
        elif typing.get_origin(kind) is tuple and all(isinstance(x, int) for x in value or ()):
            yield name, tuple(_shrink_size(size, share) for size in value or ())


def _shrink_size(size: int, share: float) -> int:
    return max(1, round(size * (1 - share)))


def _is_shrunk_chain(
    model: keras.Model, target: keras.Model, chain: list[keras.layers.Layer]
) -> bool:
    """Returns whether both have the same layers, and only those of the chain differ in size."""
    pairs = list(itertools.zip_longest(model.layers, target.layers))
    if any(a is None or b is None or (type(a), a.name) != (type(b), b.name) for a, b in pairs):
        return False
    inside, changed = {layer.name for layer in chain}, set()
    for old, new in pairs:
        sizes = [(a.shape, b.shape) for a, b in zip(old.weights, new.weights, strict=True)]
        if any(np.greater(b, a).any() for a, b in sizes):
            return False
        if any(a != b for a, b in sizes):
            changed.add(old.name)
    return bool(changed) and changed <= inside


def _copy_weights(model: keras.Model, target: keras.Model, chain: list[keras.layers.Layer]) -> None:
    """Sets the weights of the target to those of the model that remain."""
    inside = {layer.name for layer in chain}
    for layer in weighted_layers(model):
        if layer.name not in inside:
            set_layer_weights(target.get_layer(layer.name), layer.get_weights())
    kept, channels = np.array([], int), 0  # of the layer before, and how many there were
    for layer in chain:
        smaller = target.get_layer(layer.name)
        if isinstance(layer, _RESIZED):
            kernel, *bias = layer.get_weights()
            if channels:
                kernel = kernel[..., _find_inputs(kept, channels, kernel.shape[-2]), :]
            channels = kernel.shape[-1]
            kept = _choose_channels(kernel, smaller.kernel.shape[-1])
            smaller.set_weights([kernel[..., kept], *(array[kept] for array in bias)])
        elif layer.weights:  # a batch normalisation
            smaller.set_weights([array[kept] for array in layer.get_weights()])


def _choose_channels(kernel: np.ndarray, count: int) -> np.ndarray:
    """Returns the output channels with the largest sums of absolute weights, in their order."""
    importance = np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0)
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def _find_inputs(kept: np.ndarray, channels: int, inputs: int) -> np.ndarray:
    """Returns the rows of a kernel that read the channels kept by the layer before.

    After a `Flatten` layer each pixel has a row for each channel, one pixel after the other.
    """
    return (np.arange(0, inputs, channels)[:, None] + kept).ravel()
