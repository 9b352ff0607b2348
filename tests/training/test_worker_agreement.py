"""What workers must have in common, and how it is told that they have not."""

import dataclasses
import json

import numpy as np
import pytest

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.distribution.tf_config import Cluster
from zoo.errors import UserError
from zoo.training import worker_agreement
from zoo.training.checkpoints import Checkpoint, TrainingState
from zoo.training.worker_agreement import check_same_inputs, check_same_start

SPLIT = {"examples": 8, "labels": "a", "inputs": "b"}
FINGERPRINT = {"dataset": "csv:d.csv", "classes": ["no", "yes"], "train": SPLIT}
MODEL = {"plugin": "", "weights": [["w", 1.0]]}
FLAGS = "# python train.py\n--model=cnn\n--seed=0\n--run_dir=a\n"


@pytest.fixture
def others(monkeypatch):
    """Changes of the contents that workers 1, 2, ... send; worker 0 is this process."""
    changes = []
    cluster = Cluster(("one:1", "two:2", "three:3"), 0)

    def exchange(strategy, text):
        return [text, *(json.dumps(change(json.loads(text))) for change in changes)]

    monkeypatch.setattr(worker_agreement, "spans_workers", lambda strategy: True)
    monkeypatch.setattr(worker_agreement, "get_cluster", lambda strategy: cluster)
    monkeypatch.setattr(worker_agreement, "exchange_texts", exchange)
    return changes


def make_data():
    nothing = Arrays(np.zeros((0, 1)), np.zeros(0))
    data = Data("csv:d.csv", "", Spec("features", (1,), None), nothing, nothing, nothing, {})
    return dataclasses.replace(data, fingerprint=FINGERPRINT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"flags": {"model": "mlp", "seed": "0"}},
            r"has other flags than worker 0 \(model is mlp, not cnn\): start the same",
        ),
        (
            {"flags": {"model": "cnn"}},
            r"has other flags than worker 0 \(seed is not set, not 0\)",
        ),
        (
            {"versions": {"keras": "3.15.9"}},
            r"has other versions than worker 0 \(keras is 3\.15\.9, not ",
        ),
        (
            {"data": FINGERPRINT | {"train": SPLIT | {"examples": 9}}},
            r"has other data than worker 0 \(of worker 0, then of worker 2: the train split had 8 "
            r"examples, has 9\): copy the same data to all workers",
        ),
        (
            {"data": FINGERPRINT | {"train": SPLIT | {"labels": "c"}}},
            "the train split has other labels",
        ),
        ({"in memory": [False, True]}, "with the same --memory_budget"),
    ],
)
def test_a_worker_that_differs_is_named(change, message, others):
    others += [lambda content: content, lambda content: content | change]
    with pytest.raises(UserError, match=rf"^worker 2 \(three:3\) .*{message}"):
        check_same_inputs(None, make_data(), FLAGS, ("run_dir",))


def test_workers_that_agree(others):
    others.append(lambda content: content)
    check_same_inputs(None, make_data(), FLAGS, ())
    check_same_start(None, "runs/a", None, False, MODEL)


def test_workers_that_do_not_share_the_run_folder(others, tmp_path):
    start = Checkpoint(tmp_path, TrainingState(epoch=1, step=5))
    others.append(lambda content: content | {"found": "no checkpoint"})
    with pytest.raises(UserError, match=r"worker 0 found step 5 of epoch 2 there, worker 1 \(two"):
        check_same_start(None, tmp_path, start, False, MODEL)
    with pytest.raises(
        UserError, match=r"worker 0 found a finished run there, worker 1 \(two:2\) no"
    ):
        check_same_start(None, tmp_path, start, True, MODEL)


def test_workers_that_start_from_other_weights(others):
    others.append(lambda content: content | {"model": {"plugin": "", "weights": [["w", 2.0]]}})
    message = (
        r"^worker 1 \(two:2\) differs from worker 0: the training began with other weights \(w\)"
    )
    with pytest.raises(UserError, match=f"{message}: restore the files of .* on all workers"):
        check_same_start(None, "runs/a", None, False, MODEL)


def test_one_process_has_nothing_to_compare():
    check_same_inputs(None, make_data(), FLAGS, ())
    check_same_start(None, "runs/a", None, True, MODEL)
