"""Changes of colours, vertical flips and cutmix; test_batching.py has the older ones."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from zoo.data.images.augmentation import augment_batch
from zoo.data.microbatches import MicroBatch
from zoo.recipe import parse_augmentation

SEED = tf.constant([1, 2], tf.int64)
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 8, 10, 3), "uint8")
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def augment(text, labels=None, images=PIXELS, **options):
    changes = parse_augmentation(text)
    labels = tf.zeros([len(images), 2]) if labels is None else labels
    images, labels = augment_batch(tf.constant(images), labels, changes, SEED, **options)
    return images.numpy(), labels.numpy()


@pytest.mark.parametrize("name", ENHANCERS)
def test_colours_change_as_in_pillow(name):
    image = Image.fromarray(PIXELS[0])
    changed, _ = augment(f"{name}=0.5", images=PIXELS[:1].repeat(8, 0))
    factors = np.linspace(0.5, 1.5, 401)
    enhanced = [np.asarray(ENHANCERS[name](image).enhance(f), int) for f in factors]
    for one in changed.astype(int):
        assert min(np.abs(other - one).max() for other in enhanced) <= 2
    assert len({one.tobytes() for one in changed}) == 8


def test_saturation_of_grey_changes_nothing_but_brightness_does():
    grey = PIXELS[..., :1]
    assert (augment("saturation=0.9", images=grey)[0] == grey).all()
    assert (augment("brightness=0.9", images=grey)[0] != grey).any()


def test_vertical_flip_turns_about_half_of_the_images_upside_down():
    changed, _ = augment("vertical_flip")
    turned = (changed == PIXELS[:, ::-1]).all(axis=(1, 2, 3))
    assert ((changed == PIXELS).all(axis=(1, 2, 3)) ^ turned).all() and 3 <= turned.sum() <= 13


def test_the_older_changes_are_drawn_as_before_beside_the_new_ones():
    """The flips to the side are the same with and without those upside down."""
    sideways, both = augment("flip")[0], augment("flip,vertical_flip")[0]
    is_same = [(both == sideways[:, ::step]).all(axis=(1, 2, 3)) for step in (1, -1)]
    assert np.logical_xor(*is_same).all() and is_same[1].any()


def test_cutmix_blends_labels_by_the_share_of_the_pixels():
    labels = tf.eye(16)
    changed, mixed = augment("cutmix=1", labels)
    own = (changed == PIXELS).all(axis=-1)
    neighbour = (changed == np.roll(PIXELS, 1, axis=0)).all(axis=-1)
    assert (own | neighbour).all()
    share = mixed[np.arange(16), np.arange(16)]
    np.testing.assert_allclose(share, own.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert share.min() < 0.5 < share.max()
    for cut in ~own:  # one rectangle each
        rows, columns = np.ix_(cut.any(axis=1), cut.any(axis=0))
        assert cut[rows, columns].all() and cut.sum() == cut[rows, columns].size


def test_a_micro_batch_has_the_colours_of_the_whole_batch():
    whole, _ = augment("brightness=0.3,contrast=0.3,vertical_flip")
    rows = tf.constant([3, 1, 8])
    part = MicroBatch(row_indices=rows, rows=tf.constant(16), weight=tf.ones(3))
    changed, _ = augment("brightness=0.3,contrast=0.3,vertical_flip", images=PIXELS[[3, 1, 8]],
                         microbatch=part)  # fmt: skip
    np.testing.assert_array_equal(changed, whole[[3, 1, 8]])
