"""Cross-validation: the parts, and the numbers that come of them."""

import json

import numpy as np
import pytest

from zoo.commands.recipe_files import find_config_name
from zoo.data.config import DataConfig
from zoo.data.loading import prepare_data, read_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, read_labels
from zoo.errors import UserError
from zoo.evaluation.cross_validation import (
    format_fold_summary,
    score_folds,
    split_folds,
    split_time_folds,
    summarize_folds,
)
from zoo.recipe import Recipe
from zoo.registry import find_entry

CLASSES = Spec("features", (2,), ("a", "b"))
NUMBERS = Spec("features", (2,), None)


def test_each_example_is_in_one_part_and_each_class_in_all():
    target = np.repeat([0, 1], [30, 12])
    parts = split_folds(target, CLASSES, 6, 0)
    assert (np.sum(parts, axis=0) == 1).all()
    assert [np.bincount(target[rows]).tolist() for rows in parts] == [[5, 2]] * 6
    again = split_folds(target, CLASSES, 6, 0)
    other = split_folds(target, CLASSES, 6, 1)
    assert (np.array(parts) == again).all() and not (np.array(parts) == other).all()


def test_several_labels_are_shared_by_the_rarest_of_each():
    target = np.zeros((60, 3), "uint8")
    target[:20, 0], target[:4, 1], target[5, 2] = 1, 1, 1
    spec = Spec("features", (2,), ("a", "b", "c"), multilabel=True)
    parts = split_folds(target, spec, 4, 0)
    assert (np.sum(parts, axis=0) == 1).all()
    counts = np.array([target[rows].sum(axis=0) for rows in parts])
    assert counts[:, 1].tolist() == [1] * 4 and counts[:, 0].min() >= 4
    with pytest.raises(UserError, match="kfold=61: 60 examples"):
        split_folds(target, spec, 61, 0)


def test_numbers_need_no_classes():
    parts = split_folds(np.linspace(0, 1, 11)[:, None], NUMBERS, 4, 0)
    assert (np.sum(parts, axis=0) == 1).all()
    assert sorted(int(rows.sum()) for rows in parts) == [2, 3, 3, 3]


def test_groups_are_each_in_one_part():
    groups = np.repeat(np.arange(12), 4)
    target = groups % 2
    for spec in (CLASSES, NUMBERS):
        parts = split_folds(target, spec, 3, 0, groups)
        assert (np.sum(parts, axis=0) == 1).all()
        assert sum(len(set(groups[rows])) for rows in parts) == 12
    with pytest.raises(UserError, match="kfold=4: 3 groups: use at most 3 folds"):
        split_folds(target, CLASSES, 4, 0, groups // 4)


def test_parts_are_newer_than_what_is_trained_on():
    times = np.array([5.0, 1, 3, 2, 4, 6, 6, 1])
    folds = split_time_folds(times, 2)
    assert [np.flatnonzero(new).tolist() for _, new in folds] == [[2, 4], [0, 5, 6]]
    assert [np.flatnonzero(old).tolist() for old, _ in folds] == [[1, 3, 7], [1, 2, 3, 4, 7]]
    with pytest.raises(UserError, match="2 different times: too few for folds: omit --kfold"):
        split_time_folds(np.array([1.0, 2, 2]), 2)


def test_too_many_parts():
    with pytest.raises(UserError, match=r"kfold=4: 3 examples of class 'b': use at most"):
        split_folds(np.repeat([0, 1], [9, 3]), CLASSES, 4, 0)


def test_too_few_examples_are_found_at_once(tmp_path):
    few = Arrays(np.zeros((12, 2), "float32"), np.repeat([0, 1], [9, 3]))
    data = Data("d", "", CLASSES, few, few, few, {})
    with pytest.raises(UserError, match="kfold=4: 3 examples"):
        score_folds(
            find_entry("mlp"),
            {},
            Recipe(),
            data,
            prepare=None,
            count=4,
            seed=0,
            directory=tmp_path,
        )


def check_spread(record, folds):
    """That the mean and the spread are those of the folds."""
    values = [fold["accuracy"] for fold in folds]
    assert record["score"] == "accuracy" and record["mean"] > 0.8
    assert record["mean"] == pytest.approx(sum(values) / 3)
    deviations = sum((value - record["mean"]) ** 2 for value in values)
    assert record["spread"] == pytest.approx((deviations / 2) ** 0.5)


def summary(record, dataset):
    numbers = f"{record['mean']:.2%}, standard deviation {record['spread']:.2%}"
    return f"mlp on {dataset}: accuracy {numbers}, 3 folds"


def test_the_numbers(tmp_path, capsys):
    """Each fold learns from its own part alone, and what it scores is not in it."""
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 2)).astype("float32")
    everything = Arrays(x, (x[:, 0] > 0).astype("int64"))
    data = Data("d", "", CLASSES, everything, everything, everything, {})
    seen = []

    def prepare(fold):
        seen.append((fold.train.x, fold.test.x))
        return fold

    folds = list(
        score_folds(
            find_entry("mlp"),
            {"hidden": (8,)},
            Recipe(epochs=2, batch_size=8, learning_rate=0.1),
            data,
            prepare=prepare,
            count=3,
            seed=0,
            directory=tmp_path,
        )
    )
    assert len(folds) == len(seen) == 3
    for train, test in seen:
        assert len(train) == 60 and len(test) == 30
        assert not {tuple(row) for row in train} & {tuple(row) for row in test}
    assert len(np.unique(np.concatenate([test for _, test in seen]), axis=0)) == 90
    record = summarize_folds(folds, CLASSES) | {"model": "mlp", "dataset": "d", "folds": folds}
    check_spread(record, folds)
    assert format_fold_summary(record) == summary(record, "d")
    assert not list(tmp_path.iterdir()), "no folder of a fold is left"
    assert "fold" not in capsys.readouterr().out, "only the command prints"


def test_the_command(python, tmp_path):
    """What it prints and writes."""
    random = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a > 0 else 'no'}" for a, b in random.normal(size=(110, 2))]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,label", *rows]) + "\n")
    flags = ("--model=mlp", "--hparam=hidden=8", "--epochs=2", "--learning_rate=0.1")
    flags += ("--dataset=csv:t.csv", "--label=label", "--kfold=3", "--out=folds", "--nojit_compile")
    done = python("-m", "zoo", "evaluate", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    record = json.loads((tmp_path / "folds" / "metrics.json").read_text())
    check_spread(record, record["folds"])
    # of 110 rows a tenth is the test split, and a tenth of the others the validation split
    assert [fold["examples"] for fold in record["folds"]] == [30, 30, 29]
    assert record["recipe"]["batch_size"] == 8, "few examples, small batches"
    files = [p.name for p in (tmp_path / "folds").iterdir()]
    assert files == ["metrics.json"], "no folder of a fold is left"
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith("fold ")]
    assert told[0] == "fold 1/3" and told[-1].startswith("fold 3/3: accuracy")
    assert lines[-2:] == [summary(record, "csv:t.csv"), "cross-validation: folds/metrics.json"]


def test_words_are_counted_in_each_training_part_alone(tmp_path):
    """What only the scored part says is unknown to the model."""
    rows = ["text,label", *(f"word{i} said,{'ab'[i % 2]}" for i in range(12))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    data = read_data(DataConfig(f"csv:{tmp_path / 't.csv'}", text=("text",), label="label"))
    rows = split_folds(read_labels(data.train), data.spec, 2, 0)[0]
    train, test = data.train.select_rows(~rows), data.train.select_rows(rows)
    fold = prepare_data(Data("d", "", data.spec, train, test, test, {}), DataConfig())
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
        (["--recipe=wide"], "wide"),
        (["--flagfile=x/a.flags", "--recipe", "wide"], "wide"),
        ([], ""),
    ],
)
def test_name_of_the_config(arguments, name):
    assert find_config_name(["train.py", *arguments]) == name
