"""Random changes to batches of training images, which depend only on the seed given."""

import math

import tensorflow as tf

from zoo.data.images.randaugment import apply_randaugment
from zoo.data.microbatches import MicroBatch, draw_uniform
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.recipe import BLENDING, Recipe, parse_augmentation


def check_augmentation(recipe: Recipe, spec: Spec) -> None:
    """Checks that the data can be augmented as the recipe says.

    Raises:
        UserError: if they are no images, or have no colours or classes to change.
    """
    changes, setting = parse_augmentation(recipe.augment), f"augment={recipe.augment!r}"
    if changes and spec.kind != "image":
        raise UserError(f"{setting}: the dataset has {spec.kind}, not images: omit --augment")
    if "saturation" in changes and spec.shape[-1] == 1:
        raise UserError(f"{setting}: the images are gray: omit saturation")
    blends = sorted(BLENDING & changes.keys())
    if blends and spec.class_names is None:
        raise UserError(f"{setting}: {blends[0]} blends classes, but the target is a number")
    if blends and recipe.class_weights:
        raise UserError(
            f"{setting}: {blends[0]} blends classes and cannot be combined with class_weights: "
            "omit one of them"
        )


def augment_batch(
    images,
    labels,
    changes: dict[str, float],
    seed: tf.Tensor,
    microbatch: MicroBatch | None = None,
):
    """Augments one batch of images.

    Args:
        images: uint8 of shape (batch, rows, columns, channels).
        labels: One-hot float32 of shape (batch, classes) for "mixup" and "cutmix"; returned
            unchanged otherwise.
        changes: Names and strengths of the changes, from `zoo.recipe.parse_augmentation`.
        seed: int64 of shape (2,).
        microbatch: Positions of the images in their batch; None if they are the whole batch. Each
            image is changed as it would be in the whole batch. Not supported by "mixup" and
            "cutmix", which need the neighbours of each image.

    Returns:
        (images, labels) of unchanged shapes and dtypes.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    # changes that were added later have seeds of their own, which leave those of the others alone
    colour_seed, cutmix_seed, policy_seed = (tf.random.fold_in(seed, i) for i in (1, 2, 3))
    if "randaugment" in changes:
        images = apply_randaugment(images, changes["randaugment"], policy_seed, microbatch)
    if changes.keys() & {"brightness", "contrast", "saturation"}:
        images = _change_colours(images, changes, colour_seed, microbatch)
    if changes.keys() & {"shift", "rotation", "zoom", "flip", "vertical_flip", "crop"}:
        images = _transform_images(images, changes, seeds[0], microbatch)
    if "cutout" in changes:
        images = _apply_cutout(images, int(changes["cutout"]), seeds[1], microbatch)
    if "mixup" in changes:
        images, labels = _apply_mixup(images, labels, changes["mixup"], seeds[2])
    if "cutmix" in changes:
        images, labels = _apply_cutmix(images, labels, changes["cutmix"], cutmix_seed)
    return images, labels


def _change_colours(images, changes: dict[str, float], seed, microbatch: MicroBatch | None):
    """Scales brightness, contrast and saturation by random factors, as Pillow's ImageEnhance.

    Each factor is drawn from 1 - strength to 1 + strength. A factor of 0 would give a black image,
    the mean grey of the image, or its greyscale version.
    """
    pixels = tf.cast(images, tf.float32)
    seeds = tf.unstack(tf.random.split(seed, 3))
    for name, own_seed in zip(("brightness", "contrast", "saturation"), seeds, strict=True):
        if name not in changes:
            continue
        draws = draw_uniform(images, own_seed, -1, 1, tf.float32, microbatch)
        factor = 1 + changes[name] * draws[:, None, None, None]
        grey = tf.image.rgb_to_grayscale(pixels) if images.shape[-1] == 3 else pixels[..., :1]
        origin = {
            "brightness": tf.zeros_like(grey),
            "contrast": tf.reduce_mean(grey, axis=[1, 2], keepdims=True),
            "saturation": grey,
        }[name]
        pixels = tf.clip_by_value(origin + factor * (pixels - origin), 0, 255)
    return tf.cast(tf.round(pixels), images.dtype)


def _transform_images(images, changes: dict[str, float], seed, microbatch: MicroBatch | None):
    """Applies rotation, zoom, flips and shift as one bilinear transform about the image centre.

    `crop` is the padded random crop of He et al. (2015), a shift by whole pixels.
    """
    rows, columns = images.shape[1:3]
    seeds = iter(tf.unstack(tf.random.split(seed, 7)))

    def draw(low, high):
        return draw_uniform(images, next(seeds), low, high, tf.float32, microbatch)

    angle = draw(-1, 1) * math.radians(changes.get("rotation", 0))
    scale = 1 + draw(-1, 1) * changes.get("zoom", 0)
    mirror = tf.where(draw(0, 1) < (0.5 if "flip" in changes else 0), -1.0, 1.0)
    overturn = 1.0
    if "vertical_flip" in changes:  # with a seed of its own, as above
        coins = draw_uniform(images, tf.random.fold_in(seed, 1), 0, 1, tf.float32, microbatch)
        overturn = tf.where(coins < 0.5, -1.0, 1.0)
    down = draw(-1, 1) * changes.get("shift", 0) * rows
    right = draw(-1, 1) * changes.get("shift", 0) * columns
    crop = changes.get("crop", 0)
    down += tf.floor(draw(-crop, crop + 1))
    right += tf.floor(draw(-crop, crop + 1))

    # input position = matrix @ (output position - centre) + centre + shift
    centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    xx, xy, yx, yy = cos * mirror, -sin * overturn, sin * mirror, cos * overturn
    x0 = centre_x + right - xx * centre_x - xy * centre_y
    y0 = centre_y + down - yx * centre_x - yy * centre_y
    zero = tf.zeros_like(x0)
    transformed = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, zero, zero], axis=1),
        output_shape=[rows, columns],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(tf.round(transformed), images.dtype)


def _apply_cutout(images, side: int, seed, microbatch: MicroBatch | None):
    """Blackens a square at a random centre, clipped at the border (DeVries and Taylor, 2017)."""
    visible_by_axis = []
    for size, axis_seed in zip(
        images.shape[1:3], tf.unstack(tf.random.split(seed, 2)), strict=True
    ):
        centre = draw_uniform(images, axis_seed, 0, size, tf.int32, microbatch)[:, None]
        distance = tf.range(size)[None] - (centre - side // 2)
        visible_by_axis.append((distance < 0) | (distance >= side))
    visible_rows, visible_columns = visible_by_axis
    visible = visible_rows[:, :, None, None] | visible_columns[:, None, :, None]
    return images * tf.cast(visible, images.dtype)


def _apply_mixup(images, labels, alpha: float, seed):
    """Blends each example with its neighbour by Beta(alpha, alpha) (Zhang et al., 2018)."""
    batch = tf.shape(images)[0]
    first, second = tf.unstack(tf.random.split(seed, 2))
    gamma_own = tf.random.stateless_gamma([batch], first, alpha)
    gamma_neighbour = tf.random.stateless_gamma([batch], second, alpha)
    # Both can be 0 if alpha is tiny.
    own_share = tf.math.divide_no_nan(gamma_own, gamma_own + gamma_neighbour)

    def blend(values, weight):
        return weight * values + (1 - weight) * tf.roll(values, 1, axis=0)

    blended = blend(tf.cast(images, tf.float32), own_share[:, None, None, None])
    return tf.cast(tf.round(blended), images.dtype), blend(labels, own_share[:, None])


def _apply_cutmix(images, labels, alpha: float, seed):
    """Replaces a rectangle of each image by that of its neighbour (Yun et al., 2019).

    Its share of the image is drawn from Beta(alpha, alpha) and clipped at the border; the labels
    are blended by the share that is left.
    """
    batch = tf.shape(images)[0]
    seeds = tf.unstack(tf.random.split(seed, 4))
    gamma_own, gamma_neighbour = (tf.random.stateless_gamma([batch], s, alpha) for s in seeds[:2])
    side = tf.sqrt(tf.math.divide_no_nan(gamma_neighbour, gamma_own + gamma_neighbour))
    inside_by_axis = []
    for size, axis_seed in zip(images.shape[1:3], seeds[2:], strict=True):
        centre = tf.random.stateless_uniform([batch, 1], axis_seed, 0, size)
        distance = tf.abs(tf.range(size, dtype=tf.float32)[None] + 0.5 - centre)
        inside_by_axis.append(distance < side[:, None] * size / 2)
    inside = inside_by_axis[0][:, :, None] & inside_by_axis[1][:, None, :]
    share = tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])[:, None]
    mixed = tf.where(inside[..., None], tf.roll(images, 1, axis=0), images)
    return mixed, (1 - share) * labels + share * tf.roll(labels, 1, axis=0)
