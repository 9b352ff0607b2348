"""RandAugment against Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from zoo.data.images.augmentation import augment_batch
from zoo.data.images.randaugment import CHANGES, change_images
from zoo.data.microbatches import MicroBatch
from zoo.errors import UserError
from zoo.recipe import parse_augmentation

# smooth, so that half a pixel makes no difference
GRADIENT = (np.add.outer(np.arange(24) * 4, np.arange(32) * 3)[..., None] + [9, 30, 60]).clip(
    0, 250
)
NOISE = np.random.default_rng(0).integers(20, 200, (24, 32, 3), "uint8")
PILLOW = {
    "identity": lambda image: image,
    "auto_contrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "solarize": lambda image: ImageOps.solarize(image, 128),
    "posterize": lambda image: ImageOps.posterize(image, 6),
    "color": lambda image: ImageEnhance.Color(image).enhance(1.45),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.45),
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(1.45),
    "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(1.45),
    "rotate": lambda image: image.rotate(-15, Image.Resampling.BILINEAR),
    "translate_x": lambda image: image.transform(
        image.size, Image.Transform.AFFINE, (1, 0, 0.225 * 32, 0, 1, 0), Image.Resampling.BILINEAR
    ),
    "translate_y": lambda image: image.transform(
        image.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, 0.225 * 24), Image.Resampling.BILINEAR
    ),
    "shear_x": lambda image: image.transform(
        image.size,
        Image.Transform.AFFINE,
        (1, 0.15, -0.15 * 12, 0, 1, 0),
        Image.Resampling.BILINEAR,
    ),
    "shear_y": lambda image: image.transform(
        image.size,
        Image.Transform.AFFINE,
        (1, 0, 0, 0.15, 1, -0.15 * 16),
        Image.Resampling.BILINEAR,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_those_of_pillow(name):
    is_moved = name == "rotate" or name.startswith(("shear", "translate"))
    pixels = GRADIENT.astype("uint8") if is_moved else NOISE
    chosen = tf.constant([CHANGES.index(name), 0])
    changed = change_images(tf.constant(np.stack([pixels] * 2)), chosen, tf.constant([1.0, 1]), 0.5)
    expected = np.asarray(PILLOW[name](Image.fromarray(pixels)), int)
    difference = np.abs(changed[0].numpy() - expected)
    # Pillow treats the border of moved images in another way
    limit = 3 if is_moved else 1
    assert np.mean(difference > limit) < (0.15 if is_moved else 1e-9)
    np.testing.assert_array_equal(changed[1], pixels)


def test_each_image_has_changes_of_its_own_which_depend_on_the_seed_only():
    images = tf.constant(np.stack([NOISE] * 12))
    labels, changes = tf.zeros([12, 2]), parse_augmentation("randaugment=5")

    def augment(seed, rows=None):
        part = None
        if rows:
            part = MicroBatch(tf.constant(rows), tf.ones(len(rows)), tf.constant(12))
        x = images if rows is None else tf.gather(images, rows)
        return augment_batch(x, labels, changes, tf.constant(seed, tf.int64), part)[0].numpy()

    whole = augment([1, 2])
    assert len({image.tobytes() for image in whole}) > 8
    np.testing.assert_array_equal(whole, augment([1, 2]))
    assert (whole != augment([1, 3])).any()
    np.testing.assert_array_equal(whole[[3, 7]], augment([1, 2], [3, 7]))


def test_grey_images_and_strengths():
    grey = tf.constant(np.stack([NOISE[..., :1]] * len(CHANGES)))
    chosen = tf.range(len(CHANGES))
    changed = change_images(grey, chosen, tf.ones(len(CHANGES)), 1.0)
    assert changed.shape == grey.shape and changed.dtype == tf.uint8
    for text in ("randaugment", "randaugment=0", "randaugment=11"):
        with pytest.raises(UserError, match="augment: randaugment"):
            parse_augmentation(text)
