"""Encoded images to uint8 pixels of one size, the same in training and in serving."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.errors import UserError

LARGEST_DEFAULT = 224


def decode_image(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes one PNG, JPEG, BMP or GIF (its first frame) and resizes it.

    Args:
        encoded: The file's bytes, a scalar string.
        shape: (rows, columns, channels) of the result; 1 channel is grey, 3 are RGB.

    Returns:
        uint8 pixels of that shape.
    """
    pixels = tf.io.decode_image(encoded, channels=shape[-1], expand_animations=False)
    pixels.set_shape([None, None, shape[-1]])
    return resize(pixels, shape)


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


def unreadable(
    paths: Sequence[str], shape: tuple[int, int, int], error: tf.errors.InvalidArgumentError
) -> UserError:
    """The error to raise when decoding failed: it names the first file that cannot be decoded."""
    for path in paths:
        try:
            decode_image(tf.io.read_file(path), shape)
        except (tf.errors.OpError, ValueError):
            return UserError(
                f"{path}: this is no readable PNG, JPEG, BMP or GIF image: replace it or take it "
                "out of the folder"
            )
    return UserError(f"an example cannot be decoded: {' '.join(error.message.split())[:200]}")
