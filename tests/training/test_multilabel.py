"""Several labels per example: loss and score of each model, exact resume, and whole runs."""

import contextlib
import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, log_loss
from support.blobs import blobs, dataset
from support.small_models import build_small

import zoo
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training import loop
from zoo.training.building import compile_model, prepare_model
from zoo.training.callbacks import training_variables
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.class_balance import compute_class_weights, describe_class_balance
from zoo.training.layer_statistics import adapt_layers
from zoo.training.loop import fit_model
from zoo.training.model_checks import check_labels, describe_labels
from zoo.training.recipe_checks import check_recipe
from zoo.training.signals import Interrupted

NAMES = ("low", "high", "odd")


def labelled(seed=0, count=200):
    """Points with three labels, of which the third is the rarest."""
    x = blobs(seed=seed, count=count, spread=1.5).x
    scores = (x - 50) / [1, 10, 100, 1]
    y = np.stack([scores[:, 0] > 0.5, scores[:, 1] + scores[:, 3] > 0, scores[:, 2] > 1.5], 1)
    return Arrays(x, y.astype("uint8"))


def data(**changes):
    spec = Spec("features", (4,), NAMES, tuple("wxyz"), multilabel=True)
    splits = {"train": labelled(), "validation": labelled(1), "test": labelled(2)}
    return dataset(**{"spec": spec, **splits, **changes})


@pytest.mark.parametrize("name", zoo.list_models())
def test_each_model_has_binary_cross_entropy(name):
    entry = find_entry(name)
    kind = next(kind for kind in ("features", "text", "image") if kind in entry.kinds)
    shape = {"features": (4,), "text": (8,), "image": (32, 32, 1)}[kind]
    spec = Spec(kind, shape, NAMES, multilabel=True)
    model = build_small(name, input_shape=shape, num_classes=3)
    y = labelled(count=6).y
    random = np.random.default_rng(0)
    x = random.integers(1, 30, (6, *shape)).astype(spec.dtype)
    examples = data(spec=spec, train=Arrays(x, y))
    adapt_layers(model, examples)
    compile_model(model, examples, Recipe(label_smoothing=0.1))
    outputs = model({spec.input_name: x})
    loss = model.compute_loss({}, {"logits": y.astype("float32")}, outputs)
    logits = np.asarray(outputs["logits"], "float64")
    cross_entropies = np.logaddexp(0, logits) - (y * 0.9 + 0.05) * logits
    assert float(loss) == pytest.approx(cross_entropies.mean(), rel=1e-4)


def begin(run_dir, recipe, start=None):
    run_dir.mkdir(exist_ok=True)
    hparams = {"dropout": 0.3, "hidden": (8,)}
    model, _ = prepare_model(find_entry("mlp"), hparams, recipe, data(), seed=1)
    return model, fit_model(model, data(), recipe, seed=1, run_dir=run_dir, start=start)


def test_a_training_goes_on_to_the_last_bit(tmp_path, monkeypatch):
    """With the score that selects the best epoch, which is counted over an interruption too."""
    recipe, valid = Recipe(epochs=3, batch_size=32), data().validation
    expected, trained = begin(tmp_path / "whole", recipe)
    logits = np.asarray(expected({"features": valid.x})["logits"])
    score = f1_score(valid.y, logits > 0, average="micro")
    assert trained["history"]["val_f1"][-1] == pytest.approx(score)
    signals = iter([None] * 3 + [15])
    with monkeypatch.context() as patch, contextlib.suppress(Interrupted):
        patch.setattr(loop, "defer_signals", lambda: contextlib.nullcontext(lambda: next(signals)))
        begin(tmp_path / "cut", recipe)
    start, _ = find_latest_checkpoint(tmp_path / "cut")
    assert start.state.step
    model, resumed = begin(tmp_path / "cut", recipe, start)
    assert resumed["history"] == trained["history"]
    for a, b in zip(training_variables(model), training_variables(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"class_weights": "even=2"}, "class_weights='even=2': there is no class 'even'"),
        ({"oversample": True}, "for a rare one repeats the others too: omit it, or weight the lab"),
        ({"monitor": "accuracy"}, "monitor='accuracy': a multilabel has no such score: expected o"),
    ],
)
def test_settings_that_need_one_class(recipe, message):
    with pytest.raises(UserError, match=message):
        check_recipe(Recipe(**recipe), data().spec)
    check_recipe(Recipe(monitor="f1", label_smoothing=0.1), data().spec)


def test_balanced_weights_are_absent_per_present_examples():
    """As `pos_weight` of PyTorch; a label that all or no examples have has weight 1."""
    train = Arrays(labelled().x, np.zeros((200, 3), "uint8"))
    train.y[:50, 0], train.y[:, 1] = 1, 1
    given, recipe = data(train=train), Recipe(class_weights="balanced")
    np.testing.assert_array_equal(compute_class_weights(given, recipe), [3, 1, 1])
    (line,) = describe_class_balance(given, recipe)
    assert line == "class weights: low 3, high 1, odd 1 where present"


@pytest.mark.parametrize("steps", [1, 4])
def test_class_weights_multiply_the_loss_of_present_labels(tmp_path, steps):
    """The training is that of Keras with TensorFlow's own loss, in micro-batches too."""
    weights, examples = np.array([0.5, 1, 3], "float32"), data()
    recipe = Recipe(epochs=3, batch_size=200, class_weights="odd=3,low=0.5", optimizer="sgd",
                    learning_rate=0.3, schedule="constant", accumulate_steps=steps)  # fmt: skip
    model, plain = (
        prepare_model(find_entry("perceptron"), {}, recipe, examples, seed=1)[0] for _ in range(2)
    )
    result = fit_model(model, examples, recipe, seed=1, run_dir=tmp_path)

    def loss(y_true, y_pred):
        return tf.nn.weighted_cross_entropy_with_logits(y_true, y_pred, weights)

    plain.compile(keras.optimizers.SGD(0.3), {"logits": loss})
    train, validation = (
        ({"features": part.x}, {"logits": part.y.astype("float32")})
        for part in (examples.train, examples.validation)
    )
    history = plain.fit(*train, 200, 3, verbose=0, validation_data=validation).history
    np.testing.assert_allclose(model.get_weights()[-2], plain.get_weights()[-2], rtol=1e-5)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(result["history"][name], history[name], rtol=1e-5)


def test_labels_are_checked_and_told():
    train = labelled()
    bad = Arrays(train.x, np.where(train.y == 1, 3, 0).astype("uint8"))
    with pytest.raises(
        UserError, match=r"row 0 of the train split is \[.*expected 0 or 1 for each"
    ):
        check_labels(data(train=bad))
    train.y[:, 0], train.y[:, 1] = 1, 0
    assert describe_labels(data(train=train)) == (
        "blobs: no training example of high: the model will not predict them; all training "
        "examples have the labels low"
    )


def test_a_linear_model_is_that_of_scikit_learn(train, without_export, tmp_path):
    """A run on a table of lists, from its headline to its record and its card."""
    random = np.random.default_rng(0)
    x = random.normal(size=(600, 4))
    chances = special.expit(3 * x @ random.normal(size=(4, 3)) - [0, 1, 2])
    tags = [np.array(NAMES)[row].tolist() for row in random.random((600, 3)) < chances]
    frame = pd.DataFrame(x.round(4), columns=list("abcd")).assign(tags=tags)
    frame.to_json("t.jsonl", orient="records", lines=True)
    flags = ("--model=perceptron", "--dataset=jsonl:t.jsonl", "--label=tags", "--epochs=9")
    code, out, err = train(*flags, "--learning_rate=0.1", "--batch_size=32")
    assert code == 0, err
    assert "multilabel: 3 classes: high (" in out and "labels per example (label card" in out
    record = json.loads((tmp_path / "runs/perceptron-t/metrics.json").read_text())
    scores, spec = record["test"], record["spec"]
    assert f"test: micro F1 {scores['f1']:.2%} (95% interval" in out
    assert spec["class_names"] == ["high", "low", "odd"]
    assert spec["thresholds"] == [row["threshold"] for row in scores["per_class"]]
    assert spec["thresholds"] != [0.5] * 3
    assert 0 < record["splits"]["train"]["labels_per_example"] < 3
    card = (tmp_path / "runs/perceptron-t/card.md").read_text()
    assert "any of 3 classes: high, low, odd" in card
    assert "| class | precision | recall | f1 | average precision | threshold | examples |" in card
    # the same rows, by scikit-learn
    found = load_data(DataConfig("jsonl:t.jsonl", label="tags"))
    linear = [LogisticRegression(C=1e3).fit(found.train.x, labels) for labels in found.train.y.T]
    expected = np.stack([model.predict_proba(found.test.x)[:, 1] for model in linear], 1)
    loss = np.mean([log_loss(*pair) for pair in zip(found.test.y.T, expected.T, strict=True)])
    assert scores["loss"] == pytest.approx(loss, abs=0.02)
    precision = average_precision_score(found.test.y, expected, average="macro")
    assert scores["mean_average_precision"] == pytest.approx(precision, abs=0.02)
