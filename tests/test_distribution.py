"""One table of cases under every strategy that can run here, and what is refused."""

import json
import os
import socket
import subprocess
import sys
import time

import distribution_cases as cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, once

from zoo import cluster, distribution, launch, multi_worker
from zoo.data.parts import Parts, cut
from zoo.errors import UserError, WorkerLostError
from zoo.recipe import Recipe

PROGRAM = str(ROOT / "tests" / "distribution_cases.py")
WORKERS = {"mirrored": 1, "multi_worker": 2, "accumulate": 1}
RUNS = [
    *(("mirrored", case) for case in cases.MIRRORED),
    *(("multi_worker", case) for case in cases.WORKERS),
    *(("accumulate", case) for case in cases.ACCUMULATED),
]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with the results of all cases, one folder for each strategy."""

    def train(folder):
        for name in ("cpu", "mirrored", "multi_worker"):
            run = [sys.executable, PROGRAM, name, str(folder)]
            if name == "multi_worker":
                run[1:1] = ["-m", "zoo.launch", "--workers=2", "--"]
            done = subprocess.run(run, env=ENVIRONMENT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "cases", train)


@pytest.mark.parametrize(("strategy", "case"), RUNS)
def test_every_strategy_gives_what_one_process_does(trained, strategy, case):
    alone = np.load(trained / "cpu" / f"{case}-0.npz")
    first, *others = (
        np.load(trained / strategy / f"{case}-{i}.npz") for i in range(WORKERS[strategy])
    )
    for name in alone:
        # Adam makes much of gradients that are all rounding
        bound = 1e-3 if name.startswith("weight") else 1e-4
        np.testing.assert_allclose(first[name], alone[name], rtol=bound, atol=bound)
        for other in others:
            np.testing.assert_array_equal(other[name], first[name])


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker"])
@pytest.mark.parametrize("case", cases.TABLE)
def test_every_export_loads_and_agrees(trained, strategy, case):
    test, name = cases.data(case).test, cases.data(case).spec.input_name
    alone, other = (
        np.asarray(
            keras.saving.load_model(trained / s / f"{case}-run" / "last.keras")({name: test.x})[
                "logits"
            ]
        )
        for s in ("cpu", strategy)
    )
    np.testing.assert_allclose(other, alone, atol=1e-3)
    served = tf.saved_model.load(str(trained / strategy / case / "1"))
    assert served.signatures["serving_default"]


TROUBLE = """
import os, signal, sys
import keras, numpy as np, tensorflow as tf
from zoo import cli, distribution, multi_worker
from zoo.multi_worker import trainer

keras_build = multi_worker._keras_maybe_symbolic_build
keras_reduce = multi_worker._keras_reduce_per_replica

def fit(strategy, callbacks=()):
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
    x, y = np.ones((8, 3), "float32"), np.zeros(8, "int64")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    data = strategy.experimental_distribute_dataset(data)
    model.fit(data, epochs=3, callbacks=callbacks, verbose=0)

def main():
    strategy, _ = distribution.strategy("auto")
    for place, name, plain, mended in (
        (trainer, "reduce_per_replica", keras_reduce, multi_worker._reduce_per_replica),
        (trainer.TensorFlowTrainer, "_maybe_symbolic_build", keras_build,
         multi_worker._maybe_symbolic_build),
    ):
        setattr(place, name, plain)
        try:
            fit(strategy)
            print(f"Keras needs no mend of {name} any more")
        except Exception as error:
            print(f"{name} fails: {type(error).__name__}")
        setattr(place, name, mended)
    fit(strategy)
    print("mended")
    def die(epoch, logs):
        if epoch == 2 and strategy.cluster_resolver.task_id == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with multi_worker.naming_lost(strategy):
        fit(strategy, [keras.callbacks.LambdaCallback(on_epoch_begin=die)])

cli.run(main, lambda: "")
"""


@pytest.fixture(scope="session")
def trouble(tmp_path_factory):
    """Two workers in Keras' fit without the mend and with it, and then one of them dies."""

    def run(folder):
        program = folder / "trouble.py"
        program.write_text(TROUBLE)
        command = [sys.executable, "-m", "zoo.launch", "--workers=2", "--", str(program)]
        started = time.monotonic()
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        told = [done.returncode, done.stdout, done.stderr, time.monotonic() - started]
        (folder / "told.json").write_text(json.dumps(told))

    folder = once(tmp_path_factory, "trouble", run)
    return json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize("name", ["reduce_per_replica", "_maybe_symbolic_build"])
def test_keras_still_needs_the_mend(trouble, name):
    for worker in (0, 1):
        assert f"[worker {worker}] {name} fails" in trouble[1], trouble
        assert f"[worker {worker}] mended" in trouble[1], trouble


def test_a_worker_that_dies_is_named_and_ends_the_run(trouble):
    code, _, err, seconds = trouble
    assert code == 1 and seconds < 60
    assert "worker 1 was ended by SIGKILL: all end" in err
    line = next(text for text in err.splitlines() if "no answer any more" in text)
    assert line.startswith("[worker 0] trouble.py: no answer any more from worker 1 (localhost:")
    assert line.endswith("Start the same command again on all workers")


def test_another_keras_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.16.0")
    with pytest.raises(UserError, match=r"Keras 3\.16\.0 is installed.*with Keras 3\.15 alone"):
        multi_worker.mend_keras()


def test_workers_that_never_come_up_are_named():
    ports = launch.free_ports(3)
    here = cluster.Cluster(tuple(f"localhost:{port}" for port in ports), 1)
    with pytest.raises(WorkerLostError, match=rf"worker 0 .*{ports[0]}.* and worker 2 .*no answer"):
        cluster.wait(here, patience=0.5)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        busy = cluster.Cluster((f"localhost:{taken.getsockname()[1]}", here.workers[0]), 0)
        with pytest.raises(UserError, match=r"worker 0 .* cannot listen there"):
            cluster.wait(busy)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("nonsense", "expected"),
        ({"cluster": {"worker": ["a:1", "b:2"]}}, "expected"),
        ({"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}, "expected"),
        (
            {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}},
            "with N below the number of workers",
        ),
        (
            {"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "ps", "index": 0}},
            "only workers are known",
        ),
    ],
)
def test_a_cluster_that_is_not_understood(config, message):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(UserError, match=message):
        cluster.from_environment({"TF_CONFIG": text})


def test_the_cluster_of_the_environment():
    here = cluster.Cluster(("a:1", "b:2"), 1)
    assert cluster.from_environment({"TF_CONFIG": here.config()}) == here
    assert cluster.from_environment({}) is None
    assert cluster.from_environment({"TF_CONFIG": "{}"}) is None


@pytest.mark.parametrize("total", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_parts_hold_each_example_once_and_weigh_as_the_whole(total, rows):
    values = np.random.default_rng(0).normal(size=rows)
    for static in (False, True):
        pieces = [cut(Parts(total, i, 1, static=static), rows, 7) for i in range(total)]
        places = np.concatenate([p.places[p.weight > 0] for p in pieces])
        assert places.tolist() == list(range(rows))
        means = [np.mean(values[p.places] * p.weight) for p in pieces]
        assert np.mean(means) == pytest.approx(values.mean(), rel=1e-6)
        assert len({len(p.places) for p in pieces}) == 1
        together = cut(Parts(total, 0, total, static=static), rows, 7)
        np.testing.assert_array_equal(together.places, np.concatenate([p.places for p in pieces]))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"accumulate_steps": 2}, "cannot add up gradients"),
        ({"clip_norm": 1.0}, "clips the part of each"),
        ({"jit_compile": True}, "cannot do this on several devices"),
    ],
)
def test_what_keras_cannot_do_on_several_devices_is_refused(settings, reason):
    class Two:
        num_replicas_in_sync = 2

    with pytest.raises(UserError, match=reason):
        distribution.suited(Recipe(**settings), Two(), set(settings))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"batch_size": 10, "accumulate_steps": 4}, "does not divide batch_size=10"),
        ({"ema": 0.9, "accumulate_steps": 4}, "Keras moves the ema at every part"),
        ({"precision": "mixed_float16", "accumulate_steps": 4}, "skips parts of a batch"),
    ],
)
def test_what_does_not_go_with_accumulation(settings, reason):
    with pytest.raises(UserError, match=reason):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("multi_worker", "python -m zoo.launch --workers=2"),
        ("tpu", "tensorflow-tpu"),
        ("gpu", "TensorFlow sees no GPU here"),
    ],
)
def test_strategies_that_cannot_run_here(name, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=message):
        distribution.strategy(name)
