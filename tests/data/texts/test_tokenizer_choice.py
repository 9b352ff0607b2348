"""Which tokenizer the training texts ask for, and what the user is told of it."""

import random

import numpy as np
import pytest

from zoo.data.config import DataConfig
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data
from zoo.data.texts.tokenizer_choice import make_tokenizer, survey_words
from zoo.data.texts.tokenizers import make_preset_tokenizer
from zoo.errors import UserError
from zoo.evaluation.datasets import encode_split
from zoo.models.presets.preset_vocabulary import PresetVocabulary


def arrays(texts):
    return Arrays(np.array(texts, object), np.arange(len(texts)) % 2)


def draw(letters, count=60, length=8, joint=""):
    generator = random.Random(0)
    return [joint.join(generator.choices(letters, k=length)) for _ in range(count)]


ENGLISH = draw(("the", "film", "was", "good", "bad", "and", "I", "saw", "it"), joint=" ")


def chosen(texts, validation=None, **settings):
    config = DataConfig(text=("text",), **settings)
    return make_tokenizer(
        arrays(texts), arrays(texts if validation is None else validation), config
    )


def test_words_where_words_carry_the_texts():
    assert survey_words(arrays(ENGLISH)).words == 8
    for texts in (
        ENGLISH,
        draw(["좋은", "나쁜", "영화", "배우"], joint=" "),
        draw(["yes", "no", "maybe"], length=1),
    ):
        tokenizer, notes = chosen(texts)
        assert (tokenizer.kind, tokenizer.normalization, notes) == ("words", "nfkc", ())


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (draw("电影演员故事音乐"), "a script without spaces"),
        (draw("映画はとても面白かったカメラ"), "a script without spaces"),
        (draw("ภาพยนตร์เรื่องนี้ดี"), "a script without spaces"),
        (draw("ACGT", length=30), "100% of them are in one text alone"),
    ],
)
def test_characters_where_words_do_not(texts, reason):
    tokenizer, (note,) = chosen(texts)
    assert tokenizer.kind == "characters" and len(tokenizer.vocabulary) < 30
    assert reason in note and note.endswith("--tokenizer=words for words")
    assert chosen(texts, tokenizer="words")[0].kind == "words"


def test_a_minority_without_spaces_is_split_into_letters():
    tokenizer, notes = chosen([*ENGLISH, *draw("电影演员故事音乐", count=20)])
    assert tokenizer.kind == "words" and {"film", "电", "影"} <= set(tokenizer.vocabulary)
    assert notes == ()


def test_emoji_and_punctuation_are_tokens_where_they_carry_the_text():
    tokenizer, notes = chosen(draw("😡😠👎😀😍", length=4))
    assert set(tokenizer.vocabulary[3:]) == set("😡😠👎😀😍") and notes == ()
    for kind in ("auto", "words"):
        tokenizer, (note,) = chosen([*ENGLISH, *draw(":-()", count=20)], tokenizer=kind)
        assert tokenizer.punctuation and {":", "-", "(", ")", "film"} < set(tokenizer.vocabulary)
        assert "25% of the training texts have no words" in note
    assert "!" not in chosen([text + "!" for text in ENGLISH])[0].vocabulary


def test_case_is_kept_on_request():
    kept = chosen(["Good Film", "good film"] * 9, lowercase=False)[0]
    assert not kept.lowercase and {"Good", "good"} < set(kept.vocabulary)
    kept = chosen(["Good Film", "good film"] * 9, lowercase=False, tokenizer="wordpiece")[0]
    assert "G" in kept.vocabulary and not kept.lowercase


@pytest.mark.parametrize("length", [None, 4])
def test_texts_that_are_cut_are_counted(length):
    texts = ["a " * 3] * 97 + ["a " * 50] * 3
    tokenizer, (note,) = chosen(texts, length=length)
    assert tokenizer.length == (length or 8)
    assert note == (
        f"3 of 100 training texts are longer than {length or 8} tokens and lose their end: "
        "--length sets another limit, the longest has 50"
    )


def test_validation_texts_of_unknown_tokens_are_told():
    tokenizer, (note,) = chosen(ENGLISH, ["ein guter Film", "sehr schlecht"])
    assert note.startswith("80% of the tokens of the validation texts are not in the vocabulary")
    assert "--tokenizer=characters" in note
    assert chosen(ENGLISH, ["the film", "the unknown"])[1] == ()
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film")
    tokenizer = make_preset_tokenizer(PresetVocabulary(pieces, lowercase=True))
    (note,) = chosen(["film"] * 9, ["film ein", "guter"], tokenizer=tokenizer)[1]
    assert note == (
        "67% of the tokens of the validation texts are not in the vocabulary, and look the same to "
        "the model: train without --weights, or from a model of the same language"
    )


def test_scored_texts_of_unknown_tokens_are_told():
    tokenizer, _ = chosen(ENGLISH)
    spec = Spec("text", (), ("no", "yes"))
    splits = [arrays(ENGLISH[:4]), arrays(ENGLISH[:4]), arrays(["sehr gut"] * 4)]
    data = Data("t", "", spec, *splits, {})
    for split, count in (("test", 1), ("train", 0)):
        notes = encode_split(data, split, spec, tokenizer, None)[0].notes
        assert len(notes) == count, notes
    assert encode_split(data, "test", spec, tokenizer, None)[0].notes == (
        "100% of the tokens of the scored texts are not in the vocabulary, and look the same to "
        "the model: score the model on texts like those it was trained on",
    )


def test_a_given_tokenizer_is_used_as_it_is():
    old = Tokenizer("words", ("", "[UNK]", "[SEP]", "film", "the"), 16)
    assert chosen(["the film"] * 9, tokenizer=old) == (old, ())
    assert chosen(["the film"] * 9, tokenizer=old, length=4)[0].length == 4


def test_blank_training_texts_are_a_mistake():
    with pytest.raises(UserError, match="the training texts are empty"):
        chosen(["", " \u00a0"])
