"""Copies the weights of a trained model, layer by layer, to a model that is trained further."""

import dataclasses
from collections.abc import Sequence

import keras

from zoo.data.spec import Spec
from zoo.errors import UserError, shorten_names
from zoo.layers.outputs import HEAD
from zoo.layers.weights import set_layer_weights, weighted_layers
from zoo.training.source import Source


@dataclasses.dataclass(frozen=True)
class LayerTransfer:
    """Whether the weights of a layer were copied.

    Attributes:
        name: Name of the layer.
        parameters: Number of its parameters.
        reason: Why weights are newly initialised; empty if all were copied.
        note: How they were copied, where it is not as usual.
    """

    name: str
    parameters: int
    reason: str
    note: str = ""


def load_matching_weights(
    model: keras.Model, source: Source, spec: Spec | None = None
) -> list[LayerTransfer]:
    """Copies the weights of every layer that has the same name and shapes in the source.

    Args:
        model: A model of the zoo; changed in place.
        source: The trained model.
        spec: Spec of the data that the model will be trained on. With it, the weights of the head
            are copied by the names of the classes, and the mean and the spread of a target are not
            copied.

    Returns:
        What was copied, for each layer with weights in the order of the model.

    Raises:
        UserError: if no layer fits.
    """
    source_layers = {layer.name: layer for layer in weighted_layers(source.model)}
    transfers = []
    for layer in weighted_layers(model):
        source_layer = source_layers.get(layer.name)
        if spec is None:
            reason, note = _copy_layer(layer, source_layer), ""
        else:
            reason, note = _copy_layer_for_data(layer, source_layer, source, spec)
        transfers.append(LayerTransfer(layer.name, layer.count_params(), reason, note))
    if all(transfer.reason or not transfer.parameters for transfer in transfers):
        raise UserError(
            f"weights={source.path}: no weights fit {model.name}: they are of the layers "
            f"{shorten_names(source_layers) or 'none'}, but {model.name} has "
            f"{shorten_names(x.name for x in transfers)}: choose a run of the same model"
        )
    return transfers


def format_transfers(transfers: list[LayerTransfer]) -> list[str]:
    """Formats what was copied as a table, one layer per line."""
    width = max(len(transfer.name) for transfer in transfers)
    return [
        f"  {transfer.name.ljust(width)}  {transfer.parameters:>12,}  "
        + (f"new: {transfer.reason}" if transfer.reason else "copied")
        + (f" ({transfer.note})" if transfer.note else "")
        for transfer in transfers
    ]


def _copy_layer_for_data(
    layer: keras.layers.Layer, source_layer: keras.layers.Layer | None, source: Source, spec: Spec
) -> tuple[str, str]:
    """Copies the weights of a layer as far as they suit the data; returns reason and note."""
    if layer.name == "denormalization":
        return "the mean and the spread of the new targets", ""
    if layer.name not in (HEAD, "normalization"):
        return _copy_layer(layer, source_layer), ""
    if "spec" not in source.record:
        reason, kind = _copy_layer(layer, source_layer), "class" if layer.name == HEAD else "column"
        is_named = spec.class_names if layer.name == HEAD else spec.feature_names
        return reason, f"by position: the source has no {kind} names" if is_named else ""
    names, source_names = spec.class_names, source.spec.class_names
    if layer.name != HEAD or source_layer is None or names is None or source_names is None:
        return _copy_layer(layer, source_layer), ""
    return _copy_classes(layer, source_layer, names, source_names), ""


def _copy_layer(layer: keras.layers.Layer, source_layer: keras.layers.Layer | None) -> str:
    """Copies all weights of a layer; returns why they cannot be copied, or ""."""
    reason = _find_mismatch(layer, source_layer)
    if not reason and source_layer is not None:
        set_layer_weights(layer, source_layer.get_weights())
    return reason


def _copy_classes(
    layer: keras.layers.Layer,
    source_layer: keras.layers.Layer,
    names: Sequence[str],
    source_names: Sequence[str],
) -> str:
    """Copies the weights of the classes in both models; returns why others are new, or ""."""
    arrays, source_arrays = layer.get_weights(), source_layer.get_weights()
    shapes, source_shapes = ([x.shape[:-1] for x in each] for each in (arrays, source_arrays))
    if shapes != source_shapes:
        return _find_mismatch(layer, source_layer)
    common = [name for name in names if name in source_names]
    if not common:
        return f"for {shorten_names(names)}, {shorten_names(source_names)} in the source"
    columns = [names.index(name) for name in common]
    source_columns = [source_names.index(name) for name in common]
    for array, source_array in zip(arrays, source_arrays, strict=True):
        array[..., columns] = source_array[..., source_columns]
    set_layer_weights(layer, arrays)
    new = [name for name in names if name not in source_names]
    return f"for {shorten_names(new)}; copied for {shorten_names(common)}" if new else ""


def _find_mismatch(layer: keras.layers.Layer, source_layer: keras.layers.Layer | None) -> str:
    """Returns why the weights cannot be copied, or an empty string if they can."""
    if source_layer is None:
        return "no layer of this name in the source"
    shapes = [tuple(weight.shape) for weight in layer.weights]
    source_shapes = [tuple(weight.shape) for weight in source_layer.weights]
    if len(shapes) != len(source_shapes):
        return f"{len(shapes)} arrays, {len(source_shapes)} in the source"
    for shape, source_shape in zip(shapes, source_shapes, strict=True):
        if shape != source_shape:
            sizes = ["x".join(map(str, each)) for each in (shape, source_shape)]
            return f"{sizes[0]}, {sizes[1]} in the source"
    return ""
