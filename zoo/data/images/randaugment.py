"""RandAugment: two random changes of 14 for each image, at one strength.

Source: Cubuk, Zoph, Shlens and Le 2020, 'RandAugment: Practical automated data augmentation with a
reduced search space' (arXiv 1909.13719); the ranges are those of Cubuk et al. 2019, 'AutoAugment'
(arXiv 1805.09501), table 6.
"""

import math

import tensorflow as tf

from zoo.data.microbatches import MicroBatch, draw_uniform

CHANGES = (
    "identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize",
    "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
_ROUNDS = 2
_DEGREES, _SHEAR, _SHIFT, _ENHANCEMENT, _BITS = 30, 0.3, 0.45, 0.9, 4  # at strength 10
_SMOOTH = [[1, 1, 1], [1, 5, 1], [1, 1, 1]]  # the filter of Pillow's ImageEnhance.Sharpness


def apply_randaugment(images, strength: float, seed, microbatch: MicroBatch | None):
    """Changes each image twice, by changes that are drawn uniformly.

    Args:
        images: uint8 of shape (batch, rows, columns, channels).
        strength: From 0 to 10.
        seed: int64 of shape (2,).
        microbatch: As in `zoo.data.images.augmentation.augment_batch`.
    """
    for number in range(_ROUNDS):
        own_seed = tf.random.fold_in(seed, number)
        first, second = tf.unstack(tf.random.split(own_seed, 2))
        chosen = draw_uniform(images, first, 0, len(CHANGES), tf.int32, microbatch)
        coins = draw_uniform(images, second, 0, 1, tf.float32, microbatch)
        signs = tf.where(coins < 0.5, -1.0, 1.0)
        images = change_images(images, chosen, signs, strength / 10)
    return images


def change_images(images, chosen: tf.Tensor, signs: tf.Tensor, share: float):
    """Changes each image in one way.

    Args:
        images: uint8 of shape (batch, rows, columns, channels).
        chosen: Number of the change in `CHANGES` of each image, int32 (batch,).
        signs: Direction of the changes that have two, 1 or -1, float32 (batch,).
        share: Strength, from 0 to 1.
    """

    def is_chosen(*names):
        numbers = [CHANGES.index(name) for name in names]
        return tf.reduce_any(chosen[:, None] == numbers, axis=1)[:, None, None, None]

    pixels = tf.cast(images, tf.float32)
    changed = _enhance(pixels, is_chosen, signs, share)
    moved = _move(images, lambda name: tf.where(is_chosen(name)[:, 0, 0, 0], signs * share, 0))
    is_moved = is_chosen("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
    changed = tf.where(is_moved, tf.cast(moved, tf.float32), changed)
    lowest, highest = (
        f(pixels, axis=[1, 2], keepdims=True) for f in (tf.reduce_min, tf.reduce_max)
    )
    stretched = tf.math.divide_no_nan((pixels - lowest) * 255, highest - lowest)
    stretched = tf.where(highest > lowest, tf.floor(stretched + 1e-3), pixels)
    changed = tf.where(is_chosen("auto_contrast"), stretched, changed)
    changed = tf.where(is_chosen("equalize"), _equalize(images), changed)
    inverted = tf.where(pixels < 256 - 256 * share, pixels, 255 - pixels)
    changed = tf.where(is_chosen("solarize"), inverted, changed)
    step = 2 ** round(_BITS * share)
    changed = tf.where(is_chosen("posterize"), tf.floor(pixels / step) * step, changed)
    return tf.cast(tf.round(changed), images.dtype)


def _enhance(pixels, is_chosen, signs, share: float):
    """Scales colours, contrast, brightness and sharpness, as Pillow's ImageEnhance."""
    channels = pixels.shape[-1]
    grey = tf.image.rgb_to_grayscale(pixels) if channels == 3 else pixels[..., :1]
    kernel = tf.constant(_SMOOTH, tf.float32)[:, :, None, None] / 13
    smooth = tf.nn.depthwise_conv2d(pixels, tf.tile(kernel, [1, 1, channels, 1]), [1] * 4, "VALID")
    paddings = [[0, 0], [1, 1], [1, 1], [0, 0]]  # the border is not smoothed
    is_inside = tf.pad(tf.ones_like(smooth, tf.bool), paddings)
    smooth = tf.where(is_inside, tf.pad(smooth, paddings), pixels)
    origins = {
        "color": grey,
        "contrast": tf.reduce_mean(grey, axis=[1, 2], keepdims=True),
        "brightness": 0.0,
        "sharpness": smooth,
    }
    origin = pixels
    for name, own in origins.items():
        origin = tf.where(is_chosen(name), own, origin)
    factors = 1 + signs[:, None, None, None] * share * _ENHANCEMENT
    return tf.clip_by_value(origin + factors * (pixels - origin), 0, 255)


def _move(images, strength_of):
    """Rotates about the centre, shears or shifts; what comes in from outside is black."""
    rows, columns = images.shape[1:3]
    angle = strength_of("rotate") * math.radians(_DEGREES)
    shear_x, shear_y = (strength_of(name) * _SHEAR for name in ("shear_x", "shear_y"))
    right, down = (strength_of(f"translate_{axis}") * _SHIFT for axis in "xy")
    # input position = matrix @ (output position - centre) + centre + shift
    centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
    xx, xy = tf.cos(angle), tf.sin(angle) + shear_x
    yx, yy = shear_y - tf.sin(angle), tf.cos(angle)
    x0 = centre_x + right * columns - xx * centre_x - xy * centre_y
    y0 = centre_y + down * rows - yx * centre_x - yy * centre_y
    zero = tf.zeros_like(x0)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, zero, zero], axis=1),
        output_shape=[rows, columns],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _equalize(images):
    """Spreads the pixels of each channel evenly, as Pillow's ImageOps.equalize."""
    rows, columns, channels = images.shape[1:]
    flat = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, rows * columns])
    counts = tf.math.bincount(tf.cast(flat, tf.int32), minlength=256, maxlength=256, axis=-1)
    last = 255 - tf.argmax(tf.cast(counts[:, ::-1] > 0, tf.int32), axis=1, output_type=tf.int32)
    step = (rows * columns - tf.gather(counts, last, batch_dims=1)) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = (below + step[:, None] // 2) // tf.maximum(step[:, None], 1)
    table = tf.where(step[:, None] > 0, tf.minimum(table, 255), tf.range(256))
    spread = tf.gather(table, tf.cast(flat, tf.int32), batch_dims=1)
    shape = [-1, channels, rows, columns]
    return tf.cast(tf.transpose(tf.reshape(spread, shape), [0, 2, 3, 1]), tf.float32)
