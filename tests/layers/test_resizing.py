"""The layer that resizes images inside a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.resizing import INTERPOLATIONS, Resize

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 17, 3), "uint8")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(7, 9), (20, 31), (12, 20)])
def test_equals_tensorflow_with_antialiasing(interpolation, size):
    antialias = interpolation != "nearest"
    expected = tf.image.resize(IMAGES, size, interpolation, antialias=antialias)
    resized = Resize(size, interpolation)(IMAGES)
    np.testing.assert_allclose(resized, np.clip(expected, 0, 255), atol=2e-3)


def test_images_of_the_size_are_unchanged_and_the_layer_is_saved(tmp_path):
    np.testing.assert_array_equal(Resize((12, 17), "bicubic")(IMAGES), IMAGES)
    model = keras.Sequential([keras.Input((12, 17, 3)), Resize((5, 6), "lanczos3")])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.output_shape == (None, 5, 6, 3)
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
