"""Cross-validation: the parts, and the numbers that come of them."""

import json

import numpy as np
import pytest

from zoo import crossvalidation, data, options, registry
from zoo.data.spec import Arrays, Spec
from zoo.errors import UserError
from zoo.recipe import Recipe

CLASSES = Spec("features", (2,), ("a", "b"))
NUMBERS = Spec("features", (2,), None)


def test_each_example_is_in_one_part_and_each_class_in_all():
    target = np.repeat([0, 1], [30, 12])
    parts = crossvalidation.parts(target, CLASSES, 6, 0)
    assert (np.sum(parts, axis=0) == 1).all()
    assert [np.bincount(target[rows]).tolist() for rows in parts] == [[5, 2]] * 6
    again = crossvalidation.parts(target, CLASSES, 6, 0)
    other = crossvalidation.parts(target, CLASSES, 6, 1)
    assert (np.array(parts) == again).all() and not (np.array(parts) == other).all()


def test_numbers_need_no_classes():
    parts = crossvalidation.parts(np.linspace(0, 1, 11)[:, None], NUMBERS, 4, 0)
    assert (np.sum(parts, axis=0) == 1).all()
    assert sorted(int(rows.sum()) for rows in parts) == [2, 3, 3, 3]


def test_too_many_parts():
    with pytest.raises(
        UserError, match=r"kfold=4: there are 3 examples of class 'b': take at most"
    ):
        crossvalidation.parts(np.repeat([0, 1], [9, 3]), CLASSES, 4, 0)


def test_the_numbers(tmp_path, monkeypatch, capsys):
    """Each fold learns from its own part alone, and what it scores is not in it."""
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 2)).astype("float32")
    everything = Arrays(x, (x[:, 0] > 0).astype("int64"))
    found = data.Data("d", "", CLASSES, everything, everything, everything, {})
    seen = []

    def prepare(fold):
        seen.append((fold.train.x, fold.test.x))
        return fold

    record = crossvalidation.run(
        registry.find("mlp"),
        {"hidden": (8,)},
        Recipe(epochs=2, learning_rate=0.1),
        found,
        prepare=prepare,
        count=3,
        seed=0,
        named=set(),
        directory=tmp_path,
    )
    for train, test in seen:
        assert len(train) == 60 and len(test) == 30
        assert not {tuple(row) for row in train} & {tuple(row) for row in test}
    assert len(np.unique(np.concatenate([test for _, test in seen]), axis=0)) == 90
    values = [fold["accuracy"] for fold in record["folds"]]
    assert record["mean"] == pytest.approx(sum(values) / 3) and record["mean"] > 0.8
    deviations = sum((value - record["mean"]) ** 2 for value in values)
    assert record["spread"] == pytest.approx((deviations / 2) ** 0.5)
    assert record["recipe"]["batch_size"] == 8, "few examples, small batches"
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(record))
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"], "no folder of a fold is left"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("fold ")][-1].startswith("fold 3/3: accuracy")
    assert lines[-2] == (
        f"mlp on d: accuracy {record['mean']:.2%}, standard deviation {record['spread']:.2%}, "
        "3 folds"
    )


def test_words_are_counted_in_each_training_part_alone(tmp_path, monkeypatch):
    """What only the scored part says is unknown to the model."""
    rows = ["text,label", *(f"word{i} said,{'ab'[i % 2]}" for i in range(12))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    found = data.read(f"csv:{tmp_path / 't.csv'}", text=("text",), label="label")
    rows = crossvalidation.parts(data.labels(found.train), found.spec, 2, 0)[0]
    train, test = found.train.only(~rows), found.train.only(rows)
    fold = data.prepare(data.Data("d", "", found.spec, train, test, test, {}))
    vocabulary = set(fold.spec.tokenizer.vocabulary)
    assert {x.split()[0] for x in train.x} <= vocabulary
    assert not {x.split()[0] for x in test.x} & vocabulary


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--flagfile=configs/wide.flags"], "wide"),
        (["--flagfile", "x/a.flags", "--flagfile=b.flags", "--epochs=2"], "b"),
        (["--flagfile=runs/cnn/flags.txt"], ""),
        (["--model=cnn", "flagfile=x.flags"], ""),
        ([], ""),
    ],
)
def test_name_of_the_config(arguments, name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    assert options.config() == name
