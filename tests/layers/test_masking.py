"""The arithmetic of the text models against NumPy written from the formulas.

NumPy reads each text on its own and without padding, so that no padding may show in a model.
"""

import itertools
import math

import keras
import numpy as np
import pytest

import zoo
from zoo.layers.masking import count_tokens, gather_at, masked_max, masked_mean, reverse_tokens
from zoo.layers.transformer_encoder import scaled_dot_product

LENGTHS = (7, 1, 4, 2)
MASK = np.arange(7) < np.array(LENGTHS)[:, None]
TOKENS = np.where(MASK, np.random.default_rng(0).integers(1, 30, MASK.shape), 0).astype("int32")
TEXTS = [row[:length] for row, length in zip(TOKENS, LENGTHS, strict=True)]
RECURRENT = {"vocabulary_size": 30, "embedding": 5, "width": 4}
TRANSFORMER = {"input_shape": (9,), "vocabulary_size": 30, "width": 8, "heads": 2}


def drawn(name, scale=1.0, **arguments):
    """A small model of that name whose weights, biases among them, are all normal numbers."""
    model, random = zoo.get(name, num_classes=3, dropout=0.0, **arguments), np.random.default_rng(1)
    model.set_weights([random.normal(0, scale, w.shape) for w in model.get_weights()])
    return model


def layer_of(model, name):
    """The layer's weights in float64, in Keras' order."""
    weights = model.get_layer(name).weights
    return [keras.ops.convert_to_numpy(w).astype("float64") for w in weights]


def parts_of(model, name):
    """The same by the end of their paths, such as query/kernel."""
    paths = ["/".join(w.path.split("/")[-2:]) for w in model.get_layer(name).weights]
    return dict(zip(paths, layer_of(model, name), strict=True))


def value_of(model, tensor):
    return keras.ops.convert_to_numpy(keras.Model(model.input, tensor)({"tokens": TOKENS}))


def assert_close(given, expected):
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


def assert_rows_close(given, rows):
    """Of each text only its own tokens are compared."""
    for full, row in zip(given, rows, strict=True):
        assert_close(full[: len(row)], row)


def assert_logits(model, pooled, tokens=TOKENS):
    kernel, bias = layer_of(model, "head")
    assert_close(model({"tokens": tokens})["logits"], np.array(pooled) @ kernel + bias)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def read_rnn(x, kernel, recurrent, bias):
    """h' = tanh(x W + h U + b)."""
    h, states = np.zeros(len(recurrent)), []
    for x_t in x:
        h = np.tanh(x_t @ kernel + h @ recurrent + bias)
        states.append(h)
    return np.array(states)


def read_lstm(x, kernel, recurrent, bias):
    """c' = f c + i tanh(...), h' = o tanh(c'), with the gates i, f, o sigmoids of x W + h U + b."""
    h, c, states = np.zeros(len(recurrent)), np.zeros(len(recurrent)), []
    for x_t in x:
        i, f, candidate, o = np.split(x_t @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def read_gru(x, kernel, recurrent, bias):
    """h' = z h + (1 - z) tanh(x W + b + r (h U + b')), with gates z, r = sigmoid(both sums)."""
    h, states = np.zeros(len(recurrent)), []
    for x_t in x:
        z_x, r_x, x_part = np.split(x_t @ kernel + bias[0], 3)
        z_h, r_h, h_part = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
        h = z * h + (1 - z) * np.tanh(x_part + r * h_part)
        states.append(h)
    return np.array(states)


READERS = {"rnn": read_rnn, "lstm": read_lstm, "gru": read_gru}


@pytest.mark.parametrize("name", READERS)
def test_recurrent_layers_token_by_token(name):
    """The backward one reads each text from its own end."""
    model, read = drawn(name, **RECURRENT), READERS[name]
    (table,) = layer_of(model, "embedding")
    for layer, step in ((f"{name}_1", 1), (f"{name}_1_backward", -1)):
        expected = [read(table[text[::step]], *layer_of(model, layer)) for text in TEXTS]
        assert_rows_close(value_of(model, model.get_layer(layer).output), expected)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_lstm_layers_through_to_logits(bidirectional, pooling):
    model = drawn("lstm", depth=2, bidirectional=bidirectional, pooling=pooling, **RECURRENT)
    (table,), pooled = layer_of(model, "embedding"), []
    for text in TEXTS:
        x = table[text]
        for layer in ("lstm_1", "lstm_2"):
            read = [read_lstm(x, *layer_of(model, layer))]
            if bidirectional:
                read.append(read_lstm(x[::-1], *layer_of(model, f"{layer}_backward"))[::-1])
            x = np.concatenate(read, axis=1)
        ends = [read[0][-1], *(backward[0] for backward in read[1:])]
        pooled.append({"last": np.concatenate(ends), "mean": x.mean(0), "max": x.max(0)}[pooling])
    assert_logits(model, pooled)


def normalise(x, gamma, beta):
    """Ba, Kiros and Hinton 2016: over the features of each token."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def project(x, w, name, head):
    return x @ w[f"{name}/kernel"][:, head] + w[f"{name}/bias"][head]


def attention_weights(x, w, head):
    """softmax(Q K^T / sqrt(d_k)): Vaswani et al. (1)."""
    q, k = project(x, w, "query", head), project(x, w, "key", head)
    scores = np.exp(q @ k.T / np.sqrt(q.shape[-1]))
    return scores / scores.sum(-1, keepdims=True)


def attend(x, w):
    """Section 3.2.2: the heads side by side times W_O, which is a sum over heads."""
    y = w["attention_output/bias"]
    for head, output_kernel in enumerate(w["attention_output/kernel"]):
        y = y + attention_weights(x, w, head) @ project(x, w, "value", head) @ output_kernel
    return y


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    """Hendrycks and Gimpel 2016: x times the normal distribution function of x."""
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def encode(x, w, norm, activation):
    def normed(x, name):
        return normalise(x, w[f"{name}_norm/gamma"], w[f"{name}_norm/beta"])

    def dense(x, name):
        return x @ w[f"feedforward_{name}/kernel"] + w[f"feedforward_{name}/bias"]

    def feed_forward(x):
        return dense(activation(dense(x, "intermediate_dense")), "output_dense")

    if norm == "pre":
        x = x + attend(normed(x, "self_attention_layer"), w)
        return x + feed_forward(normed(x, "feedforward_layer"))
    x = normed(x + attend(x, w), "self_attention_layer")
    return normed(x + feed_forward(x), "feedforward_layer")


def embedded(model):
    """Each text's embeddings with learned positions."""
    (table,), (positions,) = layer_of(model, "embedding"), layer_of(model, "positions")
    return [table[text] + positions[: len(text)] for text in TEXTS]


def test_layer_normalisation():
    model = drawn("transformer", **TRANSFORMER)
    x = np.random.default_rng(2).normal(0, 0.01, (4, 7, 8))  # so small that epsilon shows
    assert_close(model.get_layer("norm")(x), normalise(x, *layer_of(model, "norm")))


def test_attention_weights_and_none_for_padding():
    model = drawn("transformer", norm="post", **TRANSFORMER)
    x = np.random.default_rng(2).normal(size=(4, 7, 8)).astype("float32")
    w = parts_of(model, "encoder_1")
    query, key = (
        np.stack([project(x, w, part, head) for head in (0, 1)], 1).astype("float32")
        for part in ("query", "key")
    )
    # with one-hot values what is read are the weights
    values = np.broadcast_to(np.eye(7, dtype="float32"), (4, 2, 7, 7))
    hidden = np.where(MASK, 0, -1e9).astype("float32")[:, None, None]
    given = scaled_dot_product(query / 2, key, values, hidden).numpy()
    for scores, row, length in zip(given, x, LENGTHS, strict=True):
        expected = [attention_weights(row[:length], w, head) for head in (0, 1)]
        assert_close(scores[:, :length, :length], expected)
        np.testing.assert_array_equal(scores[:, :, length:], 0)


@pytest.mark.parametrize("scale", [1, 0.1])  # of the weights: epsilon shows at 0.1
@pytest.mark.parametrize("activation", [relu, gelu])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_layer(norm, activation, scale):
    model = drawn("transformer", scale, norm=norm, activation=activation.__name__, **TRANSFORMER)
    w = parts_of(model, "encoder_1")
    expected = [encode(x, w, norm, activation) for x in embedded(model)]
    assert_rows_close(value_of(model, model.get_layer("encoder_1").output), expected)


@pytest.mark.parametrize(("norm", "pooling"), [("pre", "mean"), ("post", "max")])
def test_two_encoder_layers_through_to_logits(norm, pooling):
    model, pooled = drawn("transformer", norm=norm, pooling=pooling, depth=2, **TRANSFORMER), []
    for x in embedded(model):
        for layer in ("encoder_1", "encoder_2"):
            x = encode(x, parts_of(model, layer), norm, relu)
        x = normalise(x, *layer_of(model, "norm")) if norm == "pre" else x
        pooled.append(x.mean(0) if pooling == "mean" else x.max(0))
    assert_logits(model, pooled)


def test_sinusoidal_positions_are_added_to_scaled_embeddings():
    model = drawn("transformer", positions="sinusoidal", **TRANSFORMER)
    angles = np.arange(7)[:, None] / 10_000 ** (2 * np.arange(4) / 8)
    positions = np.zeros((7, 8))
    positions[:, 0::2], positions[:, 1::2] = np.sin(angles), np.cos(angles)
    (table,), (given, _) = layer_of(model, "embedding"), model.get_layer("encoder_1").input
    assert_close(value_of(model, given), table[TOKENS] * np.sqrt(8) + positions)


def test_learned_positions_are_added_to_embeddings():
    model = drawn("transformer", **TRANSFORMER)
    given, _ = model.get_layer("encoder_1").input
    assert_rows_close(value_of(model, given), embedded(model))


def test_fasttext_is_the_mean_of_words_and_hashed_pairs():
    model, pooled = drawn("fasttext", vocabulary_size=1000, width=5, buckets=50), []
    (words,), (pairs,) = layer_of(model, "words"), layer_of(model, "pairs")
    for text in TEXTS:
        ids = [33 * int(token) for token in text]  # to 957, so that hashes pass 2^32
        hashes = [(a * 116_049_371 + b) % 2**32 % 50 for a, b in itertools.pairwise(ids)]
        pooled.append(np.mean([*words[ids], *(pairs[i] for i in hashes)], axis=0))
    assert_logits(model, pooled, 33 * TOKENS)


def test_textcnn_is_the_largest_value_of_each_filter():
    model = drawn("textcnn", vocabulary_size=30, embedding=5, windows=(2, 3, 4), filters=6)
    (table,), pooled = layer_of(model, "embedding"), []
    for text in TEXTS:
        largest = []
        for size in (2, 3, 4):
            kernel, bias = layer_of(model, f"conv_{size}")
            before, after = (size - 1) // 2, size // 2
            x = np.pad(table[text], ((before, after), (0, 0)))
            windows = [x[i : i + size, :, None] for i in range(len(text))]
            largest.append(np.max([relu(np.sum(w * kernel, (0, 1)) + bias) for w in windows], 0))
        pooled.append(np.concatenate(largest))
    assert_logits(model, pooled)


def test_sequence_functions_on_ragged_rows():
    x = -np.random.default_rng(3).uniform(1, 2, (*MASK.shape, 3)).astype("float32")
    x[~MASK] = 100  # above all else, so that padding shows
    rows = [row[:length] for row, length in zip(x, LENGTHS, strict=True)]
    np.testing.assert_array_equal(count_tokens(MASK), LENGTHS)
    assert_close(masked_mean(x, MASK), [row.mean(0) for row in rows])
    np.testing.assert_array_equal(masked_max(x, MASK), [row.max(0) for row in rows])
    last = gather_at(x, count_tokens(MASK) - 1)
    np.testing.assert_array_equal(last, [row[-1] for row in rows])
    for given, row in zip(reverse_tokens(x, MASK), rows, strict=True):
        np.testing.assert_array_equal(given[: len(row)], row[::-1])
        np.testing.assert_array_equal(given[len(row) :], 100)
