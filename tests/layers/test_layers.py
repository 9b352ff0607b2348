"""The arithmetic of each layer family against NumPy written from the formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import zoo
from zoo.layers.outputs import expose_features
from zoo.layers.regularization import BatchNormalization

RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def layer_of(model, name):
    return [keras.ops.convert_to_numpy(w) for w in model.get_layer(name).weights]


def inputs_of(model, name, image):
    """What the layer of that name gets for an image."""
    inner = keras.Model(model.input, model.get_layer(name).input)
    return keras.ops.convert_to_numpy(inner({"image": image}))


def output_of(model, name, image):
    inner = keras.Model(model.input, model.get_layer(name).output)
    return keras.ops.convert_to_numpy(inner({"image": image}))


def convolve(x, kernel, bias, stride=1):
    """y[i, j, o] = b[o] + sum over u, v, c of x[si + u, sj + v, c] k[u, v, c, o]."""
    batch, rows, columns, _ = x.shape
    size = kernel.shape[0]
    rows, columns = (rows - size) // stride + 1, (columns - size) // stride + 1
    y = np.zeros((batch, rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            y[:, i, j] = np.einsum("buvc,uvco->bo", window, kernel)
    return y + bias


def pool(x, reduce):
    batch, rows, columns, channels = x.shape
    x = x[:, : rows // 2 * 2, : columns // 2 * 2]
    return reduce(x.reshape(batch, rows // 2, 2, columns // 2, 2, channels), axis=(2, 4))


@pytest.fixture(scope="module")
def image():
    return RANDOM.integers(0, 256, (2, 28, 28, 1), "uint8")


def test_rescaling(image):
    np.testing.assert_allclose(
        output_of(zoo.get("cnn"), "rescaling", image), image / 255, atol=1e-6
    )
    lenet = output_of(zoo.get("lenet5"), "rescaling", image)
    np.testing.assert_allclose([lenet.min(), lenet.max()], [-0.1, 1.175], atol=1e-5)


def test_convolution_and_max_pool(image):
    model = zoo.get("cnn")
    for name in ("conv_1", "conv_2", "conv_3"):
        kernel, bias = layer_of(model, name)
        expected = convolve(inputs_of(model, name, image), kernel, bias)
        np.testing.assert_allclose(output_of(model, name, image), expected, atol=1e-4)
    for name in ("pool_1", "pool_2"):
        expected = pool(inputs_of(model, name, image), np.max)
        np.testing.assert_array_equal(output_of(model, name, image), expected)


def test_average_pool(image):
    model = zoo.get("lenet5")
    for name in ("s2", "s4"):
        expected = pool(inputs_of(model, name, image), np.mean)
        np.testing.assert_allclose(output_of(model, name, image), expected, atol=1e-6)


def test_dense(image):
    model = zoo.get("mlp")
    kernel, bias = layer_of(model, "dense_1")
    expected = (image / 255).reshape(2, -1) @ kernel + bias
    np.testing.assert_allclose(output_of(model, "dense_1", image), expected, atol=1e-4)


def test_residual_block_with_the_shortcut_of_option_a(image):
    model = zoo.get("resnet20")
    x = output_of(model, "stage1_block3_relu_2", image)
    shortcut = np.concatenate([x[:, ::2, ::2], np.zeros((2, 14, 14, 16))], axis=-1)
    residual = output_of(model, "stage2_block1_2_norm", image)
    expected = np.maximum(shortcut + residual, 0)
    np.testing.assert_allclose(output_of(model, "stage2_block1_relu_2", image), expected, atol=1e-5)


def test_batch_normalisation_in_training():
    x = numbers(64, 5) * 3 + 2
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    given = layers.BatchNormalization(epsilon=1e-3)(x, training=True)
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_softmax_cross_entropy_is_stable():
    logits, labels = numbers(6, 4) * 100, np.array([0, 1, 2, 3, 0, 1])
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    expected = -log_probabilities[np.arange(6), labels].mean()
    given = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    np.testing.assert_allclose(float(given), expected, rtol=1e-5)


def test_gradient_of_a_two_layer_network_by_backpropagation():
    """Rumelhart, Hinton and Williams 1986: d loss / d weights from the output back."""
    model = zoo.get("mlp", input_shape=(5,), num_classes=3, hidden=(7,), dropout=0.0)
    x, labels = numbers(6, 5), np.array([0, 1, 2, 0, 1, 2])
    with tf.GradientTape() as tape:
        logits = model({"features": x})["logits"]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    given = tape.gradient(loss, [w.value for w in model.trainable_weights])

    w1, b1, w2, b2 = (keras.ops.convert_to_numpy(w) for w in model.trainable_weights)
    hidden = x @ w1 + b1
    active = np.maximum(hidden, 0)
    scores = np.exp(active @ w2 + b2)
    delta2 = (scores / scores.sum(1, keepdims=True) - np.eye(3)[labels]) / len(x)
    delta1 = (delta2 @ w2.T) * (hidden > 0)
    expected = [x.T @ delta1, delta1.sum(0), active.T @ delta2, delta2.sum(0)]
    for g, e in zip(given, expected, strict=True):
        np.testing.assert_allclose(g, e, atol=1e-6)


def test_batch_normalisation_of_one_example_uses_the_moving_statistics():
    x = numbers(64, 3) * [1, 5, 20] + 10
    ours, theirs = BatchNormalization(momentum=0.5), layers.BatchNormalization(momentum=0.5)
    for _ in range(6):
        # more than one example: as in Keras, to the last bit
        np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))
    before = [np.array(weight) for weight in ours.weights]
    one = ours(x[:1], training=True)
    np.testing.assert_array_equal(one, ours(x[:1], training=False))
    assert np.abs(np.asarray(one)).max() > 0.1, "one example is not its own mean"
    for weight, value in zip(ours.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_last_batch_of_one_example_does_not_spoil_the_training():
    keras.utils.set_random_seed(0)
    model = zoo.get("mlp", input_shape=(4,), num_classes=2, hidden=(16,), batch_norm=True)
    x = numbers(33, 4)
    y = (x[:, 0] > 0).astype("int64")
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(x, y, batch_size=32, epochs=30, verbose=0)
    assert model.get_layer("norm_1").moving_variance.numpy().min() > 0.01
    assert (model.predict(x, verbose=0)["logits"].argmax(-1) == y).mean() > 0.9


class Doubled(keras.Model):
    """A model of a plug-in whose `call` does more than its layers."""

    def call(self, inputs, training=None, mask=None):
        outputs = super().call(inputs, training=training, mask=mask)
        return {"logits": 2 * outputs["logits"]}


def test_the_features_and_the_logits_come_of_one_call():
    model, x = zoo.get("mlp", input_shape=(3,), hidden=(4,)), {"features": numbers(5, 3)}
    outputs = expose_features(model)(x)
    head = model.get_layer("head")
    np.testing.assert_allclose(head(outputs["features"]), outputs["logits"], atol=1e-6)
    np.testing.assert_allclose(model(x)["logits"], outputs["logits"], atol=1e-6)
    doubled = Doubled(model.input, model.output)
    assert set(expose_features(doubled)(x)) == {"features", "logits"}
    np.testing.assert_allclose(
        expose_features(doubled)(x)["logits"], 2 * outputs["logits"], atol=1e-6
    )
