"""One table of cases under every strategy that can run here, and what is refused."""

import json
import os
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import distribution_cases as cases
from support.files import fill_once
from support.paths import ROOT

from zoo.commands.launch import find_free_ports
from zoo.data.microbatches import MicroBatches, assign_rows
from zoo.distribution.keras_patches import patch_multi_worker_fit
from zoo.distribution.strategy import adapt_recipe_to_strategy, choose_strategy
from zoo.distribution.tf_config import Cluster, read_tf_config, wait_for_workers
from zoo.errors import UserError, WorkerLostError
from zoo.layers import transformer_encoder  # noqa: F401, Keras finds its layers by name
from zoo.recipe import Recipe

PROGRAM = str(ROOT / "tests" / "support" / "distribution_cases.py")
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
                run[1:1] = ["-m", "zoo", "launch", "--workers=2", "--"]
            done = subprocess.run(run, env=ENVIRONMENT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    return fill_once(tmp_path_factory, "cases", train)


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
from absl import flags
from zoo.commands.runner import run_command
from zoo.distribution import keras_patches
from zoo.distribution.keras_patches import trainer
from zoo.distribution.multi_worker import report_lost_workers
from zoo.distribution.strategy import choose_strategy

FLAGS, WORDS = flags.FlagValues(), ""
keras_build = keras_patches._keras_maybe_symbolic_build
keras_reduce = keras_patches._keras_reduce_per_replica

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
    strategy, _ = choose_strategy("auto")
    for module, name, plain, patched in (
        (trainer, "reduce_per_replica", keras_reduce, keras_patches._reduce_per_replica),
        (trainer.TensorFlowTrainer, "_maybe_symbolic_build", keras_build,
         keras_patches._maybe_symbolic_build),
    ):
        setattr(module, name, plain)
        try:
            fit(strategy)
            print(f"Keras does not need the patch of {name} any more")
        except Exception as error:
            print(f"{name} fails: {type(error).__name__}")
        setattr(module, name, patched)
    fit(strategy)
    print("patched")
    def die(epoch, logs):
        if epoch == 2 and strategy.cluster_resolver.task_id == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with report_lost_workers(strategy):
        fit(strategy, [keras.callbacks.LambdaCallback(on_epoch_begin=die)])

run_command(sys.modules["__main__"], sys.argv[1:])
"""


@pytest.fixture(scope="session")
def trouble(tmp_path_factory):
    """Two workers in Keras' fit without the patch and with it, and then one of them dies."""

    def run(folder):
        program = folder / "trouble.py"
        program.write_text(TROUBLE)
        command = [sys.executable, "-m", "zoo", "launch", "--workers=2", "--", str(program)]
        started = time.monotonic()
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        told = [done.returncode, done.stdout, done.stderr, time.monotonic() - started]
        (folder / "told.json").write_text(json.dumps(told))

    folder = fill_once(tmp_path_factory, "trouble", run)
    return json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize("name", ["reduce_per_replica", "_maybe_symbolic_build"])
def test_keras_still_needs_the_patch(trouble, name):
    for worker in (0, 1):
        assert f"[worker {worker}] {name} fails" in trouble[1], trouble
        assert f"[worker {worker}] patched" in trouble[1], trouble


def test_a_worker_that_dies_is_named_and_ends_the_run(trouble):
    code, _, err, seconds = trouble
    assert code == 1 and seconds < 60
    assert "worker 1 was ended by SIGKILL: stopping all workers" in err
    line = next(text for text in err.splitlines() if "no response" in text)
    assert line.startswith("[worker 0] trouble.py: no response from worker 1 (localhost:")
    assert line.endswith("Run the same command again on all workers")


def test_another_keras_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.16.0")
    with pytest.raises(UserError, match=r"Keras 3\.16\.0 is installed.*needs Keras 3\.15"):
        patch_multi_worker_fit()


def test_workers_that_never_come_up_are_named():
    ports = find_free_ports(3)
    here = Cluster(tuple(f"localhost:{port}" for port in ports), 1)
    with pytest.raises(
        WorkerLostError, match=rf"no response from worker 0 .*{ports[0]}.* and worker 2 "
    ):
        wait_for_workers(here, patience=0.5)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        busy = Cluster((f"localhost:{taken.getsockname()[1]}", here.workers[0]), 0)
        with pytest.raises(UserError, match=r"worker 0 .* cannot listen at its address"):
            wait_for_workers(busy)


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
            "expected only workers",
        ),
    ],
)
def test_a_cluster_that_is_not_understood(config, message):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(UserError, match=message):
        read_tf_config({"TF_CONFIG": text})


def test_the_cluster_of_the_environment():
    here = Cluster(("a:1", "b:2"), 1)
    assert read_tf_config({"TF_CONFIG": here.config()}) == here
    assert read_tf_config({}) is None
    assert read_tf_config({"TF_CONFIG": "{}"}) is None


@pytest.mark.parametrize("total", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_parts_hold_each_example_once_and_weigh_as_the_whole(total, rows):
    values = np.random.default_rng(0).normal(size=rows)
    for static in (False, True):
        pieces = [
            assign_rows(MicroBatches(total, i, 1, static=static), rows, 7) for i in range(total)
        ]
        row_indices = np.concatenate([p.row_indices[p.weight > 0] for p in pieces])
        assert row_indices.tolist() == list(range(rows))
        means = [np.mean(values[p.row_indices] * p.weight) for p in pieces]
        assert np.mean(means) == pytest.approx(values.mean(), rel=1e-6)
        assert len({len(p.row_indices) for p in pieces}) == 1
        together = assign_rows(MicroBatches(total, 0, total, static=static), rows, 7)
        np.testing.assert_array_equal(
            together.row_indices, np.concatenate([p.row_indices for p in pieces])
        )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"accumulate_steps": 2}, "cannot accumulate gradients"),
        ({"clip_norm": 1.0}, "clips each gradient, not their sum"),
        ({"jit_compile": True}, "does not support this on several devices"),
    ],
)
def test_what_keras_cannot_do_on_several_devices_is_refused(settings, reason):
    class Two:
        num_replicas_in_sync = 2

    with pytest.raises(UserError, match=reason):
        adapt_recipe_to_strategy(Recipe(**settings), Two(), set(settings))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"batch_size": 10, "accumulate_steps": 4}, "does not divide batch_size=10"),
        ({"ema": 0.9, "accumulate_steps": 4}, "Keras would update after every micro-batch"),
        (
            {"precision": "mixed_float16", "accumulate_steps": 4},
            "loss scaling may skip a micro-batch",
        ),
    ],
)
def test_what_does_not_go_with_accumulation(settings, reason):
    with pytest.raises(UserError, match=reason):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("multi_worker", "zoo launch --workers=2"),
        ("tpu", "tensorflow-tpu"),
        ("gpu", "TensorFlow found no GPU"),
    ],
)
def test_strategies_that_cannot_run_here(name, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=message):
        choose_strategy(name)
