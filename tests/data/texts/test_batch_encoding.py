"""The fast way from texts to tokens gives those of the graph that is exported."""

import dataclasses
import string

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.spec import Tokenizer
from zoo.data.texts.batch_encoding import count_tokens, make_batch_encoder, split_batch
from zoo.data.texts.plain_texts import (
    has_plain_words,
    make_plain_table,
    separate_plain_parts,
    split_plain_part,
)
from zoo.data.texts.text_encoding import make_encoder, split_texts

WORDS = Tokenizer(
    "words", ("", "[UNK]", "[SEP]", "a", "film", "don't", "<"), 6, normalization="nfkc"
)
PIECES = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "film",
    "##s",
    "##m",
    "fil",
    "'",
    "<",
    "&",
)
TOKENIZERS = {
    "words": WORDS,
    "words and marks": dataclasses.replace(WORDS, punctuation=True),
    "case": dataclasses.replace(WORDS, lowercase=False),
    "bigrams": dataclasses.replace(
        WORDS, kind="bigrams", vocabulary=(*WORDS.vocabulary, "a film"), punctuation=True
    ),
    "wordpiece": Tokenizer("wordpiece", PIECES, 8, normalization="bert"),
    "cased wordpiece": Tokenizer("wordpiece", PIECES, 8, False, normalization="bert"),
}
PARTS = [
    *(chr(i) for i in range(128)),
    *(
        "film",
        "films",
        "don't",
        "''",
        "' ",
        "<br />",
        "<BR>",
        "<br",
        "<br &gt;",
        "</br>",
        "<b>",
        "<!--",
        "-->",
    ),
    *(
        "&amp;",
        "&",
        "&#39;",
        "&x",
        ";",
        "\r\n",
        "[SEP]",
        "a film",
        "\u00e9",
        "\u2019",
        "\u6f22",
        "\u0301",
        "\u0338",
    ),
    *("\u00c9t\u00e9", "\u00a0", "\u03a3", "\U0001f600", "\u3000", "\x85", "\u200b", "caf\u00e9's"),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, min_size=2, max_size=40))
def test_ids_are_those_of_the_graph(name, texts):
    tokenizer = TOKENIZERS[name]
    encode, encode_batch = make_encoder(tokenizer)[0], make_batch_encoder(tokenizer)
    single = np.array(texts, object)
    np.testing.assert_array_equal(encode_batch(single), encode(tf.constant(texts)))
    pairs = np.stack([single, single[::-1]], axis=1)
    uncut, _ = make_encoder(dataclasses.replace(tokenizer, length=1000))
    for batch, columns in ((single, [texts]), (pairs, [texts, texts[::-1]])):
        counts = np.count_nonzero(uncut(*map(tf.constant, columns)), axis=1)
        np.testing.assert_array_equal(count_tokens(batch, tokenizer), counts)
    np.testing.assert_array_equal(
        encode_batch(pairs), encode(tf.constant(texts), tf.constant(texts[::-1]))
    )
    if tokenizer.kind != "wordpiece":
        words = split_texts(tf.constant(texts), tokenizer).to_list()
        assert split_batch(single, tokenizer) == words
        assert split_batch(np.array([x.encode() for x in texts], object), tokenizer) == words


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, min_size=2, max_size=40))
def test_windows_are_those_of_the_graph(texts):
    tokenizer = dataclasses.replace(TOKENIZERS["wordpiece"], window=4)
    expected = make_encoder(tokenizer)[0](tf.constant(texts))
    np.testing.assert_array_equal(make_batch_encoder(tokenizer)(np.array(texts, object)), expected)


def test_every_ascii_character_alone_and_between_letters():
    texts = [chr(i) for i in range(128)] + [f"a{chr(i)}b" for i in range(128)]
    for tokenizer in TOKENIZERS.values():
        plain = [text for text in texts if separate_plain_parts(text, tokenizer)]
        assert len(plain) >= len(texts) - 2  # without "<"
        given = make_batch_encoder(tokenizer)(np.array(texts, object))
        np.testing.assert_array_equal(given, make_encoder(tokenizer)[0](tf.constant(texts)))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A film!", [b"A film!"]),
        (
            "the caf\u00e9, and\t\u00fcber \u6f22",
            [
                b"the ",
                "caf\u00e9,".encode(),
                b" and ",
                "\u00fcber".encode(),
                b" ",
                "\u6f22".encode(),
                b"",
            ],
        ),
        (b"a\xff b", [b"", b"a\xff", b" b"]),
        ("one<br />two <BR>", [b"one two  "]),
        ("a <i>film</i>", None),
        ("&eacute;t&eacute;", None),
        ("<script>x <br> y</script>", None),
        ("<br title='a&gt;b'>", None),
        ("", [b""]),
    ],
)
def test_parts_of_texts(text, parts):
    assert separate_plain_parts(text, WORDS) == parts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("words", "it's fine q a 10 10"),
        ("words and marks", "it's fine q & a ( 10 / 10 )"),
        ("case", "It's fine Q A 10 10"),
        ("wordpiece", "it ' s ' fine ' q & a ( 10 / 10 )"),
    ],
)
def test_words_of_plain_texts(name, words):
    tokenizer = TOKENIZERS[name]
    table = make_plain_table(tokenizer)
    given = split_plain_part(b"It's 'fine'\r\nQ & A (10/10)\x00", tokenizer, table)
    assert given == words.encode().split()


def test_other_tokenizers_are_left_to_the_graph():
    assert all(map(has_plain_words, TOKENIZERS.values()))
    old = dataclasses.replace(WORDS, normalization="")
    letters = Tokenizer(
        "characters", ("", "[UNK]", "[SEP]", *string.ascii_lowercase), 9, normalization="nfkc"
    )
    texts = np.array(["A film!", "", "<b>caf\u00e9</b>"], object)
    for tokenizer in (old, letters):
        assert not has_plain_words(tokenizer)
        given = make_batch_encoder(tokenizer)(texts)
        np.testing.assert_array_equal(given, make_encoder(tokenizer)[0](tf.constant(texts)))
        assert split_batch(texts, tokenizer) == split_texts(tf.constant(texts), tokenizer).to_list()
