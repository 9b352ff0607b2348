"""Scores against scikit-learn, published values and counts by hand."""

import warnings

import keras
import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from zoo.evaluation import scores
from zoo.evaluation.scores import (
    calibration_error,
    find_worst_mistakes,
    format_score_table,
    score_classification,
    score_regression,
)

NAMES = ("a", "b", "c", "d")


def drawn(count=200, classes=4, seed=0):
    """Classes and logits that favour the right one a little."""
    random = np.random.default_rng(seed)
    target = random.integers(0, classes, count)
    return target, (random.normal(size=(count, classes)) + np.eye(classes)[target]).astype("f4")


# Newcombe 1998, 'Two-sided confidence intervals for the single proportion', table I, method 3
@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_of_the_accuracy(right, count, low, high):
    target, logits = np.zeros(count, int), np.zeros((count, 2), "float32")
    logits[:right, 0] = 1
    logits[right:, 1] = 1
    found = score_classification(target, logits, ("no", "yes"))
    assert found["accuracy"] == right / count and found["examples"] == count
    assert found["accuracy_interval"] == pytest.approx([low, high], abs=6e-5)


def test_four_classes_against_scikit_learn():
    target, logits = drawn()
    given, probabilities = logits.argmax(-1), special.softmax(logits.astype("f8"), axis=-1)
    found = score_classification(target, logits, NAMES)
    report = metrics.classification_report(target, given, target_names=NAMES, output_dict=True)
    for row in found["per_class"]:
        theirs = report[row["class"]]
        assert [row["precision"], row["recall"], row["f1"], row["examples"]] == pytest.approx(
            [theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"]]
        )
        assert isinstance(row["examples"], int)
    average = report["macro avg"]
    assert list(found["macro"].values()) == pytest.approx(
        [average["precision"], average["recall"], average["f1-score"]]
    )
    assert found["f1"] == found["macro"]["f1"]
    auc = metrics.roc_auc_score(target, probabilities, multi_class="ovr")
    assert found["auc"] == pytest.approx(auc)
    assert found["loss"] == pytest.approx(metrics.log_loss(target, probabilities))
    assert found["accuracy"] == metrics.accuracy_score(target, given)


@pytest.mark.parametrize("block", [1, 7, 12])
def test_blocks_of_rows_change_nothing(block, monkeypatch):
    random = np.random.default_rng(0)
    logits, target = random.normal(size=(10, 3)), random.integers(0, 3, 10)
    whole = score_classification(target, logits, ("x", "y", "z"))
    assert whole["loss"] == pytest.approx(metrics.log_loss(target, special.softmax(logits, -1)))
    monkeypatch.setattr(scores, "_BLOCK", block)
    assert score_classification(target, logits, ("x", "y", "z")) == whole


def test_two_classes_by_hand():
    """Of 3 positives 2 are found, with 1 false alarm; 6 of 3 x 4 = 12 pairs but one are ordered."""
    target = np.array([1, 1, 1, 0, 0, 0, 0])
    margin = np.array([2.0, 1.0, -1.0, 1.5, -2.0, -3.0, -4.0])
    found = score_classification(target, np.stack([0 * margin, margin], 1), ("no", "yes"))
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["f1"] == found["per_class"][1]["f1"] == pytest.approx(2 / 3)
    assert found["macro"]["recall"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    # 2.0 is above all four, 1.0 above three and -1.0 above three
    assert found["auc"] == pytest.approx((4 + 3 + 3) / 12)


def test_classes_that_do_not_occur():
    target, logits = drawn()
    logits[:, 3] = -9
    rest = target < 3
    found = score_classification(target[rest], logits[rest], NAMES)
    assert found["macro"]["f1"] == pytest.approx(
        metrics.f1_score(target[rest], logits[rest].argmax(-1), average="macro")
    )
    assert found["per_class"][3] == {
        "class": "d", "precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0
    }  # fmt: skip
    alone = score_classification(np.zeros(3, int), np.eye(3), NAMES[:3])
    assert alone["auc"] is None and alone["accuracy"] == pytest.approx(1 / 3)
    assert format_score_table(alone)[-1].startswith("AUC none, ")


def test_calibration_by_hand():
    """0.75 is in bin 12, (11/15, 12/15]; 0.6 is the upper end of bin 9; 1 is in bin 15."""
    sure = np.array([0.75, 0.75, 0.75, 0.75, 0.6, 1.0])
    probabilities = np.stack([sure, 1 - sure], 1)
    target = np.array([0, 0, 1, 1, 1, 0])
    error, counts, confidence, accuracy = calibration_error(target, probabilities)
    assert error == pytest.approx((4 * abs(0.5 - 0.75) + 0.6 + 0) / 6)
    assert dict(enumerate(counts)) == dict.fromkeys(range(15), 0) | {11: 4, 8: 1, 14: 1}
    assert [confidence[11], accuracy[11]] == [0.75, 0.5] and np.isnan(accuracy[0])


def test_calibration_by_another_way():
    target, logits = drawn(5000)
    probabilities = special.softmax(logits.astype("f8"), axis=-1)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == target
    expected = 0
    for low in np.arange(15) / 15:
        within = (confidence > low) & (confidence <= low + 1 / 15)
        if within.any():
            gap = abs(right[within].mean() - confidence[within].mean())
            expected += within.mean() * gap
    assert calibration_error(target, probabilities)[0] == pytest.approx(expected)


def test_the_worst_mistakes_come_first():
    logits = np.array([[0, 1], [0, 5], [3, 0], [0, 9]], "float32")
    worst = find_worst_mistakes(np.zeros(4, int), logits, 2)
    assert [row for row, _ in worst] == [3, 1]
    assert worst[0][1] == pytest.approx(1 / (1 + np.exp(-9)))
    assert find_worst_mistakes(np.array([1, 1, 0, 1]), logits, 2) == []


def test_regression():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    found = score_regression(target, np.array([1.0, 2.0, 3.0, 6.0]))
    assert found["mae"] == 0.5 and found["mse"] == found["loss"] == 1.0
    assert found["r2"] == pytest.approx(1 - 4 / 5)
    low, high = found["mae_interval"]
    assert 0 <= low < 0.5 < high <= 2
    assert format_score_table(found) == []


def test_a_regression_without_errors_or_with_one_example_has_an_interval():
    one = score_regression(np.array([1.0]), np.array([3.0]))
    assert one["mae_interval"] == [2.0, 2.0] and one["r2"] is None


def test_table():
    target, logits = drawn()
    lines = format_score_table(
        score_classification(target, logits, ("a longer name", "b", "c", "d"))
    )
    assert len(lines) == 1 + 4 + 1 + 1
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[5].startswith("macro") and "expected calibration error 0." in lines[6]


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score_classification(*drawn(3), NAMES)


@pytest.mark.parametrize("offset", [0.0, 1e6, -3e7])
def test_regression_far_from_zero_against_scikit_learn(offset):
    random = np.random.default_rng(0)
    target = (offset + random.normal(size=(301, 1)) * 5).astype("float32")
    output = (target + random.normal(size=(301, 1))).astype("float32")
    found = score_regression(target[:, 0], output[:, 0])
    truth, given = target.astype("float64"), output.astype("float64")
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, given), rel=1e-9)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(truth, given), rel=1e-9)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, given), rel=1e-9)
    ranks = [stats.rankdata(x[:, 0]) for x in (truth, given)]
    for name, (x, y) in {"pearson": (truth[:, 0], given[:, 0]), "spearman": ranks}.items():
        assert found[name] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_correlations():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    found = score_regression(target, np.array([1.0, 4.0, 9.0, 16.0]))
    assert found["spearman"] == pytest.approx(1) and 0.9 < found["pearson"] < 0.99
    tied = score_regression(target, np.array([1.0, 1.0, 2.0, 2.0]))
    assert [tied["spearman"], tied["pearson"]] == pytest.approx([np.sqrt(0.8)] * 2)
    for constant in (score_regression(target, np.ones(4)), score_regression(np.ones(4), target)):
        assert constant["pearson"] is None and constant["spearman"] is None
    nearly = score_regression(np.array([1e9, 1e9 + 1e-6]), np.array([1e9, 1e9 + 1e-6]))
    assert nearly["spearman"] == pytest.approx(1)


def test_constant_targets_have_the_r2_of_scikit_learn():
    target = np.full(50, 7.3, "float32")
    assert score_regression(target, target)["r2"] == 1
    assert score_regression(target, target + 1)["r2"] == 0


def test_scores_are_those_of_keras_in_uneven_batches():
    """37 examples in batches of 16: the last of 5 does not count more."""
    target, logits = drawn(37)
    model = keras.Sequential([keras.layers.Identity()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=["accuracy"])
    theirs = model.evaluate(logits, target, batch_size=16, verbose=0, return_dict=True)
    found = score_classification(target, logits, NAMES)
    assert found["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(theirs["accuracy"])
    assert found["loss"] == pytest.approx(
        metrics.log_loss(target, special.softmax(logits.astype("f8"), axis=-1)), rel=1e-6
    )
