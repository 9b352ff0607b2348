"""The layers that were made faster than Keras' against Keras' own, gradients among them."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.regularization import Dropout, apply_token_dropout
from zoo.layers.transformer_encoder import EncoderLayer, LayerNormalization

RANDOM = np.random.default_rng(0)
X, UPSTREAM = RANDOM.normal(1, 2, (2, 3, 9, 8)).astype("float32")
MASK = np.arange(9) < np.array([[9], [4], [1]])


def gradients(layer, read):
    """What the layer gives for X, and the gradients of X and of each weight."""
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = read(x)
    weights = [weight.value for weight in layer.trainable_weights]
    return [y, *tape.gradient(y, [x, *weights], UPSTREAM)]


def assert_alike(ours, theirs, read, read_theirs):
    """Both layers with the same weights, which differ from what they begin with."""
    ours.set_weights([RANDOM.normal(0.1, 0.3, w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    given, expected = gradients(ours, read), gradients(theirs, read_theirs)
    for a, b in zip(given, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_layer_normalisation_like_keras():
    layers = [
        kind(epsilon=1e-5, name="norm")
        for kind in (LayerNormalization, keras.layers.LayerNormalization)
    ]
    for layer in layers:
        layer.build(X.shape)
    assert_alike(*layers, *layers)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_layer_like_kerashub(norm, activation):
    options = {"dropout": 0.0, "activation": activation, "name": "encoder"}
    ours = EncoderLayer(12, 2, norm=norm, **options)
    theirs = keras_hub.layers.TransformerEncoder(12, 2, normalize_first=norm == "pre", **options)
    ours.build(X.shape)
    theirs.build(X.shape)
    assert_alike(
        ours,
        theirs,
        lambda x: ours(x, MASK),
        lambda x: theirs(x, padding_mask=MASK),
    )


def test_encoder_layer_survives_saving(tmp_path):
    x, mask = keras.Input((None, 8)), keras.Input((None,), dtype="bool")
    layer = EncoderLayer(12, 2, dropout=0.1, activation="relu", norm="pre")
    model = keras.Model([x, mask], layer(x, mask))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again([X, MASK]), model([X, MASK]))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("shape", [(20_001,), (301, 67), (5, 401, 8)])
def test_dropout_keeps_its_share_and_the_mean(shape, rate):
    layer, x = Dropout(rate, seed=3), np.ones(shape, "float32")
    kept = round(256 * (1 - rate)) or 1
    y = layer(x, training=True).numpy()
    assert set(np.unique(y)) <= {0, np.float32(256 / kept)}
    spread = np.sqrt(kept / 256 * (1 - kept / 256) / x.size)
    assert abs(np.count_nonzero(y) / x.size - kept / 256) < 5 * spread
    np.testing.assert_array_equal(layer(x), x)


def test_dropout_draws_anew_and_by_its_seed():
    x = np.ones((50, 50), "float32")
    first, second = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    drawn = [first(x, training=True).numpy() for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()
    for expected in drawn:
        np.testing.assert_array_equal(second(x, training=True), expected)


def test_token_dropout_drops_whole_tokens():
    x = np.ones((40, 30, 8), "float32")
    given = keras.Input((None, 8))
    model = keras.Model(given, apply_token_dropout(given, 0.25, "tokens"))
    y = model(x, training=True).numpy()
    assert set(np.unique(y)) == {0, np.float32(4 / 3)} and (y == y[:, :, :1]).all()
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 1200)
    assert (y[:, 0] != y[:1, 0]).any() and (y[0, :, 0] != y[0, 0, 0]).any()
    np.testing.assert_array_equal(model(x), x)
