"""Tokens by the side of their ids."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.attributions.tokens import join_tokens, read_tokens
from zoo.data.spec import Tokenizer
from zoo.data.texts.text_encoding import make_encoder

WORDS = ("", "[UNK]", "[SEP]", "a", "fine", "film")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "!")


def read(tokenizer, *texts):
    tensors = [tf.constant(text) for text in texts]
    ids = make_encoder(tokenizer)[0](*tensors)
    tokens = read_tokens(ids, tensors, tokenizer)
    assert tokens.shape == ids.shape
    return [[token.decode() for token in row] for row in tokens.numpy()]


@pytest.mark.parametrize(
    ("tokenizer", "texts", "expected"),
    [
        (
            Tokenizer("words", WORDS, 4, normalization="nfkc"),
            [["A fine, Größe!", "a a a a fine", ""]],
            [["a", "fine", "größe", ""], ["a"] * 4, ["[UNK]", "", "", ""]],
        ),
        (
            Tokenizer("words", WORDS, 6),
            [["a fine film", "", "a a a a a"], ["dull", "a", "film fine play dull"]],
            [
                ["a", "fine", "film", "[SEP]", "dull", ""],
                ["[SEP]", "a", "", "", "", ""],
                ["a", "a", "a", "[SEP]", "film", "fine"],
            ],
        ),
        (Tokenizer("characters", WORDS, 9, lowercase=False), [["Ab a"]], [["A", "b", " ", "a"]]),
        (
            Tokenizer("wordpiece", PIECES, 9, normalization="bert"),
            [["a films!"], ["xx"]],
            [["[CLS]", "a", "film", "##s", "!", "[SEP]", "[UNK]", "[SEP]"]],
        ),
    ],
)
def test_tokens_are_those_that_the_model_reads(tokenizer, texts, expected):
    assert read(tokenizer, *texts) == expected


def test_pieces_are_joined_to_words():
    tokens = ["[CLS]", "film", "##s", "##!", "a", "[SEP]", ""]
    words, sums = join_tokens(tokens, np.arange(7, dtype="float32"))
    assert words == ("[CLS]", "films!", "a", "[SEP]")
    assert sums.tolist() == [0, 6, 4, 5] and sums.dtype == np.float32
    tokens = ["a", "a fine", "fine", "fine film", "film", "[SEP]", "so", "so cut"]
    words, sums = join_tokens(tokens, np.array([1, 2, 4, 8, 16, 32, 64, 128], "float32"))
    assert words == ("a", "fine", "film", "[SEP]", "so")
    assert sums.tolist() == [2, 9, 20, 32, 192]
    # a text of words may have the same signs
    words, _ = join_tokens(["c", "##s"], np.ones(2, "float32"))
    assert words == ("c", "##s")
