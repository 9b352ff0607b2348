"""Random changes to batches of training images; each is a function of its seed alone."""

import math

import tensorflow as tf

from zoo.data.parts import Part


def augment(images, labels, changes: dict[str, float], seed, part: Part | None = None):
    """Changes one batch.

    Args:
        images: uint8 of shape (batch, rows, columns, channels).
        labels: One-hot float32 of shape (batch, classes) if "mixup" is among the changes;
            otherwise anything, and returned as it is.
        changes: What `recipe.augmentation` gives.
        seed: Integers of shape (2,).
        part: Where the images are in their batch, if they are not all of it: they are changed as
            they would be among the others. A part alone cannot be blended by "mixup".

    Returns:
        (images, labels) of the same shapes and types.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    if changes.keys() & {"shift", "rotation", "zoom", "flip", "crop"}:
        images = _move(images, changes, seeds[0], part)
    if "cutout" in changes:
        images = _cutout(images, changes["cutout"], seeds[1], part)
    if "mixup" in changes:
        images, labels = _mixup(images, labels, changes["mixup"], seeds[2])
    return images, labels


def _move(images, changes: dict[str, float], seed, part: Part | None):
    """One bilinear transform an image for rotation, zoom, flip and shift, about its centre.

    `crop` is the padded random crop of He et al. 2015: a shift by whole pixels.
    """
    rows, columns = images.shape[1:3]
    seeds = iter(tf.unstack(tf.random.split(seed, 7)))

    def uniform(low, high):
        return _uniform(images, next(seeds), low, high, tf.float32, part)

    angle = uniform(-1, 1) * math.radians(changes.get("rotation", 0))
    scale = 1 + uniform(-1, 1) * changes.get("zoom", 0)
    mirror = tf.where(uniform(0, 1) < (0.5 if "flip" in changes else 0), -1.0, 1.0)
    down = uniform(-1, 1) * changes.get("shift", 0) * rows
    right = uniform(-1, 1) * changes.get("shift", 0) * columns
    crop = changes.get("crop", 0)
    down += tf.floor(uniform(-crop, crop + 1))
    right += tf.floor(uniform(-crop, crop + 1))

    # input position = matrix (output position - centre) + centre + shift
    centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    xx, xy, yx, yy = cos * mirror, -sin, sin * mirror, cos
    x0 = centre_x + right - xx * centre_x - xy * centre_y
    y0 = centre_y + down - yx * centre_x - yy * centre_y
    zero = tf.zeros_like(x0)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, zero, zero], axis=1),
        output_shape=[rows, columns],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(tf.round(moved), images.dtype)


def _uniform(images, seed, low, high, dtype, part: Part | None):
    """A number for each image, of shape (images,)."""
    batch = tf.shape(images)[0] if part is None else part.rows
    numbers = tf.random.stateless_uniform([batch], seed, low, high, dtype)
    return numbers if part is None else tf.gather(numbers, part.places)


def _cutout(images, side: int, seed, part: Part | None):
    """Blackens a square at a random centre, cut off at the border (DeVries and Taylor 2017)."""
    keep = []
    for size, axis_seed in zip(
        images.shape[1:3], tf.unstack(tf.random.split(seed, 2)), strict=True
    ):
        centre = _uniform(images, axis_seed, 0, size, tf.int32, part)[:, None]
        distance = tf.range(size)[None] - (centre - side // 2)
        keep.append((distance < 0) | (distance >= side))
    visible = keep[0][:, :, None, None] | keep[1][:, None, :, None]
    return images * tf.cast(visible, images.dtype)


def _mixup(images, labels, alpha: float, seed):
    """Blends each image and label with its neighbour's by Beta(alpha, alpha) (Zhang 2018)."""
    batch = tf.shape(images)[0]
    first, second = tf.unstack(tf.random.split(seed, 2))
    a = tf.random.stateless_gamma([batch], first, alpha)
    b = tf.random.stateless_gamma([batch], second, alpha)
    # tiny alphas can give two zeros
    share = tf.math.divide_no_nan(a, a + b)

    def blend(values, weight):
        return weight * values + (1 - weight) * tf.roll(values, 1, axis=0)

    mixed = blend(tf.cast(images, tf.float32), share[:, None, None, None])
    return tf.cast(tf.round(mixed), images.dtype), blend(labels, share[:, None])
