"""The worst mistakes of an evaluation, explained for its card."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image
from support.small_models import build_small

from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays
from zoo.data.tables.columns import Column
from zoo.data.tables.table_encoding import make_random_records
from zoo.evaluation.model_card import render_card
from zoo.evaluation.predictions import Predictions
from zoo.explaining import mistakes
from zoo.explaining.mistakes import explain_mistakes
from zoo.explaining.model_explainer import ModelExplainer
from zoo.layers.logits_model import LogitsModel

WORDS = ("", "[UNK]", "[SEP]", "a", "fine", "film")
COLUMNS = (Column("size", "number", scale=2.0), Column("town", "category", values=("Rom", "Ulm")))
RANDOM = np.random.default_rng(0)
SPECS = {
    "cnn": Spec("image", (14, 14, 1), ("no", "yes")),
    "fasttext": Spec("text", (8,), ("no", "yes"), tokenizer=Tokenizer("words", WORDS, 8)),
    "mlp": Spec("features", (2,), None, ("size", "town"), columns=COLUMNS),
}
INPUTS = {
    "cnn": RANDOM.integers(0, 256, (12, 14, 14, 1), "uint8"),
    "fasttext": np.array(["a fine film", b"dull <b>"] * 6, object),
    "mlp": make_random_records(COLUMNS, 12, RANDOM),
}


def explain(name, model, folder, are_right=False):
    spec, raw = SPECS[name], INPUTS[name]
    if spec.class_names is None:
        target, output = np.zeros((12, 1)), RANDOM.normal(size=(12, 1))
    else:
        target, output = np.full(12, int(are_right)), np.tile([[0.0, 1.0]], (12, 1))
    predictions = Predictions(target, output.astype("float32"), np.arange(12)[::-1])
    return explain_mistakes(model, predictions, Arrays(raw, target), spec, folder)


def test_large_images_are_explained_by_grad_cam(tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes, "_LARGE", 14 * 14)
    monkeypatch.setattr(ModelExplainer, "explain_predictions", None)
    drawn = []
    monkeypatch.setattr(mistakes, "draw_grid", lambda *arguments: drawn.append(arguments))
    model = build_small("cnn", input_shape=(14, 14, 1), num_classes=2)
    assert explain("cnn", model, tmp_path) == ""
    ((images, explanations, titles, _),) = drawn
    assert len(images) == len(explanations) == len(titles) == 9
    assert {explanation.method for explanation in explanations} == {"grad_cam"}


@pytest.mark.parametrize("name", SPECS)
def test_each_kind_has_a_picture_or_a_page_that_the_card_shows(name, tmp_path):
    spec = SPECS[name]
    hparams = {"vocabulary_size": len(WORDS)} if spec.is_text else {}
    hparams |= {"cardinalities": spec.cardinalities} if spec.columns else {}
    model = build_small(name, input_shape=spec.shape, num_classes=spec.num_classes, **hparams)
    assert explain(name, model, tmp_path) == ""
    card = render_card(tmp_path, {"test": {}})
    if spec.is_text:
        page = (tmp_path / "mistakes.html").read_text()
        assert "no, predicted as yes (73%)" in page and ">fine</span>" in page
        assert page.count("<h2>") == 9 and "(mistakes.html)" in card
    else:
        assert Image.open(tmp_path / "attributions.png").size == (1200, 1050)
        assert "(attributions.png)" in card
    if spec.class_names:  # without mistakes those of an earlier evaluation are gone
        assert explain(name, model, tmp_path, are_right=True) == ""
        assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_explained_is_told(tmp_path):
    features = keras.Input((14, 14, 1), dtype="uint8", name="image")
    x = ops.cast(ops.reshape(features, (-1, 196)), "float32")
    logits = layers.Dense(2, name="head")(x)
    model = LogitsModel({"image": features}, {"logits": logits}, name="flat")
    told = explain("cnn", model, tmp_path)
    assert told.startswith("the mistakes are not explained: flat has no place where each pixel")
    assert not list(tmp_path.iterdir())
