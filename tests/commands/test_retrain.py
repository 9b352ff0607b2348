"""`zoo retrain`: the next version, its comparison with the served one, and the label."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.commands import retrain as retrain_command
from zoo.evaluation import comparison
from zoo.exporting.loading import open_source
from zoo.serving.labels import read_labels
from zoo.storage.filenames import METRICS, RETRAINING

FLAGS = ("--dataset=csv:old.csv", "--label=species", "--hparam=hidden=8", "--epochs=12")


@pytest.fixture
def retrain(run_zoo):
    """Runs `zoo retrain` with these arguments: (exit code, stdout, stderr)."""
    return functools.partial(run_zoo, retrain_command, "--nowait")


@pytest.fixture
def served(train, iris_csv):
    """Version 1 of a model of irises, and tables of new ones."""
    iris = pd.read_csv(iris_csv)
    iris.to_csv("old.csv", index=False)
    numbers = iris.columns[:4]
    noise = np.random.default_rng(0).normal(0, 0.01, (150, 4)).round(3)
    same = iris.assign(**{name: iris[name] + noise[:, i] for i, name in enumerate(numbers)})
    same.to_csv("same.csv", index=False)
    iris.assign(species="rose").to_csv("roses.csv", index=False)
    code, _, err = train("--model=mlp", "--learning_rate=0.05", *FLAGS)
    assert code == 0, err


def test_from_a_refusal_to_a_promotion(served, retrain, monkeypatch):
    check_refusals(retrain)
    check_versions(retrain, monkeypatch)


def check_versions(retrain, monkeypatch):
    """A run that is stopped and goes on, a candidate, and a version that is promoted."""
    stop = zoo.UserError("stopped")
    with monkeypatch.context() as patched:  # before the comparison, so that the run is finished
        patched.setattr(comparison, "compare_versions", lambda *_: (_ for _ in ()).throw(stop))
        code, out, err = retrain("--model=mlp", "--dataset=csv:same.csv", "--epochs=2")
    assert code == 2 and err == "zoo retrain: stopped\n"
    assert out.startswith(
        "mlp: version 1, trained on csv:old.csv, goes on with csv:same.csv\n"
        "weights from saved_models/mlp/1:\n"
    )
    assert out.endswith("saved_models/mlp/2\nmlp: stable is version 1\n")
    assert ", on csv:old.csv and csv:same.csv: 246 examples to train on, 24 to validate" in out
    weights = Path("saved_models/mlp/2").stat().st_mtime_ns
    code, out, err = retrain("--model=mlp", "--dataset=csv:same.csv", "--epochs=2")
    assert code == 0 and not err
    lines = out.splitlines()
    assert lines[1].startswith("runs/mlp-old-2 is finished")
    assert Path("saved_models/mlp/2").stat().st_mtime_ns == weights
    assert lines[-6].split() == [
        "held-out", "rows", "examples", "accuracy", "of", "version", "1", "version", "2", "gain",
        "(95%", "interval)",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[-5:-2]] == [
        ["all", "30"], ["csv:old.csv", "15"], ["csv:same.csv", "15"],
    ]  # fmt: skip
    assert lines[-2:] == [
        "the interval is not above 0%: stable stays at version 1",
        "mlp: candidate is version 2, stable is version 1",
    ]
    record = json.loads(Path("runs/mlp-old-2", RETRAINING).read_text())
    assert (record["before"], record["after"]) == ("saved_models/mlp/1", "saved_models/mlp/2")
    assert record["promoted"] is False and record["label"] == "candidate"
    run = json.loads(Path("runs/mlp-old-2", METRICS).read_text())
    assert record["comparisons"][0]["after"] == run["test"]["accuracy"]
    assert run["recipe"]["epochs"] == 2 and run["recipe"]["learning_rate"] == 0.05
    assert run["hyperparameters"]["hidden"] == [8]
    # what is no worse by half may be promoted, and does not train again
    code, out, _ = retrain(
        "--model=mlp", "--dataset=csv:same.csv", "--epochs=2", "--promote_if=-.5"
    )
    assert "the interval is above -50%: version 2 is promoted; back: zoo label mlp 1 stable" in out
    assert read_labels(Path("saved_models")) == {"mlp": {"candidate": 2, "stable": 2}}
    code, _, err = retrain("--model=mlp", "--dataset=csv:same.csv")
    assert code == 2 and "saved_models/mlp/2 was trained on it already" in err


def check_refusals(retrain):
    for arguments, message in (
        ((), "expected an exported model and new data, as in zoo retrain --model=mlp --dataset="),
        (("--model=cnn", "--dataset=csv:same.csv"), "saved_models/cnn: there is no export to go"),
        (("--model=mlp", "--dataset=csv:roses.csv"), "roses.csv, line 2: column 'species' holds"),
        (("--model=mlp", "--dataset=csv:old.csv"), "--dataset=csv:old.csv: saved_models/mlp/1 was"),
    ):
        code, _, err = retrain(*arguments)
        assert code == 2 and err.startswith(f"zoo retrain: {message}") and err.count("\n") == 1
    text = Path("old.csv").read_text()
    pd.read_csv("old.csv")[::-1].to_csv("old.csv", index=False)
    code, _, err = retrain("--model=mlp", "--dataset=csv:same.csv")
    Path("old.csv").write_text(text)
    assert code == 2 and "csv:old.csv is not what it was trained on (the train split has" in err
    zoo.export(open_source("saved_models/mlp/1").model, "saved_models/bare")
    code, _, err = retrain("--model=bare", "--dataset=csv:same.csv")
    assert code == 2 and "saved_models/bare/1: it does not tell how it was trained" in err
