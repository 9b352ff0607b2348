"""Exports of several labels per example: their signatures, and what clients and commands read."""

import dataclasses
import json
from unittest import mock

import numpy as np
import pytest
from scipy import special
from support.serving_double import Double

import zoo
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.exporting.contract import check_contract, make_contract
from zoo.exporting.verification import VerificationError, compare_outputs
from zoo.serving import Client
from zoo.serving.remote_split import predict_split_remotely
from zoo.serving.rows.blocks import make_row
from zoo.serving.rows.prediction_files import open_prediction_file
from zoo.serving.rows.row_predictions import LabelSet, predict_rows

NAMES = ("drama", "fun", "h\u00e9")
WORDS = ("", "[UNK]", "[SEP]", "the", "film", "is", "good")
TEXTS = np.array(["the film", "is good good", "film film film", "", "the"], object)
THRESHOLDS = (0.45, 0.62, 0.5)


SPEC = Spec(
    "text",
    (8,),
    NAMES,
    tokenizer=Tokenizer("words", WORDS, 8),
    multilabel=True,
    thresholds=THRESHOLDS,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of texts with random weights."""
    folder = tmp_path_factory.mktemp("exports")
    hparams = {"vocabulary_size": len(WORDS), "buckets": 50}
    model = zoo.get("fasttext", input_shape=(8,), num_classes=3, **hparams)
    head = model.get_layer("head")
    kernel = np.random.default_rng(0).normal(0, 5, head.kernel.shape)
    head.set_weights([kernel, np.array([0, 0.4, -0.5])])
    zoo.export(model, folder / "tags", spec=SPEC)
    return folder


@pytest.fixture(scope="module")
def double(folder):
    double = Double(folder)
    yield double
    double.stop()


@pytest.fixture(params=["local", "REST", "gRPC"])
def where(request, folder, double):
    ways = {"local": {"export_dir": folder}, "REST": {"server": double.rest}}
    return ways.get(request.param, {"grpc": double.grpc})


def test_labels_are_those_above_their_thresholds(where):
    client = Client("tags", **where)
    found = client.predict({"text": TEXTS})
    assert set(found) == {"logits", "scores", "is_selected", "labels"}
    np.testing.assert_allclose(found["scores"], special.expit(found["logits"]), atol=1e-6)
    assert found["is_selected"].dtype == bool
    expected = found["scores"] > np.float32(THRESHOLDS)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found["is_selected"], expected)
    for labels, scores, selected in zip(found["labels"], found["scores"], expected, strict=True):
        best = [NAMES[i] for i in np.argsort(-scores) if selected[i]]
        assert labels.tolist() == best + [""] * (3 - len(best))
    spec = client.spec()
    assert spec.task == "multilabel"
    assert spec.thresholds == (THRESHOLDS if "export_dir" in where else ())


def test_other_signatures_have_the_scores_of_each_label(where):
    client = Client("tags", **where)
    scores = client.predict({"text": TEXTS})["scores"]
    order = np.argsort(-scores, axis=1)
    top = client.predict({"text": TEXTS, "k": [2] * 5}, "top_k")
    np.testing.assert_allclose(top["scores"], np.take_along_axis(scores, order, 1)[:, :2])
    assert top["labels"].tolist() == [[NAMES[i] for i in row[:2]] for row in order]
    classified = client.classify([{"text": text} for text in TEXTS])
    for pairs, row, score in zip(classified, order, scores, strict=True):
        assert [name for name, _ in pairs] == [NAMES[i] for i in row]
        assert [x for _, x in pairs] == pytest.approx(score[row].tolist(), abs=1e-6)


def test_rows_are_predicted_as_sets(where, folder):
    client = Client("tags", **where)
    found = client.predict({"text": TEXTS})
    rows = [make_row(f"line {i}", text, {"text": text}, {}) for i, text in enumerate(TEXTS)]
    sets = predict_rows(client, client.spec(), rows)
    for given, labels, scores in zip(sets, found["labels"], found["scores"], strict=True):
        assert given.labels == tuple(filter(None, labels))
        by_name = dict(zip(NAMES, scores.tolist(), strict=True))
        assert given.scores == pytest.approx([by_name[name] for name in given.labels])
    best = predict_rows(client, client.spec(), rows, top=2)
    assert [len(pairs) for pairs in best] == [2] * 5


def test_features_without_columns_are_asked_by_an_api_that_tells_no_thresholds():
    pairs = [("fun", 0.7), ("drama", 0.5), (NAMES[2], 0.5)]
    client = mock.Mock(model="points", classify=lambda examples: [pairs for _ in examples])
    rows = [make_row("", "", {"size": 1.0}, {})]
    spec = Spec("features", (1,), NAMES, ("size",), multilabel=True, thresholds=THRESHOLDS)
    assert predict_rows(client, spec, rows) == [LabelSet(("fun", "drama"), (0.7, 0.5))]
    assert predict_rows(client, spec, rows, top=2) == [pairs[:2]]
    server = Spec("features", (1,), (), multilabel=True)
    with pytest.raises(UserError, match=r"points: the server does not tell .* pass --top=5"):
        predict_rows(client, server, rows)


def test_a_split_is_predicted_by_a_server(double):
    spec = Spec("text", (8,), NAMES, multilabel=True)
    client = Client("tags", server=double.rest)
    split = Arrays(TEXTS, np.zeros((5, 3), "uint8"))
    found = predict_split_remotely(client, split, spec, batch_size=2)
    answers = client.predict({"text": TEXTS})
    np.testing.assert_allclose(found.output, answers["logits"])
    np.testing.assert_array_equal(found.selected, answers["is_selected"])


@pytest.mark.parametrize(("ending", "labels"), [("csv", "fun|drama"), ("jsonl", ["fun", "drama"])])
def test_predictions_in_files(ending, labels, tmp_path):
    row = make_row("", "", {}, {"text": "a", "prediction": "x"})
    with open_prediction_file(tmp_path / f"out.{ending}") as write:
        write(row, LabelSet(("fun", "drama"), (0.75, 0.5)))
        write(row, LabelSet((), ()))
    lines = (tmp_path / f"out.{ending}").read_text().splitlines()
    if ending == "csv":
        assert lines == [
            "text,prediction,prediction.1,probability",
            f"a,x,{labels},0.75|0.5",
            "a,x,,",
        ]
        return
    first, second = map(json.loads, lines)
    assert first["prediction.1"] == labels and first["probability"] == [0.75, 0.5]
    assert second["prediction.1"] == []


def test_the_contract_has_the_task(folder):
    assert make_contract(SPEC)["task"] == "multilabel"
    with pytest.raises(
        UserError, match=r"maps .* to any of 3 classes \(drama, fun, h.*to one of 3"
    ):
        check_contract(folder / "tags", dataclasses.replace(SPEC, multilabel=False))
    check_contract(folder / "tags", dataclasses.replace(SPEC, thresholds=()))


def test_a_score_at_its_threshold_may_be_rounded_either_way():
    scores = np.array([[0.3, 0.6, 0.9]], "float32")
    expected = {
        "scores": scores,
        "is_selected": np.array([[False, False, True]]),
        "labels": np.array([["c", "", ""]], object),
    }
    other = expected | {
        "is_selected": np.array([[False, True, True]]),
        "labels": np.array([["c", "b", ""]], object),
    }
    calls = [({"x": [1]}, other, expected)]
    assert "match" in compare_outputs("s", calls, 1e-5, (0.5, 0.60001, 0.5))
    with pytest.raises(VerificationError, match="is_selected differs"):
        compare_outputs("s", calls, 1e-5, (0.5, 0.61, 0.5))
