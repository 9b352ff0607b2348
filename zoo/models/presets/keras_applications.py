"""Reads the image models of `keras.applications`, with weights by download or from a file."""

import functools
from pathlib import Path

from etils import epy

from zoo.errors import UserError, one_line
from zoo.models.presets.image_settings import ImageSettings
from zoo.schema import suggest_closest

with epy.lazy_imports():
    import keras
    import numpy as np
    from keras import layers

_DEFAULT_SIZE = 224  # of models that take any size


@functools.cache
def read_settings(name: str) -> ImageSettings:
    """Returns the size of the images that a model was trained on, and the scaling of its pixels.

    Args:
        name: Name of a model in `keras.applications`, such as "MobileNetV2".

    Raises:
        UserError: if there is no such model.
    """
    module = _find_module(name)
    rows, columns = getattr(keras.applications, name)(weights=None).input_shape[1:3]
    # what the module's function does to black, red, green and blue
    pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32")
    black, *colours = module.preprocess_input(pixels.reshape(1, 4, 1, 3)).reshape(4, 3)
    matrix = (np.stack(colours) - black) / 255
    is_reversed = abs(matrix[0, 2]) > abs(matrix[0, 0])
    scale = np.diag(matrix[::-1] if is_reversed else matrix)
    return ImageSettings(
        (rows or _DEFAULT_SIZE, columns or _DEFAULT_SIZE),
        tuple(scale.tolist()),
        tuple(black.tolist()),
        is_reversed=bool(is_reversed),
    )


def load_application(
    name: str, size: tuple[int, int], weights_file: str, pretrained: bool
) -> "tuple[keras.Model, tuple[np.ndarray, np.ndarray] | None]":
    """Builds a model for scaled pixels, cut before its last layer.

    Args:
        name: As in `read_settings`.
        size: (rows, columns) of the images.
        weights_file: File of weights with or without the last layer; empty for a download.
        pretrained: Whether weights are loaded.

    Returns:
        The model from pixels to features, (batch, width), and kernel and bias of the last layer, or
        None without it.

    Raises:
        UserError: if the weights cannot be downloaded or read, or are of another model.
    """
    shape = (*size, 3)
    if not pretrained:
        return _cut_head(_build(name, shape))[0], None
    if weights_file:
        return _load_file(name, shape, weights_file)
    # at other sizes Keras only has the weights without the last layer
    is_own_size = size == read_settings(name).size
    options = {} if is_own_size else {"include_top": False, "pooling": "avg"}
    try:
        model = _build(name, shape, weights="imagenet", **options)
    except UserError:
        raise
    except Exception as error:  # Keras raises one without a type of its own
        raise UserError(
            f"its weights cannot be downloaded ({one_line(error, 150)}): download them elsewhere, "
            "and pass --preset_weights=FILE"
        ) from error
    return _cut_head(model) if is_own_size else (model, None)


def _find_module(name: str):
    """Returns the module of `keras.applications` with a model and its `preprocess_input`."""
    known = sorted(x for x in vars(keras.applications) if x[0].isupper())
    if name not in known:
        raise UserError(
            f"keras.applications has no model {name!r}.{suggest_closest(name, known)} It has: "
            f"{', '.join(known)}"
        )
    module = getattr(keras.applications, name).__module__
    return getattr(keras.applications, module.rpartition(".")[2])


def _build(name: str, shape: tuple[int, int, int], weights: str | None = None, **options):
    """Returns a model of `keras.applications` for images of a shape."""
    try:
        builder = getattr(keras.applications, name)
        return builder(weights=weights, input_shape=shape, **options)
    except ValueError as error:
        raise UserError(
            f"keras.applications cannot build it for images of {shape[0]}x{shape[1]} "
            f"({one_line(error, 150)}): use a larger --hparam=resolution"
        ) from error


def _load_file(
    name: str, shape: tuple[int, int, int], weights_file: str
) -> "tuple[keras.Model, tuple[np.ndarray, np.ndarray] | None]":
    """Loads the weights of a file, which may lack the last layer."""
    path = Path(weights_file).expanduser()
    if not path.is_file():
        raise UserError(f"preset_weights={weights_file}: there is no such file")
    if path.suffix != ".h5":
        raise UserError(
            f"preset_weights={weights_file}: expected an .h5 file of the weights of {name}, as "
            "Keras saves them"
        )
    whole = _build(name, shape)
    try:
        whole.load_weights(path)
    except Exception as error:
        without = _build(name, shape, include_top=False, pooling="avg")
        try:
            without.load_weights(path)
        except Exception:
            raise UserError(
                f"preset_weights={weights_file}: these are not the weights of {name} for images of "
                f"{shape[0]}x{shape[1]} ({one_line(error, 150)})"
            ) from error
        return without, None
    return _cut_head(whole)


def _cut_head(model: "keras.Model") -> "tuple[keras.Model, tuple[np.ndarray, np.ndarray]]":
    """Returns the model without its last layer, dense or a 1x1 convolution, and its weights."""
    last = [layer for layer in model.layers if layer.weights][-1]
    kernel, bias = last.get_weights()
    features = last.input
    if len(features.shape) > 2:
        features = layers.Flatten(name="flatten_features")(features)
    return keras.Model(model.input, features), (kernel.reshape(-1, kernel.shape[-1]), bias)
