"""Pretrained word vectors as the embeddings of tokens."""

import gzip

import keras
import numpy as np
import pytest

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.data.tables.columns import Column
from zoo.data.texts.tokenizer_settings import RESERVED_TOKENS, Tokenizer
from zoo.errors import UserError
from zoo.registry import find_entry
from zoo.training.building import build_model
from zoo.training.word_vectors import fit_width, load_word_vectors

WORDS = Tokenizer("words", (*RESERVED_TOKENS, "good", "bad", "caf\u00e9"), 4)
VECTORS = "Good 9 9 9\nbad 1 -2 3e-1\ngood 4 5 6\n. . . 7 7 7\ncafe\u0301 0 1 0\n"
TEXTS = Spec("text", (4,), ("n", "p"), ("t",), WORDS)
COLUMNS = Spec("features", (5,), ("n", "p"), ("a", "t"), columns=(
    Column("a", "number"), Column("t", "text", tokenizer=WORDS)))  # fmt: skip


def load(path, name, spec, **hparams):
    hparams = fit_width(find_entry(name), hparams, str(path))
    model = build_model(find_entry(name), spec, hparams)
    split = Arrays(np.zeros((1, *spec.shape)), np.zeros(1, int))
    data = Data("texts", "", spec, split, split, split, {})
    return model, load_word_vectors(str(path), model, data)


@pytest.mark.parametrize("name", ["fasttext", "textcnn", "mlp", "perceptron"])
def test_words_have_their_vectors_and_others_keep_their_embeddings(tmp_path, name):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    keras.utils.set_random_seed(1)
    spec = COLUMNS if "texts" in find_entry(name).arguments else TEXTS
    model, data = load(path, name, spec)
    layer = next(x for x in model.layers if getattr(x, "input_dim", 0) == len(WORDS.vocabulary))
    (weights,) = layer.get_weights()
    np.testing.assert_array_equal(weights[3:], np.float32([[4, 5, 6], [1, -2, 0.3], [0, 1, 0]]))
    assert np.abs(weights[:3]).max() < 1
    assert data.notes == (
        f"{path}: 3 of the 3 tokens (100%) of the vocabulary have a word vector, of 3 numbers",
    )


@pytest.mark.parametrize(
    "content",
    [
        VECTORS.encode(),
        b"5 3\n" + VECTORS.replace("\n", " \n").encode(),
        b"\xef\xbb\xbf" + VECTORS.replace(" ", "\t").replace("\n", "\r\n").encode(),
        gzip.compress(VECTORS.encode() + b"w\xff 1 2 3\n"),
    ],
    ids=["GloVe", "word2vec", "tabs", "gzip"],
)
def test_formats(tmp_path, content):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    model, _ = load(path, "textcnn", TEXTS)
    np.testing.assert_array_equal(model.get_layer("embedding").get_weights()[0][3], [4, 5, 6])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (VECTORS + "late 1 2\n", "line 6: 2 numbers instead of 3"),
        (VECTORS + "late 1 2 3 4\n", "line 6: 4 numbers instead of 3"),
        (VECTORS + "late 1 x 3\n", "line 6: '1 x 3' are not 3 finite numbers"),
        (VECTORS + "late 1 nan 3\n", "line 6: '1 nan 3' are not 3 finite numbers"),
        ("9 3\n" + VECTORS, "5 word vectors of 9"),
        ("5 4\n" + VECTORS, "line 2: 3 numbers instead of 4"),
        ("hello world\n", "line 1: 1 numbers"),
        ("", "0 word vectors"),
        ("other 1 2 3\n", "none of the 3 tokens"),
    ],
)
def test_faults_are_one_true_line(tmp_path, content, fault):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load(path, "textcnn", TEXTS)
    assert fault in str(caught.value) and "\n" not in str(caught.value)


def test_what_does_not_fit(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    with pytest.raises(UserError, match="have 3 numbers, but embedding=8: omit --hparam=embedding"):
        load(path, "textcnn", TEXTS, embedding=8)
    for name in ("cnn", "bert", "nbsvm"):
        with pytest.raises(UserError, match=f"{name} has no embeddings of words"):
            fit_width(find_entry(name), {}, str(path))
    with pytest.raises(UserError, match="cannot be read"):
        fit_width(find_entry("textcnn"), {}, str(tmp_path / "none.txt"))
    numbers = Spec("features", (2,), ("n", "p"), ("a", "b"))
    with pytest.raises(UserError, match="texts has no texts"):
        load(path, "mlp", numbers)
