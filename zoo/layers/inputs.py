"""Named inputs for raw data: images, feature vectors and token ids."""

import keras
from keras import layers, ops

from zoo.errors import UserError


def image_input(
    model: str,
    input_shape: tuple[int, ...],
    *,
    smallest: int = 1,
    scale: float = 1 / 255,
    offset: float = 0.0,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Creates the input `image` and rescales its pixels to `pixel * scale + offset`.

    Args:
        model: Name of the model in error messages.
        input_shape: (rows, columns, channels).
        smallest: Minimum number of rows and columns.
        scale: Factor of the pixels; the default maps them to the range 0 to 1.
        offset: Added to the scaled pixels.

    Returns:
        The uint8 input of shape (batch, rows, columns, channels), and the rescaled float tensor of
        the same shape.

    Raises:
        UserError: if `input_shape` does not have three sizes, or the image is too small.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"{model}: input_shape={input_shape}: expected (rows, columns, channels) for images"
        )
    rows, columns, _ = input_shape
    if min(rows, columns) < smallest:
        raise UserError(
            f"{model}: an image of {rows}x{columns} is too small: the smallest is "
            f"{smallest}x{smallest}. Resize the images with --image_size={smallest}"
        )
    image = keras.Input(input_shape, dtype="uint8", name="image")
    return image, layers.Rescaling(scale, offset, name="rescaling")(image)


def vector_input(
    model: str, input_shape: tuple[int, ...]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Creates the input `features` or `image` of a model that reads flat vectors.

    Args:
        model: Name of the model in error messages.
        input_shape: (n,) for features, (rows, columns, channels) for images.

    Returns:
        The input, and a float tensor of shape (batch, n): normalised features, or the flattened
        pixels in the range 0 to 1. The `Normalization` layer of the features has mean 0 and
        variance 1 until it is adapted to the training split.

    Raises:
        UserError: if `input_shape` has neither one size nor three.
    """
    if len(input_shape) == 1:
        features = keras.Input(input_shape, dtype="float32", name="features")
        return features, layers.Normalization(name="normalization")(features)
    image, pixels = image_input(model, input_shape)
    return image, layers.Flatten(name="flatten")(pixels)


def text_input(
    model: str, input_shape: tuple[int, ...]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Creates the input `tokens` and its padding mask.

    Args:
        model: Name of the model in error messages.
        input_shape: (maximum number of tokens,). The input itself accepts any length.

    Returns:
        The int32 input of shape (batch, length), and a bool mask of the same shape, True for
        tokens and False for padding (id 0). The first token is never masked, so that the mean over
        the tokens of an empty text is defined.

    Raises:
        UserError: if `input_shape` does not have one size.
    """
    if len(input_shape) != 1:
        raise UserError(
            f"{model}: input_shape={input_shape}: expected (maximum number of tokens,) for texts"
        )
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    first = ops.ones_like(tokens[:, :1], dtype="bool")
    return tokens, ops.concatenate([first, ops.not_equal(tokens[:, 1:], 0)], axis=1)
