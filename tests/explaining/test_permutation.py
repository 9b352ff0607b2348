"""Permutation importance."""

import numpy as np
import pytest

from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.errors import UserError
from zoo.explaining.permutation import measure_importances, measure_split_importances

RANDOM = np.random.default_rng(0)
COLUMNS = {
    "a": RANDOM.normal(size=400),
    "town": RANDOM.choice(np.array(["Rom", "Ulm"], object), 400),
    "unread": RANDOM.normal(size=400),
}


def test_columns_that_are_not_read_do_not_matter():
    def predict(raw):
        return raw["a"] + 5 * (raw["town"] == "Rom") > 0

    target = predict(COLUMNS)
    importances = measure_importances(predict, COLUMNS, target)
    assert (importances.score, importances.value) == ("accuracy", 1.0)
    names = [row["column"] for row in importances.to_dict()["columns"]]
    assert names == ["town", "a", "unread"] and importances.means[2] == 0
    # half of the towns are others, which decide alone
    assert importances.means[1] == pytest.approx(0.25, abs=0.06)
    again = measure_importances(predict, COLUMNS, target)
    assert np.array_equal(importances.means, again.means)


def test_falls_that_cancel_each_other_are_zero():
    """The mean of five accuracies less the first one was 4e-17, and not 0."""
    target = np.arange(9) % 2 == 0
    for seed in range(40):
        columns = {"a": np.random.default_rng(seed).normal(size=9) + 0.5 * target}
        (mean,) = measure_importances(lambda raw: raw["a"] > 0, columns, target).means
        assert mean == 0 or abs(mean) > 0.01


def test_errors_of_a_regression_rise():
    def predict(raw):
        return 3 * raw["a"]

    importances = measure_importances(predict, COLUMNS, predict(COLUMNS), "mae")
    assert (importances.score, importances.value) == ("mae", 0)
    # the mean distance of two normal numbers is 2 / sqrt(pi)
    assert importances.means[0] == pytest.approx(3 * 2 / np.sqrt(np.pi), rel=0.1)


class Halves:
    """An explainer whose second input decides."""

    def __init__(self, kind, names=()):
        self.spec = Spec(kind, (2,), ("no", "yes"), names)

    def predict(self, raw):
        second = raw["features"][:, 1] if "features" in raw else raw["text_b"] == "yes"
        return {"class_id": second > 0.25}


def test_several_labels_have_the_f1_of_all():
    def predict(raw):
        return np.stack([raw["a"] > 0, raw["town"] == "Rom"], axis=1)

    importances = measure_importances(predict, COLUMNS, predict(COLUMNS).astype("uint8"), "f1")
    assert (importances.score, importances.value) == ("f1", 1)
    # one of two labels is as good as drawn
    assert importances.means[:2] == pytest.approx([0.25, 0.25], abs=0.06)


def test_vectors_and_pairs_have_columns_and_images_none():
    x = np.stack([COLUMNS["unread"], COLUMNS["a"]], axis=1)
    split = Arrays(x, (x[:, 1] > 0.25).astype("int64"))
    importances = measure_split_importances(Halves("features", ("u", "v")), split)
    assert importances.names == ("u", "v") and importances.value == 1
    assert importances.means[0] == 0 < importances.means[1]
    pairs = np.array([["it rains", "yes"], ["it rains", "no"]] * 20, object)
    split = Arrays(pairs, np.array([1, 0] * 20))
    importances = measure_split_importances(Halves("text_pair"), split)
    assert importances.names == ("text_a", "text_b") and importances.means[0] == 0
    with pytest.raises(UserError, match=r"images have no columns .* choose another --method"):
        measure_split_importances(Halves("image"), split)
