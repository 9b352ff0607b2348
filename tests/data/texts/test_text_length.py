"""How many tokens of a text are read: the default, truncated texts, and windows."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.text_folders import write_text_folder

from zoo.data.config import DataConfig
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.text_length import limit_length
from zoo.data.texts.tokenizer_settings import (
    Tokenizer,
    divide_into_windows,
    tokenizer_from_record,
    tokenizer_to_record,
)
from zoo.errors import UserError

TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh")
PIECES = Tokenizer("wordpiece", TOKENS, 0)
LENGTHS = np.array([10] * 19 + [700])


def limit(lengths=LENGTHS, tokenizer=PIECES, **settings):
    return limit_length(tokenizer, lengths, DataConfig(**settings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_text_folder(tmp_path_factory.mktemp("encoder") / "a", "roberta"))


def test_by_default_most_texts_are_read_to_their_end():
    tokenizer, (note,) = limit()
    assert tokenizer.length == 48 and "1 of 20 training texts are longer" in note
    assert "--length sets another limit, the longest has 700" in note
    tokenizer, (note,) = limit(np.full(9, 700))
    assert tokenizer.length == 512 and "--long_texts=windows reads them to their end" in note


def test_the_positions_of_a_preset_are_the_most(folder):
    tokenizer, (note,) = limit(np.full(9, 700), preset=folder)
    assert tokenizer.length == 38 and "lose their end: --long_texts=windows" in note
    # a length of more is for the model to refuse, unless it was said what to do
    assert limit(preset=folder, length=100)[0].length == 100
    tokenizer, notes = limit(preset=folder, length=100, long_texts="truncate")
    assert tokenizer.length == 38
    assert notes[0] == "--length=100: the encoder has positions for 38 tokens"


def test_windows_reach_the_end_of_the_longest_text(folder):
    tokenizer, (note, cut) = limit(preset=folder, long_texts="windows")
    # 38 positions have place for 36 tokens: 16 windows are the most, and leave 122 tokens out
    assert (tokenizer.window, tokenizer.length, tokenizer.length // 38) == (38, 608, 16)
    assert note == (
        "texts of more than 38 tokens are read in up to 16 windows of 38, whose logits are "
        "averaged: 1 of 20 training texts are longer"
    )
    assert "longer than 578 tokens" in cut
    tokenizer, (_, cut) = limit(preset=folder, long_texts="windows", length=700)
    assert tokenizer.length == 20 * 38 and cut == ""
    tokenizer, _ = limit(np.array([75]), preset=folder, long_texts="windows")
    assert tokenizer.length == 3 * 38, "74 tokens fit in two windows"
    assert limit(np.array([74]), preset=folder, long_texts="windows")[0].length == 2 * 38
    # trained weights keep theirs
    assert limit(tokenizer=tokenizer)[0] == tokenizer
    truncated, _ = limit(tokenizer=tokenizer, long_texts="truncate")
    assert (truncated.window, truncated.length) == (0, 38)
    trained = dataclasses.replace(PIECES, length=20)
    assert limit(np.array([38]), trained, long_texts="windows")[0].length == 40


def test_ids_of_windows():
    tokenizer = divide_into_windows(PIECES, 4, 8)
    assert (tokenizer.window, tokenizer.length) == (4, 12)
    assert tokenizer_from_record(tokenizer_to_record(tokenizer)) == tokenizer
    assert "window" not in tokenizer_to_record(PIECES)
    for wrong in ({"window": 5}, {"window": 2}, {"kind": "words", "vocabulary": ["", "[UNK]"]}):
        with pytest.raises(UserError):
            tokenizer_from_record(tokenizer_to_record(tokenizer) | wrong)
    encode, _ = make_encoder(tokenizer)
    expected = [
        [2, 5, 6, 3, 2, 7, 3, 0, 0, 0, 0, 0],
        [2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [2, 5, 6, 3, 2, 7, 8, 3, 2, 9, 10, 3],
    ]
    texts = tf.constant(["a b c", "", "a b c d e f g"])
    np.testing.assert_array_equal(encode(texts), expected)
    np.testing.assert_array_equal(encode(texts[:1]), [expected[0][:8]])
    np.testing.assert_array_equal(encode(texts[1:2]), [expected[1][:4]])
    assert encode(texts[:0]).shape == (0, 4)


def test_pairs_and_windows_without_place_are_refused():
    pairs = Arrays(np.array([["a", "b"]], object), np.array([0]))
    with pytest.raises(UserError, match="these are pairs: choose --long_texts=truncate"):
        tokenize_splits(
            {"train": pairs}, Spec("text_pair", (1,), ("x", "y")), divide_into_windows(PIECES, 4, 8)
        )
    with pytest.raises(UserError, match="windows of 2 wordpiece"):
        divide_into_windows(PIECES, 2, 8)
