"""Texts are divided where no look at their words is needed."""

import dataclasses

import numpy as np
import pytest

from zoo.data.texts.text_chunks import divide_texts
from zoo.data.texts.tokenizer_settings import Tokenizer

WORDS = Tokenizer("words", (), 0, normalization="nfkc")
MARKS = dataclasses.replace(WORDS, punctuation=True)
PIECES = Tokenizer("wordpiece", (), 0, False, normalization="bert")


@pytest.mark.parametrize(
    ("tokenizer", "text", "chunks"),
    [
        (WORDS, "A film, isn't it?", "a film isn't it"),
        (WORDS, "'tis\t(10/10)", "'tis 10 10"),
        (WORDS, "one<br />two", "one two"),
        (WORDS, "The Caf\u00e9, \u00dcber-all A-b", "the Caf\u00e9, \u00dcber-all a b"),
        (MARKS, "A film... (good)!", "a film . . . ( good ) !"),
        (MARKS, "don't \u201cstop!\u201d", "don't \u201cstop!\u201d"),
        (PIECES, "It's 'Fine'", "It ' s ' Fine '"),
        (PIECES, "a\x01b\u00e9! c", "a\x01b\u00e9! c"),
        (WORDS, "", ""),
        (WORDS, " .. ", ""),
    ],
)
def test_chunks(tokenizer, text, chunks):
    texts = np.array(["x", text, "y"], object)
    for batch in (texts, np.array([x.encode() for x in texts], object)):
        given = divide_texts(batch, tokenizer)
        values = [given.values[code].decode() for code in given.codes]
        assert values == ["x", *chunks.split(" " if chunks else None), "y"]
        assert given.counts.tolist() == [1, len(values) - 2, 1]
        assert not given.is_whole.any() and len(set(given.values)) == len(given.values)


def test_texts_that_stay_whole():
    texts = ["a <i>b</i>", "c", "d &amp; e", "f\0g", "h <br> i", "j <br ", "> k"]
    given = divide_texts(np.array(texts, object), WORDS)
    assert given.is_whole.tolist() == [True, False, True, True, False, True, False]
    assert given.counts.tolist() == [0, 1, 0, 0, 2, 0, 1]
    assert not len(divide_texts(np.array([], object), WORDS).codes)
