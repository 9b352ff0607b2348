"""Vectors of texts: those that Sentence Transformers gives for the same folder."""

import json
import shutil

import numpy as np
import pytest
from support.paths import MINILM
from support.text_folders import ANSWERS, FIRST, SECOND, write_text_folder

from zoo.errors import UserError
from zoo.models.sentence_vectors import read_pooling
from zoo.pretrained.presets import load_text_embedder
from zoo.serving.model_client import ModelClient
from zoo.serving.rows.blocks import make_row
from zoo.serving.rows.row_predictions import predict_rows

MODULES = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
]
# by transformers 5.24 and PyTorch 2.13: the mean of last_hidden_state over the tokens, normalised
MINILM_VECTORS = {
    "A man is eating food.": (0.03319, 0.00442, -0.00627, 0.04838),
    "Une comédie très drôle, 日本語": (0.00095, 0.05335, 0.08541, -0.04624),
}


def embed(predictor, examples):
    rows = [make_row("", "", example, {}) for example in examples]
    vectors = predict_rows(ModelClient("x", predictor), predictor.spec, rows, as_embeddings=True)
    return np.array([vector.values for vector in vectors])


def write_modules(folder, modules=MODULES, pooling=None):
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_text_folder(tmp_path_factory.mktemp("encoder") / "a", "distilbert")


def test_a_vector_is_the_mean_over_the_tokens_at_length_1(folder):
    answers = json.loads(ANSWERS.read_text())["distilbert"]
    vectors, ids = np.array(answers["vectors"]), np.array(answers["pairs"])
    mask = (ids > 0)[..., None]
    mean = (vectors * mask).sum(1) / mask.sum(1)
    predictor = load_text_embedder(str(folder), reads_pairs=True)
    assert predictor.signatures.keys() == {"features"}
    assert "has no modules.json" in predictor.record["notes"][0]
    pairs = [{"text_a": a, "text_b": b} for a, b in zip(FIRST, SECOND, strict=True)]
    found = embed(predictor, pairs)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # the padding of a longer text in the batch changes nothing
    np.testing.assert_allclose(embed(predictor, pairs[1:]), expected[1:], atol=1e-4)


def test_modules_json_says_how_tokens_are_pooled(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "a")
    write_modules(copy, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    predictor = load_text_embedder(str(copy))
    assert (
        "a vector is that of the first token, as its modules.json" in predictor.record["notes"][0]
    )
    assert "more than 6 tokens" in predictor.record["notes"][1] and predictor.spec.shape == (6,)
    cut = embed(predictor, [{"text": "the film was good bad"}, {"text": "the film was good"}])
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)
    ids = np.array([[2, 7, 3]], "int32")
    vectors = predictor.model.get_layer("encoder")(
        {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    )
    np.testing.assert_allclose(predictor.model({"tokens": ids})["features"], vectors[:, 0])


def test_windows_of_long_texts_are_averaged(folder):
    texts = ["the film was good bad " * 20, "good"]
    predictor = load_text_embedder(str(folder), long_texts="windows")
    assert "in up to 16 windows of 40" in predictor.record["notes"][1]
    found = predictor.call_signature("features", {"text": texts})["features"]
    single = load_text_embedder(str(folder))
    # 38 tokens, 38 and the last 24 of 100
    pieces = [" ".join(texts[0].split()[start : start + 38]) for start in (0, 38, 76)]
    each = single.call_signature("features", {"text": [*pieces, texts[1]]})["features"]
    np.testing.assert_allclose(found, [each[:3].mean(0), each[3]], atol=1e-5)
    with pytest.raises(UserError, match="these are pairs"):
        load_text_embedder(str(folder), reads_pairs=True, long_texts="windows")


@pytest.mark.parametrize(
    ("modules", "pooling", "problem"),
    [
        ([*MODULES[:2], {"type": "sentence_transformers.models.Dense"}], None, "Pooling, Dense"),
        (MODULES, {"pooling_mode_max_tokens": True}, "pools tokens by max_tokens"),
        (MODULES, {"pooling_mode": "weightedmean"}, "pools tokens by weightedmean"),
        (MODULES, {}, "pools tokens by nothing"),
    ],
)
def test_other_modules_are_refused(tmp_path, modules, pooling, problem):
    write_modules(tmp_path, modules, pooling)
    with pytest.raises(UserError, match=problem):
        read_pooling(str(tmp_path))


def test_modules_of_new_versions_and_without_normalization(tmp_path):
    write_modules(tmp_path, MODULES[:2], {"pooling_mode": "mean"})
    pooling = read_pooling(str(tmp_path))
    assert pooling.mode == "mean" and "which its modules.json leaves out" in pooling.note


@pytest.mark.minilm
def test_vectors_of_minilm():
    predictor = load_text_embedder(MINILM)
    found = embed(predictor, [{"text": text} for text in MINILM_VECTORS])
    np.testing.assert_allclose(found[:, :4], list(MINILM_VECTORS.values()), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
