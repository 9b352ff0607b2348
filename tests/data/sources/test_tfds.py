"""Datasets of TFDS whose splits, columns and labels are not the usual ones."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.loading import load_data, read_data
from zoo.data.splits import read_labels
from zoo.errors import UserError

F = tfds.features
LABEL = {"label": F.ClassLabel(names=["a", "b"])}


class Base(tfds.core.GeneratorBasedBuilder):
    """60 examples in each split."""

    VERSION = tfds.core.Version("1.0.0")
    skip_registration = True
    keys = None
    splits = ("train",)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=F.FeaturesDict(self.features), supervised_keys=self.keys
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.splits}

    def _generate_examples(self, split):
        for i in range(60):
            yield i, self.example(i, split)


@pytest.fixture
def read(tmp_path):
    """Defines and reads a dataset."""
    count = 0

    def read(features, example, keys=None, splits=("train",), load=read_data, **settings):
        nonlocal count
        count += 1
        name = f"zoo_odd_{tmp_path.name}_{count}".replace("-", "_")
        content = {"features": features, "keys": keys, "splits": splits, "name": name}
        type(name, (Base,), content | {"example": staticmethod(example)})
        return load(DataConfig(name, data_dir=str(tmp_path), **settings))

    return read


X = {"x": F.Tensor(shape=(2,), dtype=np.float32), **LABEL}


def number(i, split="", label=None):
    return {"x": np.array([i, 1], "float32"), "label": i % 2 if label is None else label}


def test_splits_within_the_training_data_are_not_scored(read):
    given = {"keys": ("x", "label"), "splits": ("train", "test", "extra")}
    data = read(X, number, **given, train_split="all")
    assert data.splits["test"] == "a seeded 10% of all"
    assert len(data.train) + len(data.validation) + len(data.test) == 180
    assert any("the test split is not scored, since all has" in note for note in data.notes)
    data = read(X, number, **given, train_split="test[:50%]")
    assert len(data.train) + len(data.validation) + len(data.test) == 30
    assert any(note.endswith("not read: train, extra") for note in data.notes)


def test_splits_of_other_names(read):
    data = read(X, number, ("x", "label"), ("training", "dev"))
    assert data.splits["train"] == "training" and data.splits["test"] == "dev"
    data = read(X, number, ("x", "label"), ("learn",))
    assert "its only split, learn, is taken for the training split" in data.notes[0]
    with pytest.raises(UserError, match=r"no split train: .* such as --train_split=learn. It has"):
        read(X, number, ("x", "label"), ("learn", "exam"))
    with pytest.raises(UserError, match=r"no examples of .*: choose a larger part"):
        read(X, number, ("x", "label"), train_split="train[:0%]")
    with pytest.raises(UserError, match=r"no examples of .*: choose a larger part"):
        read(X, number, ("x", "label"), train_split="train[9%:5%]")
    with pytest.raises(UserError, match="are in it twice: choose parts that do not overlap"):
        read(X, number, ("x", "label"), train_split="train[50%:]+train[:20%]+train[10%:30%]")
    images = {"image": F.Image(shape=(None, None, 3)), **LABEL}
    data = read(images, image, ("image", "label"), ("learn", "exam"), train_split="learn")
    assert data.spec.shape == (8, 9, 3) and data.splits["test"] == "a seeded 10% of learn"


def image(i, split):
    return {"image": np.full((8, 9, 3), i, "uint8"), "label": i % 2}


def test_examples_without_a_label_are_left_out(read):
    data = read(X, lambda i, split: number(i, label=-1 if i % 5 == 0 else i % 2), ("x", "label"))
    assert len(data.train) + len(data.validation) + len(data.test) == 48
    assert any("left out: 12 rows without a label" in note for note in data.notes)
    for x, y in data.train.read(None).as_numpy_iterator():
        assert x[0] % 5 and x[0] % 2 == y
    assert read_labels(data.train).tolist() == [
        int(y) for _, y in data.train.read(None).as_numpy_iterator()
    ]
    data = read(
        X, lambda i, s: number(i, label=-1 if s == "test" else None), ("x", "label"),
        ("train", "test"),
    )  # fmt: skip
    assert any("test is left out: its column 'label' is empty" in note for note in data.notes)


def test_a_gap_makes_numbers_the_columns_of_a_table(read):
    def gap(i, split):
        return {"x": np.array([i, np.nan if i % 7 == 3 else i * i], "float32"), "label": i % 2}

    data = read(X, gap, ("x", "label"), load=load_data)
    assert [(c.name, c.kind, c.has_missing) for c in data.spec.columns] == [
        ("x_0", "number", False),
        ("x_1", "number", True),
    ]
    assert any("column x_1 has gaps (no finite number) in the train split" in n for n in data.notes)
    assert all(np.isfinite(split.x).all() for split in (data.train, data.validation, data.test))


def test_nested_and_mixed_columns(read):
    features = {
        "person": {"age": np.float32, "sex": F.ClassLabel(names=["f", "m"])},
        "town": F.Text(),
        "alive": np.bool_,
    }

    def example(i, split):
        age = np.nan if i == 5 else 20 + i
        return {
            "person": {"age": age, "sex": i % 2},
            "town": f"town {i % 3}",
            "alive": i % 4 == 0,
        }

    inputs = {"age": "person", "town": "town"}
    data = read(features, example, (inputs, "alive"), load=load_data)
    kinds = {column.name: column.kind for column in data.spec.columns}
    assert kinds == {"person.age": "number", "person.sex": "category", "town": "category"}
    assert data.spec.class_names == ("False", "True")
    data = read(features, example, label="person.sex", load=load_data)
    assert data.spec.class_names == ("f", "m") and data.spec.kind == "text"
    unread = "these columns are not read: person.age, alive (--model=mlp --columns=town:text "
    assert any(unread in note for note in data.notes)
    for keys in (None, ("town", "alive")):
        chosen = {"columns": (("town", "text"),), "label": "person.sex"}
        data = read(features, example, keys, load=load_data, **chosen)
        kinds = {column.name: column.kind for column in data.spec.columns}
        assert kinds == {"person.age": "number", "town": "text", "alive": "category"}


@pytest.mark.parametrize(
    ("dtype", "values", "names"),
    [
        (np.int64, (5, 100, 70_000), ("5", "100", "70000")),
        (F.Text(), ("no", "yes", "maybe"), ("maybe", "no", "yes")),
        (np.float32, (0.0, 1.0, 2.0), ("0", "1", "2")),
        (np.float32, (0.5, 1.0, 2.0), None),
    ],
)
def test_labels_of_all_sorts(dtype, values, names, read):
    features = X | {"label": dtype}
    data = read(features, lambda i, s: number(i, label=values[i % 3]), ("x", "label"))
    assert data.spec.class_names == names
    for x, y in data.train.read(None).as_numpy_iterator():
        value = values[int(x[0]) % 3]
        assert y == (names.index(f"{value:g}" if dtype != F.Text() and not isinstance(value, str)
                                 else value) if names else value)  # fmt: skip


def test_groups_of_images_stay_together(read):
    images = {"image": F.Image(shape=(8, 9, 3)), "patient": np.int64, **LABEL}

    def example(i, split):
        return image(i, split) | {"patient": i // 6}

    data = read(images, example, label="label", group="patient")
    parts = [set(split.groups) for split in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == 10 == len(set.union(*parts))
    data = read(images, example, label="label", time="patient")
    assert data.test.times.min() > data.validation.times.max() > data.train.times.max()


@pytest.mark.parametrize(
    ("items", "lists", "names", "matrix"),
    [
        (
            F.ClassLabel(names=["a", "b", "c"]),
            [[], [0], [2, 0], [-1]],
            ("a", "b", "c"),
            [[0, 0, 0], [1, 0, 0], [1, 0, 1]],
        ),
        (F.Text(), [[], ["x|y"], ["z", "x|y"]], ("x|y", "z"), [[0, 0], [1, 0], [1, 1]]),
        (np.int64, [[2], [10, 2], []], ("2", "10"), [[1, 0], [1, 1], [0, 0]]),
    ],
    ids=["classes", "texts", "numbers"],
)
def test_lists_of_labels(items, lists, names, matrix, read):
    images = {"image": F.Image(shape=(8, 9, 3)), "labels": F.Sequence(items)}

    def example(i, split):
        return {"image": np.full((8, 9, 3), i, "uint8"), "labels": lists[i % len(lists)]}

    data = read(images, example, ("image", "labels"))
    assert data.spec.task == "multilabel" and data.spec.class_names == names
    for x, y in data.train.read(None).as_numpy_iterator():
        assert y.tolist() == matrix[x[0, 0, 0] % len(lists)]
    assert any("rows have no value" in note for note in data.notes) == ([-1] in lists)


TAGS = {"x": F.Tensor(shape=(2,), dtype=np.float32), "tags": F.Sequence(LABEL["label"])}


@pytest.mark.parametrize(
    ("features", "example", "settings", "message"),
    [
        (TAGS, lambda i, s: {"x": [1, 2], "tags": [0, 1]}, {"label": "x"},
         r"the label .x. is a vector of shape \(2,\); expected a class, a number, a text, or"),
        (TAGS | {"tags": F.Sequence(np.float32)}, lambda i, s: {"x": [1, 2], "tags": [0, 1]},
         {"label": "tags"}, r"is Sequence of shape \(None,\); expected a class, a number, a text"),
        (TAGS, lambda i, s: {"x": [1, 2], "tags": [0]}, {}, "choose the column to predict"),
        (X, number, {"label": "lable"}, "no column 'lable'. Did you mean 'label'"),
        (X, number, {"task": "regression"}, "the label 'label' of .* is a class: omit --task"),
        ({**X, "label": np.int64}, lambda i, s: number(i, label=i % 3 + (s == "test") * (i > 57)),
         {"splits": ("train", "test")}, "test, row 50: .*'3' .* expected a class of train"),
        ({"a": F.Image(), "b": F.Image(), **LABEL}, lambda i, s: {"a": np.zeros((4, 4, 3), "uint8"),
         "b": np.zeros((4, 4, 3), "uint8"), "label": 0}, {}, "several images, a, b: name the one"),
        ({"film": F.Sequence(np.int64), **LABEL}, lambda i, s: {"film": [1], "label": i % 2}, {},
         r"no column that a model can read: film \(Sequence\)"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_expected(features, example, settings, message, read):
    with pytest.raises(UserError, match=message):
        read(features, example, **settings)
