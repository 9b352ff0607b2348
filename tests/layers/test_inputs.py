"""What the inputs of models have in common."""

import keras
import numpy as np
import pytest

from zoo.layers.inputs import average_places


@pytest.mark.parametrize(
    ("size", "largest", "places"),
    [((8, 8), 8, (8, 8)), ((9, 8), 8, (4, 8)), ((52, 20), 7, (6, 6)), ((15, 1), 7, (5, 1))],
)
def test_neighbouring_places_are_averaged(size, largest, places):
    image = keras.Input((*size, 3))
    model = keras.Model(image, average_places(image, largest))
    pixels = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    rows, columns = size[0] // places[0], size[1] // places[1]
    kept = pixels[:, : places[0] * rows, : places[1] * columns]  # what is over does not count
    expected = kept.reshape(2, places[0], rows, places[1], columns, 3).mean((2, 4))
    np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, atol=1e-6)
