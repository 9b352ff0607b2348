"""Weights of examples, and classes that are repeated."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.batches import training
from support.blobs import blobs, dataset, trained

from zoo.data.fingerprint import compare_fingerprints, compute_fingerprint
from zoo.data.microbatches import MicroBatches
from zoo.data.oversampling import count_oversampled, make_oversampler
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Stream
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.class_balance import (
    count_epoch_examples,
    describe_class_balance,
    steps_per_epoch,
)
from zoo.training.metrics import ExampleLoss
from zoo.training.model_checks import check_labels
from zoo.training.recipe_checks import check_recipe

LABELS = np.array([0] * 7 + [2] * 3 + [1] * 2)
RARE = blobs(kinds=(0, 0, 0, 0, 1, 2))


def weighted_dataset():
    train = blobs(count=90)
    weights = np.random.default_rng(5).uniform(0, 3, 90).astype("float32")
    weights[:9] = 0
    return dataset(train=dataclasses.replace(train, weights=weights))


def test_weights_are_the_sample_weights_of_keras(tmp_path):
    """One batch is the whole epoch, so that the order of the examples does not matter."""
    data = weighted_dataset()
    recipe = Recipe(
        epochs=5, batch_size=90, optimizer="sgd", learning_rate=0.3, schedule="constant"
    )
    model, result = trained(tmp_path, recipe, data, hidden=(8,))
    plain, _ = prepare_model(find_entry("mlp"), {"hidden": (8,), "dropout": 0.0}, recipe, data, 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(0.3), {"logits": loss})
    history = plain.fit(
        data.train.x, data.train.y, 90, 5, verbose=0, sample_weight=data.train.weights
    )
    for weight, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(result["history"]["loss"], history.history["loss"], rtol=1e-6)


def test_weights_in_micro_batches_average_to_those_of_the_whole_batch():
    """Batches of 4, 4 and 2 in three parts each; the first row has weight 0."""
    x = np.arange(10, dtype="float32")[:, None]
    split, spec = Arrays(x, np.arange(10) % 2, weights=x[:, 0]), Spec("features", (1,), None)
    parts = training(split, spec, microbatches=MicroBatches(3, 0, 3, separate=True))(0)
    whole = training(split, spec)(0)
    assert len(parts) == 9
    for batch, (inputs, _, weight) in enumerate(whole):
        expected = np.mean(weight["logits"] * inputs["features"][:, 0])
        means = [np.mean(w["logits"] * i["features"][:, 0]) for i, _, w in parts[3 * batch :][:3]]
        assert np.mean(means) == pytest.approx(expected)
    given = np.concatenate([w["logits"] for *_, w in parts])
    assert (given > 0).sum() == 10, "padding has weight 0, and an example never"


def test_the_loss_of_micro_batches_is_weighted_in_training_alone():
    loss = ExampleLoss(keras.losses.MeanSquaredError(), weighted=True)
    target, predicted = np.zeros((3, 1)), np.array([[1.0], [2.0], [3.0]])
    loss.update_state(target, predicted, np.array([1.5, 1e-30, 3.0], "float32"))
    assert float(loss.result()) == pytest.approx((1.5 * 1 + 3 * 9) / 3)
    loss.reset_state()
    loss.update_state(target, predicted, np.array([1, 1, 0], "float32"))
    assert float(loss.result()) == pytest.approx((1 + 4) / 2), "validation, with a row of padding"
    again = ExampleLoss.from_config(loss.get_config())
    assert again.weighted


def test_weights_go_with_their_rows_and_multiply_the_class_weights():
    x = np.arange(20, dtype="float32")[:, None]
    split = Arrays(x, np.arange(20) % 2, weights=x[:, 0])
    batches = training(
        split, Spec("features", (1,), ("a", "b"), ("x",)), weights=np.array([1, 10], "float32")
    )
    rows = 0
    for inputs, target, weight in batches(0):
        expected = inputs["features"][:, 0] * np.where(target["logits"], 10, 1)
        np.testing.assert_array_equal(weight["logits"], expected)
        rows += len(expected)
    assert rows == 20


def test_other_weights_are_other_data():
    data = weighted_dataset()
    other = dataclasses.replace(data.train, weights=data.train.weights * 2)
    first, second = (
        compute_fingerprint(x, x.spec) for x in (data, dataclasses.replace(data, train=other))
    )
    assert compare_fingerprints(first, second) == ["the train split has other weights"]
    assert "weights" not in compute_fingerprint(dataset(), data.spec)["train"]


def test_a_training_split_without_weight_is_refused():
    train = dataclasses.replace(blobs(), weights=np.zeros(300, "float32"))
    with pytest.raises(UserError, match="all rows of the training split have weight 0"):
        check_labels(dataset(train=train))


def test_all_classes_get_as_many_rows():
    draw = make_oversampler(LABELS)
    seen = set()
    for seed in range(40):
        rows = draw(tf.constant([seed, 0], tf.int64)).numpy()
        assert len(rows) == count_oversampled(LABELS) == 21
        counts = np.bincount(rows, minlength=12)
        assert (counts[:7] == 1).all(), "the largest class is as it was"
        assert sorted(counts[7:10]) == [2, 2, 3] and sorted(counts[10:]) == [3, 4]
        seen.add(tuple(counts))
        np.testing.assert_array_equal(draw(tf.constant([seed, 0], tf.int64)), rows)
    assert len(seen) == 6, "the seed draws which rows are repeated once more"


def test_a_class_without_examples_stays_without():
    labels = np.array([0, 3, 3, 3])
    rows = make_oversampler(labels)(tf.constant([0, 0], tf.int64)).numpy()
    assert np.bincount(labels[rows]).tolist() == [3, 0, 0, 3] and count_oversampled(labels) == 6


def test_an_oversampled_epoch_depends_on_seed_and_epoch_alone():
    split = Arrays(np.arange(12, dtype="float32")[:, None], LABELS)
    spec = Spec("features", (1,), ("a", "b", "c"), ("x",))

    def read(seed, number):
        batches = training(split, spec, batch_size=4, seed=seed, oversample=True)(number)
        assert len(batches) == 6
        return np.concatenate([x["features"][:, 0] for x, _ in batches]).tolist()

    first = read(0, 0)
    assert sorted(np.bincount(LABELS[np.array(first, int)])) == [7, 7, 7]
    assert first == read(0, 0) and first != read(0, 1) and first != read(1, 0)


def test_what_oversampling_does_is_told_and_counted(tmp_path):
    data, recipe = dataset(train=RARE), Recipe(epochs=1, batch_size=64, oversample=True)
    counts = np.bincount(RARE.y)
    examples = 3 * counts[0]
    assert count_epoch_examples(data, recipe) == examples
    assert steps_per_epoch(data, recipe) == -(-examples // 64)
    (line,) = describe_class_balance(data, recipe)
    times = [f"{counts[0] / count:.3g}" for count in counts[1:]]
    assert line == (
        f"oversampling repeats b {times[0]} times, c {times[1]} times: each class has {counts[0]} "
        f"of the {examples} examples of an epoch"
    )
    assert describe_class_balance(data, Recipe()) == []
    weights = [f"{name} {len(RARE.y) / 3 / n:.3g}" for name, n in zip("abc", counts, strict=True)]
    assert describe_class_balance(data, Recipe(class_weights="balanced")) == [
        f"class weights: {', '.join(weights)}"
    ]
    model, _ = trained(tmp_path, recipe, data, hidden=(4,))
    assert int(model.optimizer.iterations) == steps_per_epoch(data, recipe)


def test_where_oversampling_is_refused():
    stream = Stream(300, lambda seed, rows: None, labels=RARE.y)
    with pytest.raises(UserError, match="raise --memory_budget, or use --class_weights=balanced"):
        count_epoch_examples(dataset(train=stream), Recipe(oversample=True))
    with pytest.raises(UserError, match="each of them balances the classes"):
        Recipe(oversample=True, class_weights="balanced")
    with pytest.raises(UserError, match="omit --oversample"):
        check_recipe(Recipe(oversample=True), Spec("features", (1,), None))
    with pytest.raises(UserError, match=r"several labels.* --class_weights=balanced"):
        labels = Spec("features", (1,), ("a", "b"), multilabel=True)
        check_recipe(Recipe(oversample=True), labels)
