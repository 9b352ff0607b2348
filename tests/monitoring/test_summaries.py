"""Summaries of traits: p-values of SciPy, false alarms, and what is damaged."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from zoo.errors import UserError
from zoo.monitoring.summaries import compare_trait, summarize_trait

RANDOM = np.random.default_rng(0)


def draw_numbers(count):
    return RANDOM.gamma(2.0, size=count)


def draw_counts(count):
    return RANDOM.integers(0, 6, count).astype(float)


def draw_names(count):
    return RANDOM.choice(list("abcdefghijkl"), count, p=np.arange(1, 13) / 78).astype(object)


def compare(before, after):
    summary = json.loads(json.dumps(summarize_trait(before)))
    return compare_trait("x", summary, after)


@pytest.mark.parametrize("draw", [draw_numbers, draw_counts, draw_names])
@pytest.mark.parametrize(("before", "after"), [(200, 100), (10_000, 500)])
def test_p_values_of_the_same_distribution_are_spread_evenly(draw, before, after):
    p_values = np.array([compare(draw(before), draw(after))[0].p_value for _ in range(200)])
    # a binomial share of 200: 0.05 + 3 standard deviations
    assert (p_values < 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert (p_values < 0.001).sum() <= 2


def test_numbers_as_scipy():
    before, after = draw_numbers(4_000), draw_numbers(300) + 0.2
    (found,) = compare(before, after)
    expected = stats.ks_2samp(before, after, method="asymp")
    assert found.test == "Kolmogorov-Smirnov"
    # the distance is less that of the grid of quantiles, 1 / 501
    assert np.log10(found.p_value) == pytest.approx(np.log10(expected.pvalue), abs=0.6)
    assert found.p_value >= expected.pvalue


def test_categories_as_scipy():
    before, after = draw_names(2_000), RANDOM.choice(list("abcdefghijkl"), 500).astype(object)
    (found,) = compare(before, after)
    counts = [pd.Series(x).value_counts().reindex(list("abcdefghijkl")) for x in (before, after)]
    expected = stats.chi2_contingency(np.array(counts))
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    shares = [x / x.sum() for x in counts]
    index = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    assert found.stability_index == pytest.approx(index)


def test_missing_and_unseen_values():
    before = np.array(["a"] * 90 + ["b"] * 10, object)
    after = np.array(["a"] * 60 + ["c"] * 20 + [None] * 10 + [""] * 10, object)
    names, missing = compare(before, after)
    assert names.unseen == ("c",) and names.p_value < 1e-4 and names.stability_index > 1
    assert missing.trait == "x (missing)" and (missing.before, missing.after) == ("0.0%", "20.0%")
    assert missing.p_value == pytest.approx(stats.fisher_exact([[100, 0], [80, 20]]).pvalue)
    numbers = np.array([1.0, 2.0, 3.0] * 20)
    assert [x.test for x in compare(numbers, np.append(numbers, np.nan))] == [
        "Kolmogorov-Smirnov",
        "missing",
    ]
    assert compare(np.full(5, np.nan), np.full(5, np.nan))[0].p_value == 1
    assert compare(numbers, np.array([]))[0:] == []


def test_many_categories_are_pooled():
    names = np.array([f"c{i}" for i in range(3_000)], object)
    summary = summarize_trait(names)
    assert len(summary["counts"]) == 100 and summary["other"] == 1_500
    (found,) = compare_trait("id", summary, names[:200])
    assert not found.unseen, "the others are not known by name"


@pytest.mark.parametrize("kinds", [150, 300, 3_000])
def test_no_alarm_from_the_choice_of_the_categories_that_are_counted(kinds):
    """Which of many are the most frequent in the summary is chance in part."""

    def draw(count):
        return np.array([f"c{i}" for i in RANDOM.integers(0, kinds, count)], object)

    found = [compare(draw(before), draw(2_000))[0] for before in [300, 5_000] * 10]
    assert sum(each.p_value < 0.01 and each.stability_index >= 0.1 for each in found) <= 1
    (changed,) = compare(draw(5_000), np.array(["c1", "new"] * 1_000, object))
    assert changed.p_value < 1e-9 and changed.stability_index > 0.1


def test_a_damaged_summary():
    with pytest.raises(UserError, match=r"the summary of 'x' is damaged .*export the model again"):
        compare_trait("x", {"kind": "number", "count": 3, "missing": 0}, np.array([1.0]))
