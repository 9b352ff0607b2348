"""The decision threshold of two classes, from its choice to the served label."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sklearn import metrics
from support.blobs import dataset
from support.small_models import build_small

import zoo
from zoo.data.spec import Spec, spec_from_record
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.evaluation import decision_threshold
from zoo.evaluation.decision_threshold import (
    choose_classes,
    decide_threshold,
    find_threshold,
    format_threshold,
)
from zoo.evaluation.model_card import render_card
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.scoring import score_predictions
from zoo.exporting.verification import verify_export
from zoo.recipe import Recipe
from zoo.serving import Client
from zoo.serving.remote_split import predict_split_remotely
from zoo.serving.rows.blocks import make_row
from zoo.serving.rows.row_predictions import predict_rows
from zoo.training.model_checks import check_threshold
from zoo.training.recipe_checks import check_recipe

SPEC = Spec("features", (4,), ("no", "yes"), tuple("abcd"), thresholds=(0.7, 0.3))


def drawn(seed, count=40):
    random = np.random.default_rng(seed)
    target = (random.uniform(size=count) < 0.3).astype(int)
    p = special.expit(random.normal(size=count) + target).round(random.integers(1, 4))
    return target, p.astype("float32")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("score", ["f1", "accuracy"])
def test_no_other_threshold_is_better(seed, score):
    target, p = drawn(seed)
    compute = {"f1": metrics.f1_score, "accuracy": metrics.accuracy_score}[score]
    threshold, best, at_half = find_threshold(target, p, score)
    assert best == pytest.approx(compute(target, p > np.float32(threshold)))
    assert at_half == pytest.approx(compute(target, p > 0.5))
    every = np.linspace(0.005, 0.995, 199)
    scores = np.array([compute(target, p > t) for t in every])
    assert best == pytest.approx(scores.max())
    nearest = np.abs(every[scores > best - 1e-9] - 0.5).min()
    assert abs(threshold - 0.5) < nearest + 0.1, "of equal ones that near 0.5"


def test_a_threshold_has_few_digits_and_may_be_half():
    target, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.28, 0.4], "float32")
    threshold, best, at_half = find_threshold(target, p, "f1")
    assert (round(threshold, 2), best, at_half) == (threshold, 1.0, 0.0) and 0.2 < threshold < 0.28
    assert find_threshold(target, p + 0.25, "f1")[0] == 0.5
    near = np.array([0.3, np.nextafter(np.float32(0.3), 1)], "float32")
    assert find_threshold(np.array([0, 1]), near, "accuracy")[1] == 1.0
    assert find_threshold(np.array([0, 1]), np.array([0, 1], "float32"), "f1")[1] == 1.0


def test_classes_from_a_threshold_on():
    logits = np.array([[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]])
    assert choose_classes(logits, None).tolist() == [0, 0, 1]
    assert choose_classes(logits, 0.5).tolist() == [0, 0, 1]
    assert choose_classes(logits, 0.1).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("monitor", "score"), [(None, "f1"), ("accuracy", "accuracy")])
def test_it_is_chosen_on_the_validation_split(monitor, score, monkeypatch):
    target, p = drawn(3)
    data, asked = dataset(spec=dataclasses.replace(SPEC, thresholds=())), []

    def predict(model, split, spec, batch_size):
        asked.append(split)
        return Predictions(target, np.stack([0 * p, special.logit(p)], 1), np.arange(len(p)))

    monkeypatch.setattr(decision_threshold, "predict_split", predict)
    found, chosen = decide_threshold(None, data, Recipe(threshold="auto", monitor=monitor))
    assert asked == [data.validation]
    assert (chosen["score"], chosen["split"]) == (score, "validation")
    assert found.spec.threshold == chosen["threshold"] and chosen["best"] >= chosen["at_half"]
    line = format_threshold(chosen["threshold"], data.spec.class_names, chosen)
    assert line.startswith(
        f"threshold: yes is predicted above a probability of {found.spec.threshold:g}"
    )
    found, chosen = decide_threshold(None, data, Recipe(threshold="0.25"))
    assert found.spec.threshold == chosen["threshold"] == 0.25 and not chosen["score"]
    assert decide_threshold(None, data, Recipe()) == (data, None) and len(asked) == 1


def test_scores_cards_and_records_follow_it(tmp_path):
    logits = np.array([[0.0, 0.0], [0.5, 0.0], [3.0, 0.0]])
    found = Predictions(np.array([1, 1, 0]), logits, np.arange(3))
    assert score_predictions(found, SPEC)["accuracy"] == 1.0
    assert score_predictions(found, dataclasses.replace(SPEC, thresholds=()))["f1"] == 0.0
    of_server = dataclasses.replace(found, classes=np.array([0, 0, 0]))
    assert score_predictions(of_server, SPEC)["accuracy"] == 1 / 3
    record = json.loads(json.dumps({"spec": dataclasses.asdict(SPEC)}))
    assert spec_from_record(record, "here") == SPEC
    evaluation = {"split": "test", "from": "", "dataset": "d", "scores": {}}
    card = render_card(tmp_path, record, evaluation | {"threshold": 0.3})
    assert "| threshold | yes is predicted above a probability of 0.3 |" in card
    assert "probability of 0.4 |" in render_card(tmp_path, record, evaluation | {"threshold": 0.4})
    record["spec"] |= {"class_names": ["a", "b", "c"], "thresholds": [0.1, 0.2, 0.3]}
    with pytest.raises(UserError, match="thresholds: 3 numbers; expected those of two classes"):
        spec_from_record(record, "here")


def test_an_export_decides_by_it(tmp_path):
    model = build_small("perceptron", input_shape=(4,), num_classes=2)
    version = zoo.export(model, tmp_path / "m", spec=SPEC)
    assert len(verify_export(version)) == 4
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    client = Client("m", export_dir=tmp_path)
    out = client.predict({"features": x})
    p = out["probabilities"][:, 1]
    assert ((p > 0.3) == out["class_id"]).all() and (p[p < 0.5] > 0.3).any()
    assert out["label"].tolist() == [SPEC.class_names[i] for i in out["class_id"]]
    top = client.predict({"features": x, "k": [1, 2] * 25}, "top_k")
    assert top["class_ids"][:, 0].tolist() == out["class_id"].tolist()
    assert top["class_ids"][:2, 1].tolist() == [-1, 1 - out["class_id"][1]]
    examples = [dict(zip("abcd", row, strict=True)) for row in x.astype(float)]
    ranked = client.classify(examples)
    assert [pairs[0][0] for pairs in ranked] == out["label"].tolist()
    np.testing.assert_allclose([dict(pairs)["yes"] for pairs in ranked], p, rtol=1e-5)
    remote = predict_split_remotely(
        client, Arrays(x, out["class_id"]), dataclasses.replace(SPEC, thresholds=()), 20
    )
    assert score_predictions(remote, SPEC)["accuracy"] == 1.0, "the server knows the threshold"


def test_a_prediction_has_the_probability_of_its_class():
    logits = tf.constant([[0.5, 0.0]])
    outputs = {"probabilities": tf.nn.softmax(logits).numpy(), "class_id": np.array([1])}
    client = types.SimpleNamespace(predict=lambda *_: outputs | {"label": ["yes"]})
    row = make_row("t, line 1", "t", {"text": "t"}, {})
    ((pair,),) = predict_rows(client, Spec("text", (4,), ("no", "yes")), [row])
    assert pair == ("yes", pytest.approx(0.3775, abs=1e-4))


@pytest.mark.parametrize(
    ("threshold", "names", "message"),
    [
        ("2", ("no", "yes"), "threshold='2': expected 'auto' or a number between 0 and 1"),
        ("nan", ("no", "yes"), "threshold='nan': expected 'auto' or a number"),
        ("half", ("no", "yes"), "threshold='half': expected 'auto' or a number"),
        ("auto", ("a", "b", "c"), "between two classes, but there are 3: omit --threshold"),
        ("0.3", None, "the target is a number, there are no classes: omit --threshold"),
    ],
)
def test_what_is_no_threshold_is_refused(threshold, names, message):
    with pytest.raises(UserError, match=message):
        check_recipe(Recipe(threshold=threshold), dataclasses.replace(SPEC, class_names=names))


def test_each_of_several_labels_has_a_threshold_of_its_own():
    with pytest.raises(UserError, match="each of several labels has a threshold of its own"):
        check_recipe(Recipe(threshold="auto"), dataclasses.replace(SPEC, multilabel=True))
    assert dataclasses.replace(SPEC, multilabel=True).threshold is None


def test_a_validation_split_of_one_class_is_told_before_the_training():
    one = Arrays(np.zeros((5, 4)), np.zeros(5, int))
    data = dataset(spec=SPEC, validation=one)
    check_threshold(Recipe(threshold="0.3"), data)
    with pytest.raises(UserError, match=r"no example of 'yes'.* pass a number"):
        check_threshold(Recipe(threshold="auto"), data)
