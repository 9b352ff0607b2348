"""Scores by group, and the largest gap."""

import math

import numpy as np
import pytest

from zoo.data.spec import Spec
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.slices import describe_gap, format_slices, score_slices

SPEC = Spec("features", (1,), ("no", "yes"))


def predict(correct):
    """Predictions of which some are right, in the order of a split that was shuffled."""
    target = np.arange(len(correct)) % 2
    output = np.eye(2, dtype="float32")[np.where(correct, target, 1 - target)]
    return Predictions(target, output, np.arange(len(correct))[::-1])


def test_each_group_has_its_share_of_the_predictions_and_a_wilson_interval():
    correct = np.array([True] * 90 + [False] * 10 + [True] * 30 + [False] * 20)
    groups = np.array(["a"] * 100 + ["b"] * 50, object)[::-1]
    slices = score_slices(predict(correct), groups, SPEC, "town")
    assert (slices["column"], slices["score"]) == ("town", "accuracy")
    b, a = slices["groups"]  # the worst first
    assert (b["group"], b["examples"], b["score"]) == ("b", 50, 0.6)
    assert (a["group"], a["examples"], a["score"]) == ("a", 100, 0.9)
    z = 1.959964
    for row in (a, b):  # Wilson 1927
        share, n = row["score"], row["examples"]
        centre, scale = share + z**2 / (2 * n), 1 + z**2 / n
        spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        limits = [(centre - spread) / scale, (centre + spread) / scale]
        np.testing.assert_allclose(row["interval"], limits, atol=1e-5)
    gap = slices["largest_gap"]
    assert gap.pop("difference") == pytest.approx(0.3)
    assert gap == {"lowest": "b", "highest": "a", "intervals_overlap": False}
    assert format_slices(slices | {"largest_gap": gap | {"difference": 0.3}}) == [
        "town  examples  accuracy  95% interval",
        "b           50    60.00%  46.18% to 72.39%",
        "a          100    90.00%  82.56% to 94.48%",
        "largest gap of the accuracy: 30.00 points, between b and a, whose intervals do not "
        "overlap",
    ]


def test_one_group_has_no_gap_and_numbers_have_errors():
    slices = score_slices(predict(np.ones(4, bool)), np.array(["a"] * 4, object), SPEC, "town")
    assert slices["largest_gap"] is None and describe_gap(slices) == []
    slices = score_slices(predict(np.ones(4, bool)), np.array([*"abca"], object), SPEC, "town")
    assert describe_gap(slices) == ["the accuracy is the same in all groups"]
    target = np.arange(20.0)[:, None]
    predictions = Predictions(target, target + np.repeat([[1.0], [3.0]], 10, axis=0), np.arange(20))
    groups = np.array(["a", "b"] * 10, object)[np.argsort(np.arange(20) % 2, kind="stable")]
    slices = score_slices(predictions, groups, Spec("features", (1,), None), "town")
    assert slices["score"] == "mae" and [row["score"] for row in slices["groups"]] == [1, 3]
    assert format_slices(slices)[-1] == (
        "largest gap of the MAE: 2, between a and b, whose intervals do not overlap"
    )
