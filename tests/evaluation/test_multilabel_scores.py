"""Scores and thresholds of several labels per example, against scikit-learn and by hand."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from zoo.data.spec import Spec, spec_from_record
from zoo.data.splits import Arrays, Data
from zoo.errors import UserError
from zoo.evaluation import label_thresholds
from zoo.evaluation.label_thresholds import choose_thresholds, find_thresholds, select_labels
from zoo.evaluation.multilabel_scores import find_worst_label_mistakes, score_multilabel
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.record import format_scores
from zoo.evaluation.scores import format_score_table
from zoo.evaluation.scoring import score_and_plot

NAMES = ("a", "b", "c")


def drawn(count=300, seed=0):
    """Labels of three frequencies, and logits that favour the right ones."""
    random = np.random.default_rng(seed)
    target = (random.random((count, 3)) < [0.5, 0.2, 0.1]).astype("float32")
    return target, (random.normal(size=(count, 3)) - 1.5 + 2 * target).astype("float32")


def test_each_score_is_that_of_scikit_learn():
    target, logits = drawn()
    limits = (0.3, 0.4, 0.2)
    selected = special.expit(logits) > np.array(limits, "float32")
    found = score_multilabel(target, logits, selected, NAMES, limits)
    for average in ("micro", "macro"):
        expected = metrics.precision_recall_fscore_support(target, selected, average=average)
        assert list(found[average].values()) == pytest.approx(expected[:3])
    assert found["f1"] == found["micro"]["f1"]
    precision = metrics.average_precision_score(target, logits, average="macro")
    assert found["mean_average_precision"] == pytest.approx(precision)
    assert found["subset_accuracy"] == metrics.accuracy_score(target, selected)
    pairs = zip(target.T, special.expit(logits.T), strict=True)
    losses = [metrics.log_loss(y, p) for y, p in pairs]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    half = metrics.f1_score(target, logits > 0, average="micro")
    assert found["f1_at_half"] == pytest.approx(half)
    always = metrics.f1_score(target, np.ones_like(target), average="micro")
    assert found["baseline"]["f1"] == pytest.approx(always)
    assert found["baseline"]["mean_average_precision"] == pytest.approx(target.mean())
    options = {"target_names": NAMES, "output_dict": True, "zero_division": 0}
    report = metrics.classification_report(target, selected, **options)
    for i, row in enumerate(found["per_class"]):
        theirs = report[row["class"]]
        assert [row["precision"], row["recall"], row["f1"], row["examples"]] == pytest.approx(
            [theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"]]
        )
        average = metrics.average_precision_score(target[:, i], logits[:, i])
        assert (row["average_precision"], row["threshold"]) == (pytest.approx(average), limits[i])
    low, high = found["f1_interval"]
    assert low < found["f1"] < high and high - low < 0.15
    assert json.loads(json.dumps(found)) == found


def test_labels_that_do_not_occur_and_a_single_example():
    target, logits = np.array([[1, 0, 0]]), np.array([[2.0, -1.0, 1.0]])
    found = score_multilabel(target, logits, logits > 0, NAMES)
    assert found["f1"] == pytest.approx(2 / 3) and found["f1_interval"] == [found["f1"]] * 2
    # the second class neither occurs nor is predicted
    assert found["macro"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert [row["average_precision"] for row in found["per_class"]] == [1, None, None]
    nothing = score_multilabel(0 * target, logits, logits > 9, NAMES)
    assert nothing["f1"] == 0 and nothing["mean_average_precision"] is None
    assert nothing["subset_accuracy"] == 1
    assert "mean average precision none" in format_scores(nothing)
    assert format_score_table(found)[1:3] == [
        "a        100.00% 100.00% 100.00% 100.00%                    1",
        "b          0.00%   0.00%   0.00%                            0",
    ]


def test_thresholds_have_the_highest_f1_of_all():
    target, logits = drawn()
    probabilities = special.expit(logits)
    found = find_thresholds(target, logits)
    for y, p, threshold in zip(target.T, probabilities.T, found, strict=True):
        at_least = p >= p[:, None]  # each probability as a threshold
        best = (2 * (at_least @ y) / (at_least.sum(axis=1) + y.sum())).max()
        assert metrics.f1_score(y, p > np.float32(threshold)) == pytest.approx(best)
        assert np.float32(threshold) not in p, "in the middle between two examples"
        assert len(str(threshold)) <= 12
    assert min(found) > 0 and max(found) < 1
    selected = select_labels(logits, tuple(found))
    np.testing.assert_array_equal(selected, probabilities > np.float32(found))
    np.testing.assert_array_equal(select_labels(logits, ()), logits > 0)


def test_of_equally_good_thresholds_the_nearest_to_a_half_and_none_of_few_examples():
    logits = np.array([[-3.0], [-2], [-2], [-2], [-2], [2], [2], [2], [2], [3]])
    target = (logits > 0).astype(int)
    assert find_thresholds(target, logits) == [pytest.approx(0.5)]
    assert find_thresholds(target[:9], logits[:9]) == [None]
    # two neighbouring float32 have nothing between them
    half = np.float32(0.5)
    close = special.logit(np.float64([half, np.nextafter(half, np.float32(1))]))
    pair = np.repeat(close, 5)[:, None]
    (threshold,) = find_thresholds(np.repeat([[0], [1]], 5, axis=0), pair)
    assert select_labels(pair, (threshold,)).ravel().tolist() == [False] * 5 + [True] * 5


def test_thresholds_are_of_the_validation_split_alone(monkeypatch):
    spec = Spec("features", (2,), (*NAMES[:2], "rare"), multilabel=True)
    target, logits = drawn()
    target[4:, 2] = 0
    split = Arrays(np.zeros((300, 2), "f4"), target.astype("uint8"))
    data = Data("d", "", spec, split, split, split, {})
    validation = dataclasses.replace(split)
    data = dataclasses.replace(data, validation=validation)

    def predict(model, split, spec, batch_size):
        assert split is validation
        return Predictions(target, logits, np.arange(300))

    monkeypatch.setattr(label_thresholds, "predict_split", predict)
    chosen, note = choose_thresholds(None, data, 32)
    expected = find_thresholds(target, logits)
    assert chosen.spec.thresholds == (*expected[:2], 0.5) and expected[2] is None
    assert note.startswith("the threshold of rare stays 0.5: the validation split has fewer than 5")
    record = json.loads(json.dumps({"spec": dataclasses.asdict(chosen.spec)}))
    assert spec_from_record(record, "x") == chosen.spec
    record["spec"]["thresholds"] = [0.5]
    with pytest.raises(UserError, match="1 numbers; expected one for each class"):
        spec_from_record(record, "x")
    other = dataclasses.replace(data, spec=dataclasses.replace(spec, multilabel=False))
    assert choose_thresholds(None, other, 32) == (other, "")


def test_the_most_confident_mistakes(tmp_path):
    target = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 0]])
    logits = np.array([[3.0, 4, -1], [-1, -2, 1], [2, -5, -3], [1, -1, -1]])
    worst = find_worst_label_mistakes(target, logits, logits > 0, 9)
    assert [pair[:2] for pair in worst] == [(2, 1), (0, 1), (1, 2)]
    assert [p for *_, p in worst] == pytest.approx(special.expit([5, 4, 1]))
    spec = Spec("text", (4,), NAMES, multilabel=True)
    texts = Arrays(np.array(["one", "two", "three", "four"], object), target)
    predictions = Predictions(target, logits, np.arange(4))
    score_and_plot(predictions, texts, spec, "test", tmp_path)
    assert (tmp_path / "mistakes.txt").read_text() == (
        "Most confident mistakes on the test split\n\n"
        "a, b, not predicted as b (99%), row 2:\nthree\n\n"
        "a, also predicted as b (98%), row 0:\none\n\n"
        "no label, also predicted as c (73%), row 1:\ntwo\n"
    )
    assert (tmp_path / "classes.png").stat().st_size > 3_000
