"""Encoded images to uint8 pixels of one size, the same in training and in serving."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.errors import UserError

LARGEST_DEFAULT = 224
MOST_PIXELS = 89_478_485  # of one image, as Pillow has it: as float32 they take a gigabyte

# the first byte of PNG, BMP and GIF, and what each byte of the header counts in rows and columns
_FIRST = np.frombuffer(b"\x89BG", "uint8").astype("int64")
_WEIGHTS = np.zeros((3, 2, 26), "int64")
_WEIGHTS[0, [[0], [1]], [range(16, 20), range(20, 24)]] = 256 ** np.arange(3, -1, -1)
_WEIGHTS[1, [[0], [1]], [range(18, 22), range(22, 26)]] = 256 ** np.arange(4)
_WEIGHTS[2, [[0], [1]], [range(6, 8), range(8, 10)]] = 256 ** np.arange(2)
_TOO_MANY = f"an image has more than {MOST_PIXELS:,} pixels"


def decode_image(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes one PNG, JPEG, BMP or GIF (its first frame) and resizes it.

    Args:
        encoded: The file's bytes, a scalar string.
        shape: (rows, columns, channels) of the result; 1 channel is grey, 3 are RGB.

    Returns:
        uint8 pixels of that shape.

    Raises:
        InvalidArgumentError: if it cannot be decoded, or its header tells of more than MOST_PIXELS.
    """
    fits = tf.debugging.Assert(_count_pixels(encoded) <= MOST_PIXELS, [_TOO_MANY])
    with tf.control_dependencies([fits]):  # in a graph the decoder would not wait for it
        pixels = tf.io.decode_image(encoded, channels=shape[-1], expand_animations=False)
    pixels.set_shape([None, None, shape[-1]])
    return resize(pixels, shape)


def _count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Rows times columns, int64, as the file's header tells them; nothing is decoded."""

    def of_jpeg():
        # where they are in its header depends on what else is there
        return tf.reduce_prod(tf.image.extract_jpeg_shape(encoded, tf.int64)[:2])

    def of_others():
        # a file that is too short is filled up, for the decoder to refuse
        header = tf.strings.join([tf.strings.substr(encoded, 0, 26), "\0" * 26])
        numbers = tf.cast(tf.io.decode_raw(header, tf.uint8)[:26], tf.int64)
        of_format = tf.cast(numbers[0] == _FIRST, tf.int64)
        sizes = tf.einsum("f,fsb,b->s", of_format, _WEIGHTS, numbers)
        # the rows of a BMP that run down are counted below zero
        return tf.reduce_prod(tf.minimum(sizes, 2**32 - sizes))

    return tf.cond(tf.strings.substr(encoded, 0, 1) == b"\xff", of_jpeg, of_others)


def resize(pixels: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Resizes uint8 pixels of shape (rows, columns, channels), bilinear with antialiasing."""
    if pixels.shape[:2] == shape[:2]:
        return tf.ensure_shape(pixels, shape)
    resized = tf.image.resize(tf.cast(pixels, tf.float32), shape[:2], antialias=True)
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
    return tf.ensure_shape(resized, shape)


def common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (rows, columns) for images of these sizes: their median, at most 224."""
    rows, columns = np.median(np.array(sizes), axis=0)
    return min(round(rows), LARGEST_DEFAULT), min(round(columns), LARGEST_DEFAULT)


def too_large(path: str) -> UserError:
    """The error to raise for an image of more than MOST_PIXELS."""
    return UserError(f"{path}: {_TOO_MANY}: make it smaller, or take it out of the folder")


def unreadable(
    paths: Sequence[str], shape: tuple[int, int, int], error: tf.errors.InvalidArgumentError
) -> UserError:
    """The error to raise when decoding failed: it names the first file that cannot be decoded."""
    for path in paths:
        try:
            decode_image(tf.io.read_file(path), shape)
        except (tf.errors.OpError, ValueError) as reason:
            if _TOO_MANY in str(reason):
                return too_large(path)
            return UserError(
                f"{path}: this is no readable PNG, JPEG, BMP or GIF image: replace it or take it "
                "out of the folder"
            )
    return UserError(f"an example cannot be decoded: {' '.join(error.message.split())[:200]}")
