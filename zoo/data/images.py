"""Decodes and resizes images to uint8 pixels of one size, in training and in serving alike."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.errors import UserError, one_line

MAX_DEFAULT_SIZE = 224
MAX_PIXELS = 89_478_485  # per image, the limit of Pillow: one GiB as float32 RGB

# First byte of PNG, BMP and GIF files, and the weight of each header byte in (rows, columns).
_FIRST_BYTES = np.frombuffer(b"\x89BG", "uint8").astype("int64")
_SIZE_WEIGHTS = np.zeros((3, 2, 26), "int64")
_SIZE_WEIGHTS[0, [[0], [1]], [range(16, 20), range(20, 24)]] = 256 ** np.arange(3, -1, -1)
_SIZE_WEIGHTS[1, [[0], [1]], [range(18, 22), range(22, 26)]] = 256 ** np.arange(4)
_SIZE_WEIGHTS[2, [[0], [1]], [range(6, 8), range(8, 10)]] = 256 ** np.arange(2)
_TOO_MANY_PIXELS = f"an image has more than {MAX_PIXELS:,} pixels"


def decode_image(encoded: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Decodes one PNG, JPEG, BMP or GIF (its first frame) and resizes it.

    Args:
        encoded: Content of the file, a scalar string tensor.
        shape: (rows, columns, channels) of the result; 1 channel for greyscale, 3 for RGB.

    Returns:
        uint8 tensor of shape `shape`.

    Raises:
        tf.errors.InvalidArgumentError: if the image cannot be decoded, or its header states more
            than `MAX_PIXELS` pixels.
    """
    fits = tf.debugging.Assert(_count_pixels(encoded) <= MAX_PIXELS, [_TOO_MANY_PIXELS])
    with tf.control_dependencies([fits]):  # a graph may otherwise run the decoder first
        pixels = tf.io.decode_image(encoded, channels=shape[-1], expand_animations=False)
    pixels.set_shape([None, None, shape[-1]])
    return resize_image(pixels, shape)


def _count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Returns rows times columns (int64) from the header, without decoding the pixels."""

    def count_jpeg():
        # The position of the size in a JPEG header varies, so TensorFlow's parser reads it.
        return tf.reduce_prod(tf.image.extract_jpeg_shape(encoded, tf.int64)[:2])

    def count_others():
        # Files that are too short are zero-padded here; the decoder rejects them later.
        header = tf.strings.join([tf.strings.substr(encoded, 0, 26), "\0" * 26])
        numbers = tf.cast(tf.io.decode_raw(header, tf.uint8)[:26], tf.int64)
        one_hot_format = tf.cast(numbers[0] == _FIRST_BYTES, tf.int64)
        sizes = tf.einsum("f,fsb,b->s", one_hot_format, _SIZE_WEIGHTS, numbers)
        # BMP files that store the top row first have a negative number of rows.
        return tf.reduce_prod(tf.minimum(sizes, 2**32 - sizes))

    return tf.cond(tf.strings.substr(encoded, 0, 1) == b"\xff", count_jpeg, count_others)


def resize_image(pixels: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Resizes uint8 pixels of shape (rows, columns, channels), bilinear with antialiasing."""
    if pixels.shape[:2] == shape[:2]:
        return tf.ensure_shape(pixels, shape)
    resized = tf.image.resize(tf.cast(pixels, tf.float32), shape[:2], antialias=True)
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
    return tf.ensure_shape(resized, shape)


def choose_image_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns the median (rows, columns) of image sizes, each at most `MAX_DEFAULT_SIZE`."""
    rows, columns = np.median(np.array(sizes), axis=0)
    return min(round(rows), MAX_DEFAULT_SIZE), min(round(columns), MAX_DEFAULT_SIZE)


def too_large_error(path: str) -> UserError:
    """Returns the error for an image of more than `MAX_PIXELS` pixels."""
    return UserError(f"{path}: {_TOO_MANY_PIXELS}: make it smaller or remove it from the folder")


def unreadable_file_error(
    paths: Sequence[str], shape: tuple[int, ...], error: tf.errors.InvalidArgumentError
) -> UserError:
    """Returns the error for failed decoding, which names the first file that cannot be decoded."""
    for path in paths:
        try:
            decode_image(tf.io.read_file(path), shape)
        except (tf.errors.OpError, ValueError) as reason:
            if _TOO_MANY_PIXELS in str(reason):
                return too_large_error(path)
            return UserError(
                f"{path}: not a readable PNG, JPEG, BMP or GIF image: replace it or remove it from "
                "the folder"
            )
    return UserError(f"an example cannot be decoded: {one_line(error.message)}")
