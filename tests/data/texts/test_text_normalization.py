"""Normalised texts: Unicode, HTML and invisible characters; BERT's ids as Hugging Face has them."""

import unicodedata

import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.spec import Tokenizer
from zoo.data.texts.text_encoding import make_encoder, split_texts
from zoo.data.texts.text_normalization import normalize_text

WORDS = Tokenizer("words", (), 0, normalization="nfkc")
MARKS = Tokenizer("words", (), 0, normalization="nfkc", punctuation=True)
CHARACTERS = Tokenizer("characters", (), 0, normalization="nfkc")


def split(text, tokenizer=WORDS):
    (tokens,) = split_texts(tf.constant([text]), tokenizer).to_list()
    return [token.decode() for token in tokens]


def normalized(text):
    return normalize_text(tf.constant(text)).numpy().decode()


SPACES = "\u00a0\u1680\u2003\u2009\u202f\u2028\u3000\u2800"


@pytest.mark.parametrize("space", SPACES)
def test_every_space_is_a_space(space):
    for tokenizer in (WORDS, CHARACTERS):
        assert split(f"good{space}film", tokenizer) == split("good film", tokenizer)
    assert split("good\0film\x85x\n\ty") == ["good", "film", "x", "y"]


@pytest.mark.parametrize("code", [0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xFE0F, 0x34F])
def test_invisible_characters_are_no_part_of_words(code):
    for tokenizer in (WORDS, CHARACTERS):
        assert split(f"go{chr(code)}od", tokenizer) == split("good", tokenizer)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("e\u0301te\u0301 e\u0301 n\u0303", "été é ñ"),
        ("\uff21\uff22\uff23 \ufb01ne \uff76\uff9e", "abc fine ガ"),
        ("it\u00b4s it\u2019s \u2018it\u2019", "it's it's it"),
        ("\u00a8so\u00af \u0301x", "so x"),
        ("don&#39;t &quot;go&quot;&nbsp;now &amp;quot;x&amp;quot;", "don't go now x"),
        ("caf&eacute; &Uuml;ber Stra&szlig;e so&shy;ft", "café über straße soft"),
        ("&#9731; x &hellip; AT&T", "x at t"),
        ("<p class='a'>one</p><BR/>two <a href=\"x?y=1\">three</a><!-- no -->", "one two three"),
        ("<style>p {x: y}</style>a < b > c <3 <user> &lt;br&gt;d", "a b c 3 user d"),
        ("great😡😠 👍🏽 👨\u200d👩\u200d👧 🇩🇪🇫🇷 ❤\ufe0f", "great 😡 😠 👍 🏽 👨 👩 👧 🇩🇪 🇫🇷 ❤"),
        ("这部good。 ไทย カー", "这 部 good ไ ท ย カ ー"),
    ],
)  # fmt: skip
def test_words(given, words):
    assert split(given) == words.split()


def test_punctuation_marks_are_words_if_the_tokenizer_has_them():
    assert split(":-) don't!?", MARKS) == [":", "-", ")", "don't", "!", "?"]
    assert split(":-) don't!?") == ["don't"]


def test_case_is_kept_if_the_tokenizer_does_not_lowercase():
    assert split("Good ÉTÉ", Tokenizer("words", (), 0, False, "nfkc")) == ["Good", "ÉTÉ"]


# without what the rules for HTML, apostrophes and spaces change
PLAIN = st.characters(
    max_codepoint=0xFFFF,
    exclude_categories=("C", "Z"),
    exclude_characters="&<>\u00b4\u2018\u2019\u02bc",
)


@settings(max_examples=60, deadline=None)
@given(st.text(PLAIN, max_size=20))
def test_texts_are_in_nfkc(text):
    removed = [
        0x34F,
        0x115F,
        0x1160,
        0x3164,
        0xFFA0,
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
    ]
    text = text.translate(dict.fromkeys(removed)).replace("\u2800", " ")
    assert normalized(text) == unicodedata.normalize("NFKC", text)


PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b", "##c", "A"),
    *("gro", "##ß", "ß", "ss", "é", "e", "É", "\u03c3", "\u03c2", "##\u03c3", "##\u03c2"),
    *("한", "\u1112", "##\u1161", "##\u11ab", "日", "good", "film", "!", "€", "naive"),
]
SETTINGS = [(True, None), (False, None), (True, False), (False, True)]


def compare_with_hugging_face(texts, vocabulary, lowercase, strip_accents):
    ids = {token: i for i, token in enumerate(vocabulary)}
    theirs = tokenizers.BertWordPieceTokenizer(
        ids, lowercase=lowercase, strip_accents=strip_accents
    )
    settings = {"normalization": "bert", "strip_accents": strip_accents}
    ours, _ = make_encoder(Tokenizer("wordpiece", tuple(vocabulary), 2**20, lowercase, **settings))
    for text, row in zip(texts, ours(tf.constant(texts)).numpy().tolist(), strict=True):
        assert [i for i in row if i] == theirs.encode(text).ids, ascii(text)


@pytest.mark.parametrize(("lowercase", "strip_accents"), SETTINGS)
def test_ids_are_those_of_hugging_face(lowercase, strip_accents):
    """With a letter of every block, alone and between others."""
    texts = [
        *("good\u00a0film\u2003a\u2028b\u3000c", "\ufeffa\u200bb a\u00adb", "a\0b\x07c\tb\nc"),
        *("groß GROSS Straße", "\u03a3\u039f\u03a3 \u03c3\u03c2", "한국어", "naïve É é", "a日b本"),
        *("a!b€c", "a" * 101, ""),
        *(f"a{chr(code)}b {chr(code)}" for code in range(0x20, 0x590, 7)),
        *(f"a{chr(code)}b" for code in range(0x2000, 0x2070)),
        *(f"a{chr(code)}b" for code in range(0x3000, 0xD000, 97)),
    ]
    compare_with_hugging_face(texts, PIECES, lowercase, strip_accents)


@pytest.mark.minilm
def test_ids_of_minilm_are_those_of_hugging_face(minilm):
    with open(f"{minilm}/vocab.txt", encoding="utf-8") as file:
        vocabulary = file.read().split("\n")[:-1]
    random = tf.random.stateless_uniform((400, 12), (0, 1), 33, 0x2FF, tf.int32).numpy()
    texts = [" ".join(map(chr, row)) + "".join(map(chr, row)) for row in random]
    compare_with_hugging_face(
        [*texts, "It's 5\u00a0€, isn\u2019t it? 日本語"], vocabulary, True, None
    )
