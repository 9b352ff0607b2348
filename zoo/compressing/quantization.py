"""Keras' own quantisation of weights, to 8 or 4 bits."""

import keras

from zoo.errors import UserError
from zoo.layers.weights import weighted_layers

# the layers of Keras whose weights `quantize` stores in fewer bits. Layers inside others, such as
# those of attention, are not among them: the layer around them may read their kernels
_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)


def find_quantizable_layers(model: keras.Model, mode: str) -> list[keras.layers.Layer]:
    """Returns the layers of a model that Keras can quantise.

    Raises:
        UserError: if there are none.
    """
    chosen = [layer for layer in weighted_layers(model) if isinstance(layer, _LAYERS)]
    if not chosen:
        raise UserError(
            f"{mode}: {model.name} has no dense or embedding layer, the only ones that Keras "
            "quantises: use litert_float16 or onnx_int8 instead"
        )
    return chosen


def quantize_model(model: keras.Model, mode: str) -> float:
    """Quantises the dense and embedding layers of a model in place, with `keras.Model.quantize`.

    Weights become int8, or two int4 in a byte, with a float32 scale for each unit or group of
    rows. Convolutions and recurrent layers, for which Keras has no quantisation, stay as they are.

    Args:
        model: A trained model of the zoo.
        mode: "int8" or "int4".

    Returns:
        The share of the model's parameters that are quantised.

    Raises:
        UserError: if the model has no layer that can be quantised.
    """
    chosen = find_quantizable_layers(model, mode)
    total = model.count_params()
    quantized = sum(layer.count_params() for layer in chosen)
    names = {id(layer) for layer in chosen}
    model.quantize(mode, filters=lambda layer: id(layer) in names)
    return quantized / total
