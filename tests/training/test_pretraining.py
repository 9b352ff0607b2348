"""Pretraining: the model against NumPy, its score, and exact resume."""

import contextlib

import keras
import numpy as np
import pytest
from scipy.special import erf, log_softmax
from support.small_models import SMALL

from zoo.data.batching import make_evaluation_batches
from zoo.data.config import DataConfig
from zoo.data.sources.unlabelled_texts import read_unlabelled_texts
from zoo.data.unlabelled import load_unlabelled
from zoo.errors import UserError
from zoo.models.masked_language_model import build_masked_language_model
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training import loop
from zoo.training.callbacks import training_variables
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.loop import fit_model
from zoo.training.pretraining import prepare_pretraining, score_masked_tokens
from zoo.training.signals import Interrupted

HPARAMS = {name: value for name, value in SMALL["transformer"].items() if name != "vocabulary_size"}
RECIPE = Recipe(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Each text repeats one of 20 words, so that a hidden word can be told from the others."""
    random = np.random.default_rng(0)
    lines = [" ".join([f"w{i % 20}"] * random.integers(5, 12)) for i in range(100)]
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join([*lines, "", "  "]), "utf-8")
    return load_unlabelled(DataConfig(f"txt:{file}"))


def test_lines_of_other_encodings(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("ein Caf\u00e9\r\nnoch ein Caf\u00e9\r\n".encode("cp1252"))
    found = read_unlabelled_texts(f"txt:{file}", DataConfig())
    assert found.texts.tolist() == ["ein Caf\u00e9", "noch ein Caf\u00e9"]
    assert len(found.notes) == 1 and "cp1252" in found.notes[0]


def begin(texts, run_dir, recipe=RECIPE, start=None, **hparams):
    run_dir.mkdir(exist_ok=True)
    entry = find_entry("transformer")
    model, _ = prepare_pretraining(entry, HPARAMS | hparams, recipe, texts, seed=3)
    trained = fit_model(model, texts, recipe, seed=3, run_dir=run_dir, start=start)
    return model, trained


def test_texts(texts):
    assert texts.notes == ("left out: 2 blank texts",)
    assert (len(texts.train), len(texts.validation), len(texts.test)) == (90, 10, 0)
    assert texts.spec.task == "masked_lm" and texts.fingerprint["train"]["examples"] == 90


def test_logits_and_loss_equal_numpy(texts):
    model, _ = prepare_pretraining(find_entry("transformer"), HPARAMS, RECIPE, texts, seed=1)
    batches = list(make_evaluation_batches(texts.validation, texts.spec, batch_size=4))
    hidden = keras.Model(model.input, model.get_layer("norm").output)
    dense, norm, tied = (
        model.get_layer(name) for name in ("masked_dense", "masked_norm", "tied_logits")
    )
    tied.bias.assign(np.random.default_rng(0).normal(size=tied.bias.shape))
    embeddings = model.get_layer("embedding").get_weights()[0]
    total = hits = count = 0
    for inputs, targets, weights in batches:
        vectors = hidden(inputs).numpy().astype("float64")
        positions, y = inputs["masked_positions"].numpy(), targets["logits"].numpy()
        x = np.take_along_axis(vectors, positions[:, :, None], axis=1)
        x = x @ dense.get_weights()[0] + dense.get_weights()[1]
        x = x * 0.5 * (1 + erf(x / np.sqrt(2)))
        gamma, beta = norm.get_weights()
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        logits = (x * gamma + beta) @ embeddings.T + tied.bias.numpy()
        np.testing.assert_allclose(model(inputs)["logits"], logits, atol=1e-4)
        losses = -np.take_along_axis(log_softmax(logits, -1), y[:, :, None], -1)[:, :, 0]
        weight = weights["logits"].numpy()
        expected = (losses * weight).sum() / weight.sum()
        assert float(model.compute_loss(inputs, targets, model(inputs), weights)) == pytest.approx(
            expected, rel=1e-4
        )
        total += (losses * weight).sum()
        hits += ((logits.argmax(-1) == y) * weight).sum()
        count += weight.sum()
    scores = score_masked_tokens(model, texts.validation, texts.spec, batch_size=4)
    assert scores["tokens"] == count
    assert scores["accuracy"] == pytest.approx(hits / count)
    assert scores["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-4)


def test_the_output_shares_the_embeddings(texts, tmp_path):
    model, _ = prepare_pretraining(find_entry("transformer"), HPARAMS, RECIPE, texts, seed=1)
    vocabulary, width = len(texts.spec.tokenizer.vocabulary), HPARAMS["width"]
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes.count((vocabulary, width)) == 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = next(iter(make_evaluation_batches(texts.validation, texts.spec, batch_size=4)))[0]
    loaded.get_layer("embedding").set_weights([np.zeros((vocabulary, width))])
    np.testing.assert_array_equal(loaded(inputs)["logits"], 0, "the output has the same matrix")


def test_it_learns_the_language(texts, tmp_path):
    recipe = Recipe(epochs=12, batch_size=8, learning_rate=0.03)
    model, trained = begin(texts, tmp_path / "run", recipe, width=16, dropout=0.0)
    scores = score_masked_tokens(model, texts.validation, texts.spec, 16)
    assert scores["perplexity"] < 3, "20 is chance"
    assert trained["history"]["val_loss"][-1] == pytest.approx(scores["loss"], rel=0.2)


def test_a_pretraining_goes_on_to_the_last_bit(texts, tmp_path, monkeypatch):
    expected, whole = begin(texts, tmp_path / "whole")
    signals = iter([None] * 4 + [15])
    with monkeypatch.context() as patch, contextlib.suppress(Interrupted):
        patch.setattr(loop, "defer_signals", lambda: contextlib.nullcontext(lambda: next(signals)))
        begin(texts, tmp_path / "cut")
    start, _ = find_latest_checkpoint(tmp_path / "cut")
    assert start.state.step
    model, resumed = begin(texts, tmp_path / "cut", start=start)
    assert resumed["history"] == whole["history"]
    for a, b in zip(training_variables(model), training_variables(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["lstm", "gru", "fasttext", "textcnn"])
def test_models_without_an_encoder(name):
    hparams = {
        k: 6 if k in ("width", "embedding", "filters") else v for k, v in SMALL[name].items()
    }
    with pytest.raises(UserError, match=f"{name} has no encoder to pretrain: expected token emb"):
        build_masked_language_model(find_entry(name).builder(**hparams))
