"""`zoo retrain`, in a day of service: serve, log, notice the drift, retrain, promote, roll back."""

import contextlib
import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.serving_double import Double, run_app

import zoo
from zoo.commands import label, monitor
from zoo.commands import retrain as retrain_command
from zoo.commands.serve_log import find_signatures
from zoo.evaluation import comparison
from zoo.exporting.loading import open_source
from zoo.serving import Client, RequestLog
from zoo.serving.local_server.model_versions import serve_folder
from zoo.serving.local_server.running import follow_folder
from zoo.serving.log_proxy import make_proxy_app
from zoo.serving.transports.addresses import parse_address
from zoo.serving.version_labels import read_version_labels
from zoo.storage.filenames import METRICS, RETRAINING


@pytest.fixture
def retrain(run_zoo):
    """Runs `zoo retrain` with these arguments: (exit code, stdout, stderr)."""
    return functools.partial(run_zoo, retrain_command)


@pytest.fixture
def served(train, iris_csv):
    """A server of version 1, trained on centimetres; in millimetres there are new labelled rows."""
    centimetres = pd.read_csv(iris_csv)
    centimetres.to_csv("old.csv", index=False)
    noise = np.random.default_rng(0).normal(0, 0.5, (150, 4)).round(1)
    millimetres = (centimetres.iloc[:, :4] * 10 + noise).assign(species=centimetres.species)
    # the last ones are those of the first table, which one of the versions has seen
    pd.concat([millimetres, centimetres[-20:]]).to_csv("new.csv", index=False)
    flags = ("--model=mlp", "--dataset=csv:old.csv", "--label=species", "--holdout=0.3")
    flags += ("--encoding=cp1254",)
    code, _, err = train(*flags, "--hparam=hidden=16", "--epochs=10", "--learning_rate=0.05")
    assert code == 0, err
    models = serve_folder(Path("saved_models"), 2)
    models.refresh()
    double = Double(models=models)
    with follow_folder(models, 0.1):
        yield double
    double.stop()


@contextlib.contextmanager
def log_requests(server, file):
    """A client of the label stable, through a proxy that logs."""
    find = functools.partial(find_signatures, server)
    with (
        RequestLog(file) as log,
        run_app(make_proxy_app(parse_address(server, "REST"), log, find)) as address,
    ):
        yield Client("mlp", server=address, label="stable")
    assert log.lost == 0


def count_right(client, file):
    """The share of the rows of a table whose species the served version names."""
    frame = pd.read_csv(file)
    labels = client.predict({name: frame[name].to_numpy() for name in frame if name != "species"})
    return (labels["label"] == frame.species).mean()


def test_a_day_in_service(served, run_zoo, retrain, monkeypatch):
    server = f"--server={served.rest}"
    check_refusals(retrain)
    with monkeypatch.context() as patched:
        patched.setenv("TF_CONFIG", "{}")
        assert retrain("--model=mlp", "--dataset=csv:new.csv")[0] == 2
    code, _, err = run_zoo(label, "mlp", "1", "stable", server)
    assert code == 0, err
    with log_requests(served.rest, "morning.jsonl") as client:
        assert count_right(client, "old.csv") > 0.9
    assert run_zoo(monitor, "--model=mlp", "morning.jsonl")[0] == 0
    # a form gets another unit
    with log_requests(served.rest, "noon.jsonl") as client:
        before = count_right(client, "new.csv")
    code, out, _ = run_zoo(monitor, "--model=mlp", "noon.jsonl")
    assert code == 3 and "alarm, all requests: petal_length: median 4" in out
    check_retraining(functools.partial(retrain, server), monkeypatch)
    stable = Client("mlp", server=served.rest, label="stable")
    assert stable.served_version() == 2
    assert count_right(stable, "new.csv") > before + 0.2
    code, out, err = run_zoo(label, "mlp", "1", "stable", server)
    assert code == 0 and out.endswith("stable is version 1\n"), err
    assert stable.served_version() == 1 and count_right(stable, "old.csv") > 0.9


def check_refusals(retrain):
    pd.read_csv("old.csv").assign(species="rose").to_csv("roses.csv", index=False)
    for arguments, message in (
        ((), "expected an exported model and new data, as in zoo retrain --model=mlp --dataset="),
        (("--model=cnn", "--dataset=csv:new.csv"), "saved_models/cnn: there is no export to go"),
        (("--model=mlp", "--dataset=csv:roses.csv"), "roses.csv, line 2: column 'species' holds"),
        (("--model=mlp", "--dataset=csv:old.csv"), "--dataset=csv:old.csv: saved_models/mlp/1 was"),
    ):
        code, _, err = retrain(*arguments)
        assert code == 2 and err.splitlines()[-1].startswith(f"zoo retrain: {message}")
    text = Path("old.csv").read_text()
    pd.read_csv("old.csv")[::-1].to_csv("old.csv", index=False)
    code, _, err = retrain("--model=mlp", "--dataset=csv:new.csv")
    Path("old.csv").write_text(text)
    assert code == 2 and "csv:old.csv is not what it was trained on (the train split has" in err
    zoo.export(open_source("saved_models/mlp/1").model, "saved_models/bare")
    code, _, err = retrain("--model=bare", "--dataset=csv:new.csv")
    assert code == 2 and "saved_models/bare/1: it does not tell how it was trained" in err
    assert read_version_labels(Path("saved_models")) == {}


def check_retraining(retrain, monkeypatch):
    """A run that is stopped and goes on, a candidate, and a version that is promoted."""
    arguments = ("--model=mlp", "--dataset=csv:new.csv", "--epochs=15")
    stop = zoo.UserError("stopped")
    with monkeypatch.context() as patched:  # before the comparison, so that the run is finished
        patched.setattr(comparison, "compare_versions", lambda *_: (_ for _ in ()).throw(stop))
        code, out, err = retrain(*arguments)
    assert code == 2 and err.endswith("zoo retrain: stopped\n")
    assert out.startswith(
        "mlp: version 1, trained on csv:old.csv, goes on with csv:new.csv\n"
        "weights from saved_models/mlp/1:\n"
    )
    weights = Path("saved_models/mlp/2").stat().st_mtime_ns
    code, out, err = retrain(*arguments, "--promote_if=0.9")
    assert code == 0 and " held-out rows have the same inputs as rows to train on" in err
    assert "runs/mlp-old-2 is finished" in out
    assert Path("saved_models/mlp/2").stat().st_mtime_ns == weights
    lines = out.splitlines()
    head = lines.index("the interval is not above 90%: stable stays at version 1")
    assert lines[-1] == "mlp: candidate is version 2, stable is version 1"
    assert lines[head - 4].split("  ")[0] == "held-out rows"
    assert [line.split()[0] for line in lines[head - 3 : head]] == [
        "all", "csv:old.csv", "csv:new.csv",
    ]  # fmt: skip
    record = json.loads(Path("runs/mlp-old-2", RETRAINING).read_text())
    assert (record["before"], record["after"]) == ("saved_models/mlp/1", "saved_models/mlp/2")
    assert record["promoted"] is False and record["label"] == "candidate"
    run = json.loads(Path("runs/mlp-old-2", METRICS).read_text())
    all_rows, *parts = record["comparisons"]
    assert all_rows["examples"] == sum(part["examples"] for part in parts)
    assert 80 < all_rows["examples"] < run["test"]["examples"]
    assert run["recipe"]["epochs"] == 15 and run["recipe"]["learning_rate"] == 0.05
    assert run["hyperparameters"]["hidden"] == [16]
    assert run["data_settings"]["encoding"] == "cp1254"
    code, out, err = retrain(*arguments)
    assert code == 0, err
    assert "version 2 is promoted; back: zoo label mlp 1 stable" in out
    assert out.endswith("mlp: candidate is version 2, stable is version 2\n")
    code, _, err = retrain(*arguments)
    assert code == 2 and "saved_models/mlp/2 was trained on it already" in err


@pytest.mark.parametrize(
    ("label_of", "flags", "score"),
    [
        (lambda a, b: 100 * a + 50 * b, (), "mae"),
        (lambda a, b: [f"{x}|{y}" for x, y in zip(_sign(a, "a"), _sign(b, "b"), strict=True)],
         ("--task=multilabel",), "f1"),
    ],
    ids=["a regression", "several labels"],
)  # fmt: skip
def test_other_tasks(label_of, flags, score, tmp_path, monkeypatch, train, retrain, run_zoo):
    """A version that has hardly been trained is replaced, answers, and comes back."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("old", "new")):
        a, b = np.random.default_rng(seed).normal(size=(2, 300)).round(3)
        pd.DataFrame({"a": a, "b": b, "y": label_of(a, b)}).to_csv(f"{name}.csv", index=False)
    flags = ("--model=mlp", "--dataset=csv:old.csv", "--label=y", "--holdout=0.2", *flags)
    code, _, err = train(*flags, "--hparam=hidden=16", "--epochs=1", "--learning_rate=1e-5")
    assert code == 0, err
    faster = ("--epochs=10", "--learning_rate=0.05", "--nowait")
    code, out, err = retrain("--model=mlp", "--dataset=csv:new.csv", *faster)
    assert code == 0 and out.endswith("mlp: stable is version 2\n"), err
    record = json.loads(Path("runs/mlp-old-2", RETRAINING).read_text())
    all_rows = record["comparisons"][0]
    assert all_rows["score"] == score and all_rows["gain"] > 0.2 and all_rows["examples"] > 100
    answers = [Client("mlp", version=v).predict({"a": [2.0], "b": [-2.0]}) for v in (1, 2)]
    if score == "mae":
        assert abs(answers[1]["prediction"][0] - 100) < abs(answers[0]["prediction"][0] - 100)
    else:
        assert {*answers[1]["labels"][0]} - {""} == {"a above", "b below"}
    assert run_zoo(label, "mlp", "1", "stable", "--nowait")[1].endswith("stable is version 1\n")


def _sign(numbers, name):
    return [f"{name} {'above' if x > 0 else 'below'}" for x in numbers]
