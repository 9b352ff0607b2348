"""A day in service: serve, log, notice the drift, retrain, promote, and roll back."""

import contextlib
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.serving_double import Double, run_app

from zoo.commands import label, monitor, retrain
from zoo.commands.serve_log import find_signatures
from zoo.serving import Client, RequestLog
from zoo.serving.addresses import parse_address
from zoo.serving.local_server.model_versions import serve_folder
from zoo.serving.local_server.running import follow_folder
from zoo.serving.log_proxy import make_proxy_app


@pytest.fixture
def served(train, iris_csv):
    """A server of version 1, trained on centimetres; in millimetres there are new labelled rows."""
    centimetres = pd.read_csv(iris_csv)
    centimetres.to_csv("old.csv", index=False)
    noise = np.random.default_rng(0).normal(0, 0.5, (150, 4)).round(1)
    millimetres = (centimetres.iloc[:, :4] * 10 + noise).assign(species=centimetres.species)
    millimetres.to_csv("new.csv", index=False)
    flags = ("--model=mlp", "--dataset=csv:old.csv", "--label=species", "--holdout=0.3")
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


def test_a_day(served, run_zoo):
    server = f"--server={served.rest}"
    code, _, err = run_zoo(label, "mlp", "1", "stable", server)
    assert code == 0, err
    with log_requests(served.rest, "morning.jsonl") as client:
        assert count_right(client, "old.csv") > 0.9
    assert run_zoo(monitor, "--model=mlp", "morning.jsonl")[0] == 0
    # a form gets another unit
    with log_requests(served.rest, "noon.jsonl") as client:
        assert count_right(client, "new.csv") < 0.6
    code, out, _ = run_zoo(monitor, "--model=mlp", "noon.jsonl")
    assert code == 3 and "alarm, all requests: petal_length: median 4" in out
    code, out, err = run_zoo(retrain, "--model=mlp", "--dataset=csv:new.csv", server)
    assert code == 0, err
    assert "version 2 is promoted; back: zoo label mlp 1 stable" in out
    assert out.endswith("mlp: stable is version 2\n")
    stable = Client("mlp", server=served.rest, label="stable")
    assert stable.served_version() == 2
    assert count_right(stable, "new.csv") > 0.9 and count_right(stable, "old.csv") > 0.7
    code, out, err = run_zoo(label, "mlp", "1", "stable", server)
    assert code == 0 and out == "mlp: stable is version 1\n", err
    assert stable.served_version() == 1 and count_right(stable, "old.csv") > 0.9
