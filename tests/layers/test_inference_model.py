"""The model that computes in training as in a prediction."""

import keras
import numpy as np

from zoo.layers.inference_model import InferenceModel


def test_statistics_are_kept_and_weights_are_trained(tmp_path):
    pixels = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization(name="norm")(pixels))
    backbone = InferenceModel(pixels, x)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(backbone(inputs)))
    x, y = np.random.default_rng(0).normal(5, 1, (8, 4)), np.zeros((8, 1))
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))
    norm = backbone.get_layer("norm")
    gamma, beta, mean, variance = norm.get_weights()
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)
    assert (norm.get_weights()[0] != gamma).any() and (norm.get_weights()[1] != beta).any()
    np.testing.assert_array_equal(norm.get_weights()[2:], [mean, variance])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=False))
