"""Named inputs for raw data: images, feature vectors and token ids."""

import math

import keras
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.text_columns import embed_text_columns

_LARGEST_ONE_HOT = 8  # codes of a category
_LARGEST_FLAT = 64  # rows and columns of an image whose pixels are features


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
    model: str,
    input_shape: tuple[int, ...],
    cardinalities: tuple[int, ...] = (),
    texts: tuple[tuple[int, ...], ...] = (),
    text_width: int = 32,
    *,
    embeds: bool = True,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Creates the input `features` or `image` of a model that reads flat vectors.

    Args:
        model: Name of the model in error messages.
        input_shape: (n,) for features, (rows, columns, channels) for images.
        cardinalities: Of the encoded columns of a table, the number of codes of each feature that
            is a category, and 0 for numbers. Empty for numbers that are not standardised.
        texts: (vocabulary size, number of tokens) of each column of texts, whose token ids are the
            last features.
        text_width: Width of the embeddings of the words in texts.
        embeds: Whether categories of more than 8 codes have an embedding, and not a one-hot code.

    Returns:
        The input, and a float tensor of shape (batch, width): normalised features, the encoded
        columns with the mean of the embeddings of each text, or the flattened pixels in the range 0
        to 1, averaged to at most 64x64 of them. The `Normalization` layer of the features has mean
        0 and variance 1 until it is adapted to the training split.

    Raises:
        UserError: if `input_shape` has neither one size nor three, or another than that of the
            cardinalities and the texts.
    """
    if cardinalities or texts or len(input_shape) == 1:
        features, x = feature_input(model, input_shape, cardinalities, texts)
        if not (cardinalities or texts):
            return features, x
        parts = _expand_categories(x, cardinalities, embeds)
        parts += embed_text_columns(x, texts, text_width)
        return features, ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    image, pixels = image_input(model, input_shape)
    return image, layers.Flatten(name="flatten")(average_places(pixels, _LARGEST_FLAT))


def average_places(x: keras.KerasTensor, largest: int) -> keras.KerasTensor:
    """Averages neighbouring places until there are at most `largest` rows and columns.

    As in torchvision's VGG, this bounds the weights of a dense layer behind it, for images of any
    size.

    Args:
        x: Pixels or feature maps of shape (batch, rows, columns, channels).
        largest: Largest number of rows and of columns.

    Returns:
        `x` itself if it is small enough, or else averages without padding.
    """
    pools = [math.ceil(side / largest) for side in x.shape[1:3]]
    return layers.AveragePooling2D(pools, name="average")(x) if max(pools) > 1 else x


def feature_input(
    model: str,
    input_shape: tuple[int, ...],
    cardinalities: tuple[int, ...] = (),
    texts: tuple[tuple[int, ...], ...] = (),
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Creates the input `features` of a model that reads each feature by itself.

    Args:
        model: Name of the model in error messages.
        input_shape: (n,).
        cardinalities: As in `vector_input`.
        texts: As in `vector_input`.

    Returns:
        The input, and a float tensor of the same shape (batch, n): the encoded columns of a table
        as they are, or other features normalised.

    Raises:
        UserError: if `input_shape` has not one size, or another than that of the cardinalities
            and the texts.
    """
    if len(input_shape) != 1:
        raise UserError(f"{model}: input_shape={input_shape}: expected (n,) for features")
    if any(len(sizes) != 2 for sizes in texts):
        raise UserError(
            f"{model}: texts={texts}: expected (vocabulary size, number of tokens) of each column"
        )
    tokens = sum(length for _, length in texts)
    if (cardinalities or texts) and input_shape != (len(cardinalities) + tokens,):
        raise UserError(
            f"{model}: {len(cardinalities)} cardinalities{f' and {tokens} tokens' * bool(texts)}, "
            f"but input_shape={input_shape}: expected one for each feature"
        )
    features = keras.Input(input_shape, dtype="float32", name="features")
    if cardinalities or texts:
        return features, features
    # under mixed precision too: float16 ends at 65,504, and bfloat16 has three digits
    return features, layers.Normalization(name="normalization", dtype="float32")(features)


def _split_features(
    features: keras.KerasTensor, cardinalities: tuple[int, ...]
) -> tuple[keras.KerasTensor | None, list[keras.KerasTensor]]:
    """Splits the encoded columns of a table.

    Args:
        features: Tensor of shape (batch, n).
        cardinalities: As in `vector_input`.

    Returns:
        The numbers, of shape (batch, count), or None if there are none; and the codes of each
        category, int32 of shape (batch,).
    """
    indices = [i for i, size in enumerate(cardinalities) if not size]
    numbers = ops.take(features, indices, axis=1) if indices else None
    codes = [ops.cast(features[:, i], "int32") for i, size in enumerate(cardinalities) if size]
    return numbers, codes


def _expand_categories(
    features: keras.KerasTensor, cardinalities: tuple[int, ...], embeds: bool
) -> list[keras.KerasTensor]:
    """Returns the numbers, and a one-hot code or embedding of each category.

    Code 0, which no value of the training split has, becomes zeros.
    """
    numbers, codes = _split_features(features, cardinalities)
    parts = [] if numbers is None else [numbers]
    sizes = [size for size in cardinalities if size]
    for number, (code, size) in enumerate(zip(codes, sizes, strict=True), 1):
        if embeds and size > _LARGEST_ONE_HOT:
            embedding = layers.Embedding(
                size, choose_embedding_width(size), name=f"embedding_{number}"
            )
            is_known = ops.cast(ops.expand_dims(code, 1) > 0, embedding.compute_dtype)
            parts.append(embedding(code) * is_known)
        else:
            parts.append(ops.one_hot(code, size)[:, 1:])
    return parts


def choose_embedding_width(cardinality: int) -> int:
    """Returns the width of a category's embedding, by the rule of thumb of fastai's tabular models.

    Source: Howard and Gugger 2020, 'fastai: A Layered API for Deep Learning', Information 11(2).
    """
    return min(50, round(1.6 * cardinality**0.56))


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
    return tokens, mask_padding(tokens)


def mask_padding(tokens: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the padding mask of token ids, as `text_input` does."""
    first = ops.ones_like(tokens[:, :1], dtype="bool")
    return ops.concatenate([first, ops.not_equal(tokens[:, 1:], 0)], axis=1)
