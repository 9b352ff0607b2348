"""Comparisons of two models in pairs, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.evaluation.comparison import compare_predictions, format_comparisons, format_gain
from zoo.evaluation.predictions import Predictions

CLASSES = Spec("features", (1,), ("a", "b"))


def predict(target, correct):
    """Predictions of two classes that are right where `correct` is set."""
    predicted = np.where(correct, target, 1 - target)
    return Predictions(target, np.eye(2, dtype="float32")[predicted], np.arange(len(target)))


def compare(won, lost, count=100):
    target, rows = np.arange(count) % 2, np.arange(count)
    pair = predict(target, rows >= won), predict(target, (rows < count - lost))
    return compare_predictions("all", *((each, CLASSES) for each in pair))


def test_the_interval_of_an_accuracy_agrees_with_mcnemars_exact_test():
    found = compare(9, 1)
    assert (found.before, found.after) == (0.91, 0.99) and found.gain == pytest.approx(0.08)
    assert found.p_value == pytest.approx(stats.binomtest(9, 10).pvalue)
    share = stats.binomtest(9, 10).proportion_ci(0.95)
    assert found.gain_interval == pytest.approx([(2 * x - 1) * 0.1 for x in share])
    for won in range(12):
        for lost in range(12 - won):
            each = compare(won, lost)
            is_better = each.gain_interval[0] > 0
            assert is_better == (won > lost and each.p_value < 0.05), (won, lost)
            assert each.gain_interval[0] <= each.gain <= each.gain_interval[1]
    same = compare(0, 0)
    assert (same.gain, same.gain_interval, same.p_value) == (0, (0, 0), 1)


def test_an_interval_holds_what_it_says():
    """Of two models that are equally good at most 5% of the comparisons have a winner."""
    random, winners = np.random.default_rng(0), 0
    target = np.zeros(80, "int64")
    for _ in range(400):
        pair = (predict(target, random.random(80) < 0.8) for _ in range(2))
        low, high = compare_predictions("all", *((x, CLASSES) for x in pair)).gain_interval
        winners += low > 0 or high < 0
    assert winners / 400 <= 0.05


def test_numbers():
    random = np.random.default_rng(0)
    spec, target = Spec("features", (1,), None), random.normal(size=(50, 1)).astype("float32")
    old, new = (target + random.normal(0, s, (50, 1)).astype("float32") for s in (1.0, 0.5))
    pair = [(Predictions(target, output, np.arange(50)), spec) for output in (old, new)]
    found = compare_predictions("all", *pair)
    assert found.score == "mae" and found.after == pytest.approx(np.abs(new - target).mean())
    assert found.gain == pytest.approx(1 - found.after / found.before)
    low, high = found.gain_interval
    assert 0 < low < found.gain < high < 1
    test = stats.ttest_rel(np.abs(old - target)[:, 0], np.abs(new - target)[:, 0])
    assert low * found.before == pytest.approx(test.confidence_interval(0.95).low, rel=1e-4)
    same = compare_predictions("all", pair[0], pair[0])
    assert (same.gain, same.gain_interval) == (0, (0, 0))
    lines = format_comparisons([found], ("version 1", "version 2"))
    assert lines[0].split("  ")[-1] == "gain (95% interval)" and "MAE of version 1" in lines[0]
    assert (
        f"{100 * found.gain:+.2f}% (" in lines[1] and len({line.find(" (") for line in lines}) < 3
    )
    with pytest.raises(UserError, match=r"few: 1 held-out example to compare.* expected 2"):
        one = [(each.select_examples(np.arange(50) < 1), spec) for each, _ in pair]
        compare_predictions("few", *one)


def test_several_labels():
    random = np.random.default_rng(0)
    spec = Spec("features", (1,), ("a", "b", "c"), multilabel=True)
    target = (random.random((200, 3)) < 0.4).astype("float32")
    pair = [
        (
            Predictions(target, (2 * target - 1 + random.normal(0, s, (200, 3))), np.arange(200)),
            spec,
        )
        for s in (2.0, 1.0)
    ]
    found = compare_predictions("all", *pair)
    low, high = found.gain_interval
    assert found.score == "f1" and 0 < low < found.gain < high < 0.5
    assert compare_predictions("all", *pair[::-1]).gain_interval == pytest.approx((-high, -low))
    assert format_gain(found).startswith(f"{100 * found.gain:+.2f} points (")
