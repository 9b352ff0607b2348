import numpy as np
import pytest
import tensorflow as tf
from support.batches import training

from zoo.data.batching import make_evaluation_batches
from zoo.data.config import DataConfig
from zoo.data.images.augmentation import augment_batch
from zoo.data.loading import load_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import parse_augmentation

SPEC = Spec("image", (4, 4, 1), ("a", "b", "c"))


def numbered(count=10):
    """Each image is its own number."""
    x = np.arange(count, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 1), "uint8")
    return Arrays(x, np.arange(count) % 3)


def order(batches):
    return np.concatenate([x["image"][:, 0, 0, 0] for x, *_ in batches]).tolist()


def test_each_epoch_is_a_permutation_of_its_own():
    of = training(numbered(), SPEC)
    epochs = [order(of(e)) for e in range(3)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert order(of(0)) == epochs[0]
    assert order(training(numbered(), SPEC)(1)) == epochs[1]
    assert order(training(numbered(), SPEC, seed=1)(0)) != epochs[0]


def test_labels_stay_with_their_images_and_no_example_is_lost():
    batches = training(numbered(), SPEC)(5)
    assert [len(y["logits"]) for _, y in batches] == [4, 4, 2]
    for x, y in batches:
        assert (x["image"][:, 0, 0, 0] % 3 == y["logits"]).all()


def test_one_hot_labels_and_class_weights():
    for x, y, w in training(numbered(), SPEC, one_hot=True, weights=np.array([1.0, 2.0, 4.0]))(0):
        label = x["image"][:, 0, 0, 0] % 3
        assert (y["logits"] == np.eye(3)[label]).all()
        assert (w["logits"] == 2.0**label).all()


def test_batches_keep_the_order():
    batches = list(make_evaluation_batches(numbered(), SPEC, batch_size=3).as_numpy_iterator())
    assert order(batches) == list(range(10))
    hot = next(iter(make_evaluation_batches(numbered(), SPEC, batch_size=3, one_hot=True)))
    assert hot[1]["logits"].shape == (3, 3)


def test_autotuning_is_off_and_the_length_is_known():
    batches = make_evaluation_batches(numbered(), SPEC, batch_size=3)
    assert batches.options().autotune.enabled is False
    assert int(batches.cardinality()) == 4


@pytest.mark.parametrize("global_seed", [0, 7])
def test_streams_are_shuffled_by_seed_and_epoch(tfds_dir, global_seed):
    tf.random.set_seed(global_seed)
    data = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), memory_budget=0))
    of = training(data.train, data.spec, batch_size=500)
    labels = [np.concatenate([y["logits"] for _, y in of(e)]) for e in (0, 1, 0)]
    assert (labels[0] == labels[2]).all() and (labels[0] != labels[1]).any()
    assert (np.bincount(labels[0]) == np.bincount(labels[1])).all() and len(labels[0]) == 3600
    in_order = np.array([y for _, y in data.train.read(None).as_numpy_iterator()])
    assert (labels[0] != in_order).mean() > 0.8


def test_augmentation_is_a_function_of_seed_epoch_and_position():
    random = np.random.default_rng(0)
    split = Arrays(random.integers(0, 256, (10, 12, 12, 3), "uint8"), np.arange(10) % 3)
    spec = Spec("image", (12, 12, 3), SPEC.class_names)
    changes = parse_augmentation("shift=0.2,rotation=20,zoom=0.2,flip,crop=2,cutout=4,mixup=0.4")

    def epoch(number, seed=0):
        batches = training(split, spec, changes=changes, one_hot=True, seed=seed)(number)
        return np.concatenate([x["image"].ravel() for x, _ in batches])

    assert (epoch(1) == epoch(1)).all()
    assert (epoch(1) != epoch(2)).any() and (epoch(1) != epoch(1, seed=1)).any()


IMAGES = tf.constant(np.random.default_rng(0).integers(1, 256, (64, 9, 11, 2), "uint8"))
SEED = tf.constant([1, 2], tf.int64)


def changed(text, images=IMAGES, labels=None):
    return [
        t.numpy()
        for t in augment_batch(
            images, labels if labels is not None else images, parse_augmentation(text), SEED
        )
    ]


def test_nothing_to_change():
    assert (changed("")[0] == IMAGES.numpy()).all()


def test_flip_mirrors_about_half_of_the_images():
    images, original = changed("flip")[0], IMAGES.numpy()
    mirrored = [(a == b[:, ::-1]).all() for a, b in zip(images, original, strict=True)]
    same = [(a == b).all() for a, b in zip(images, original, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_crop_shifts_by_whole_pixels_and_fills_with_black():
    shifts = set()
    for image, original in zip(changed("crop=2")[0], IMAGES.numpy(), strict=True):
        padded = np.pad(original, [(2, 2), (2, 2), (0, 0)])
        matches = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if (padded[dy : dy + 9, dx : dx + 11] == image).all()
        ]
        assert len(matches) == 1
        shifts.update(matches)
    assert len(shifts) > 15


def test_rotation_turns_about_the_centre():
    image = np.zeros((1, 9, 9, 1), "uint8")
    image[0, 4, 4] = 200
    turned = changed("rotation=180", tf.constant(np.repeat(image, 32, 0)))[0]
    assert (turned[:, 4, 4, 0] == 200).all() and turned.sum() < 32 * 250


@pytest.mark.parametrize("text", ["shift=0.3", "zoom=0.5", "rotation=45"])
def test_the_other_moves_change_images_and_stay_in_range(text):
    images = changed(text)[0]
    assert images.dtype == np.uint8 and images.shape == IMAGES.shape
    assert all((a != b).any() for a, b in zip(images, IMAGES.numpy(), strict=True))


def test_cutout_blackens_one_square():
    images = changed("cutout=4")[0]
    for image, original in zip(images, IMAGES.numpy(), strict=True):
        black = (image == 0).all(-1)
        rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
        assert 2 <= len(rows) <= 4 and 2 <= len(columns) <= 4
        assert black[np.ix_(rows, columns)].all()
        assert (image[~black] == original[~black]).all()


def test_mixup_blends_images_and_labels_alike():
    labels = tf.one_hot(tf.range(64) % 3, 3)
    images, mixed = changed("mixup=0.5", labels=labels)
    np.testing.assert_allclose(mixed.sum(1), 1, atol=1e-6)
    assert ((mixed > 0.01) & (mixed < 0.99)).any()
    # the labels of neighbours differ, so the own label's weight is the share
    share = mixed[np.arange(64), np.arange(64) % 3]
    share = np.where(np.arange(64) % 3 == np.roll(np.arange(64) % 3, 1), np.nan, share)
    original = IMAGES.numpy().astype(float)
    s = share[:, None, None, None]
    expected = s * original + (1 - s) * np.roll(original, 1, axis=0)
    valid = ~np.isnan(share)
    assert valid.sum() >= 63
    np.testing.assert_allclose(images[valid], expected[valid], atol=0.51)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sift=0.1", "Did you mean 'shift'?"),
        ("shift=2", "expected a number, above 0 and below 1"),
        ("shift", "augment: shift=True: expected a number"),
        ("crop=1.5", "expected a whole number"),
        ("flip=0.5", "expected true or false"),
    ],
)
def test_augmentation_that_does_not_read(text, message):
    with pytest.raises(UserError) as error:
        parse_augmentation(text)
    assert message in str(error.value)
