"""The two ends of every model: raw named input, and `{"logits": ...}` out."""

import keras
from keras import layers

from zoo.errors import UserError


def image_input(
    model: str,
    input_shape: tuple[int, ...],
    *,
    smallest: int = 1,
    scale: float = 1 / 255,
    offset: float = 0.0,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Input `image` of uint8 pixels, and the same as float `pixel * scale + offset`.

    Args:
        model: Name of the model, for the error message.
        input_shape: (rows, columns, channels).
        smallest: Fewest rows and columns that the model can take.
        scale: Factor for a pixel; the default gives 0 to 1.
        offset: What is added to the scaled pixel.

    Returns:
        The input of shape (batch, rows, columns, channels), and the rescaled tensor.

    Raises:
        UserError: if the shape has no three sizes, or the image is too small.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"{model}: input_shape={input_shape}: expected (rows, columns, channels) of an image"
        )
    rows, columns, _ = input_shape
    if min(rows, columns) < smallest:
        raise UserError(
            f"{model}: an image of {rows}x{columns} is too small: the smallest is "
            f"{smallest}x{smallest}. Resize with --image_size={smallest}"
        )
    image = keras.Input(input_shape, dtype="uint8", name="image")
    return image, layers.Rescaling(scale, offset, name="rescaling")(image)


def vector_input(
    model: str, input_shape: tuple[int, ...]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Input of an image, flattened, or of plain features, normalised, by the length of the shape.

    The input of plain features is `features`, float32 of shape (batch, n). Its `Normalization`
    layer has mean 0 and variance 1 until it is adapted to the training split.

    Raises:
        UserError: if the shape has neither one size nor three.
    """
    if len(input_shape) == 1:
        features = keras.Input(input_shape, dtype="float32", name="features")
        return features, layers.Normalization(name="normalization")(features)
    image, pixels = image_input(model, input_shape)
    return image, layers.Flatten(name="flatten")(pixels)


def with_logits(
    name: str, inputs: keras.KerasTensor, x: keras.KerasTensor, num_classes: int | None
) -> keras.Model:
    """The model from `inputs` to a dense head on `x`, float32 whatever the layers' precision.

    With `num_classes=None` the head gives one number, in the units of the target once its
    inverted `Normalization` layer has been adapted to the targets of the training split.
    """
    logits = layers.Dense(num_classes or 1, name="head", dtype="float32")(x)
    if num_classes is None:
        logits = layers.Normalization(invert=True, name="denormalization", dtype="float32")(logits)
    return keras.Model({inputs.name: inputs}, {"logits": logits}, name=name)
