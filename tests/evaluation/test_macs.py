"""Multiply-adds against counts by hand."""

import keras
import pytest
import tensorflow as tf

import zoo
from zoo.evaluation.macs import count_multiply_adds


def counted(name, shape, **hparams):
    return count_multiply_adds(zoo.get(name, **hparams), shape)


def test_dense():
    assert counted("perceptron", (28, 28, 1)) == 784 * 10
    expected = 784 * 64 + 64 * 32 + 32 * 10
    assert counted("mlp", (28, 28, 1), hidden=(64, 32)) == expected


def test_lenet5():
    """C1 keeps 28 x 28, S2 halves, C3 leaves 10 x 10, S4 5 x 5."""
    c1 = 28 * 28 * 6 * (5 * 5 * 1)
    c3 = 10 * 10 * 16 * (5 * 5 * 6)
    dense = 5 * 5 * 16 * 120 + 120 * 84 + 84 * 10
    assert counted("lenet5", (28, 28, 1)) == c1 + c3 + dense == 416_520


def test_cnn():
    """Convolutions of 3 x 3 without padding: 26, after a pool 11, after another 3."""
    conv = 26 * 26 * 32 * 9 + 11 * 11 * 64 * (9 * 32) + 3 * 3 * 64 * (9 * 64)
    dense = 3 * 3 * 64 * 64 + 64 * 10
    assert counted("cnn", (28, 28, 1), dense=64, filters=(32, 64, 64)) == conv + dense


def test_resnet20():
    """He et al. 2015, section 4.2: 41 million at 32 x 32 and three channels."""
    stem = 32 * 32 * 16 * (9 * 3)
    first = 6 * 32 * 32 * 16 * (9 * 16)
    second = 16 * 16 * 32 * (9 * 16) + 5 * 16 * 16 * 32 * (9 * 32)
    third = 8 * 8 * 64 * (9 * 32) + 5 * 8 * 8 * 64 * (9 * 64)
    expected = stem + first + second + third + 64 * 10
    assert counted("resnet20", (32, 32, 3), input_shape=(32, 32, 3)) == expected
    assert expected / 1e6 == pytest.approx(41, abs=0.5)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_recurrent(cell, gates):
    """Each step multiplies the input and the state with a kernel a gate."""
    tokens, embedding, width = 13, 6, 5
    step = gates * width * (embedding + width)
    hparams = {"embedding": embedding, "width": width}
    one_way = tokens * step + width * 2
    assert counted(cell, (tokens,), bidirectional=False, **hparams) == one_way
    assert counted(cell, (tokens,), **hparams) == 2 * tokens * step + 2 * width * 2
    second = gates * width * (2 * width + width)
    two_layers = 2 * tokens * (step + second) + 2 * width * 2
    assert counted(cell, (tokens,), depth=2, **hparams) == two_layers


@pytest.mark.parametrize("depth", [1, 2])
def test_transformer(depth):
    """Four projections, the scores, the weighted means, and two dense layers, in each encoder."""
    tokens, width, inner = 20, 8, 12
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    encoder = attention + 2 * tokens * width * inner
    hparams = {"width": width, "heads": 2, "feed_forward": inner, "depth": depth}
    found = counted("transformer", (tokens,), input_shape=(tokens,), **hparams)
    assert found == depth * encoder + width * 2


def test_bert():
    tokens, width, inner = 10, 128, 512
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    found = counted("bert", (tokens,), vocabulary_size=30, input_shape=(tokens,))
    assert found == 2 * (attention + 2 * tokens * width * inner) + width * 2


def test_embeddings_and_means_count_nothing():
    assert counted("fasttext", (50,), buckets=10, width=8) == 8 * 2
    windows = sum(50 * 7 * (window * 4) for window in (3, 4, 5))
    assert counted("textcnn", (50,), embedding=4, filters=7) == windows + 3 * 7 * 2


def of_layer(layer, shape):
    x = keras.Input(shape, name="x")
    return count_multiply_adds(keras.Model({"x": x}, {"y": layer(x)}), shape)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Conv2D(6, (3, 2), groups=2), 6 * 7 * 6 * (3 * 2 * 2)),
        (keras.layers.Conv2D(6, 3, strides=2, padding="same"), 4 * 4 * 6 * (9 * 4)),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 8 * 9),
        (keras.layers.SeparableConv2D(5, 3), 6 * 6 * 4 * 9 + 6 * 6 * 4 * 5),
        (keras.layers.Conv2DTranspose(5, 2, strides=2), 8 * 8 * 4 * (2 * 2 * 5)),
        (keras.layers.Dense(3), 8 * 8 * 4 * 3),
        (keras.layers.BatchNormalization(), 0),
        (keras.layers.GlobalAveragePooling2D(), 0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_layers(layer, expected):
    assert of_layer(layer, (8, 8, 4)) == expected


def test_other_ranks():
    assert of_layer(keras.layers.Conv1D(5, 3, padding="causal"), (9, 4)) == 9 * 5 * (3 * 4)
    assert of_layer(keras.layers.Conv3D(2, 2), (4, 4, 4, 3)) == 27 * 2 * (8 * 3)
    assert of_layer(keras.layers.EinsumDense("...x,xy->...y", 7), (3, 5)) == 3 * 5 * 7
    attention = keras.layers.MultiHeadAttention(2, 3)
    projections = 4 * 6 * 5 * (2 * 3)
    assert of_layer(lambda x: attention(x, x), (6, 5)) == projections + 2 * 6 * 6 * (2 * 3)


class Doubling(keras.layers.Layer):
    def call(self, x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 100, lambda y: [y @ tf.eye(4)], [x])[0]

    def compute_output_shape(self, shape):
        return shape


def test_a_loop_without_an_end_in_sight_is_not_counted():
    assert of_layer(Doubling(), (4,)) is None
