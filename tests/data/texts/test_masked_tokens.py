"""Masked tokens: which, how many, and by what they are replaced."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.data.spec import Tokenizer
from zoo.data.texts.masked_tokens import find_mask_token, mask_tokens

WORDS = Tokenizer("words", ("", "[UNK]", "[SEP]", *(f"w{i}" for i in range(500))), 100)
PIECES = Tokenizer("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"), 100)


def make_tokens(rows=400, length=100):
    """Texts of 10 to `length` words, with an unknown and a separating token in each."""
    random = np.random.default_rng(0)
    tokens = random.integers(3, 503, (rows, length)).astype("int32")
    tokens[:, 2], tokens[:, 5] = 1, 2
    lengths = random.integers(10, length + 1, rows)
    tokens[np.arange(length) >= lengths[:, None]] = 0
    return tokens


def test_shares_of_the_paper():
    tokens = make_tokens()
    inputs, positions, targets, weights = map(
        np.asarray, mask_tokens(tf.constant(tokens), WORDS, tf.constant([1, 2], tf.int64))
    )
    regular = (tokens > 2).sum(axis=1)
    np.testing.assert_array_equal(weights.sum(axis=1), np.maximum(np.round(0.15 * regular), 1))
    chosen = weights == 1
    rows = np.nonzero(chosen)[0]
    places = positions[chosen]
    np.testing.assert_array_equal(targets[chosen], tokens[rows, places])
    assert (targets[chosen] > 2).all(), "special tokens are not masked"
    assert len({*zip(rows, places, strict=True)}) == len(rows), "each position once"
    untouched = np.ones_like(tokens, bool)
    untouched[rows, places] = False
    np.testing.assert_array_equal(inputs[untouched], tokens[untouched])
    shown = inputs[rows, places]
    assert (shown == find_mask_token(WORDS)).mean() == pytest.approx(0.8, abs=0.03)
    # one random token in 500 is the token itself
    assert (shown == targets[chosen]).mean() == pytest.approx(0.1 + 0.1 / 500, abs=0.02)
    others = shown[(shown != 1) & (shown != targets[chosen])]
    assert (others > 2).all() and len({*others.tolist()}) > 150
    # positions are drawn from the whole text
    assert places.mean() == pytest.approx(np.nonzero(tokens > 2)[1].mean(), rel=0.05)


def test_the_seed_decides():
    tokens = tf.constant(make_tokens(20))
    first, again, other = (
        mask_tokens(tokens, WORDS, tf.constant([7, seed], tf.int64)) for seed in (0, 0, 1)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_texts_without_regular_tokens():
    tokens = tf.constant([[2, 3, 0, 0], [2, 5, 3, 0]])
    inputs, positions, targets, weights = mask_tokens(tokens, PIECES, tf.constant([0, 0], tf.int64))
    np.testing.assert_array_equal(inputs[0], tokens[0])
    np.testing.assert_array_equal(weights, [[0], [1]])
    assert positions.numpy()[1] == [1] and targets.numpy()[1] == [5]
    assert find_mask_token(PIECES) == 4 and find_mask_token(WORDS) == 1
