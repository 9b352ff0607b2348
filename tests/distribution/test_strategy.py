"""One table of cases under every strategy that can run here, and what is refused."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import distribution_cases as cases
from support.bert_folder import write_bert_folder
from support.files import fill_once
from support.paths import ROOT

from zoo.data.microbatches import MicroBatches, assign_rows
from zoo.distribution.keras_patches import patch_multi_worker_fit
from zoo.distribution.strategy import adapt_recipe_to_strategy, choose_strategy
from zoo.errors import UserError
from zoo.recipe import Recipe

PROGRAM = ROOT / "tests" / "support" / "distribution_cases.py"
WORKERS = {"mirrored": 1, "multi_worker": 2, "accumulate": 1}
RUNS = [
    *(("mirrored", case) for case in cases.MIRRORED),
    *(("multi_worker", case) for case in cases.WORKERS),
    *(("accumulate", case) for case in cases.ACCUMULATED),
]


@pytest.fixture(scope="session")
def trained(python):
    """A folder with the results of all cases, one folder for each strategy."""

    def train(folder):
        write_bert_folder(folder / "preset", tokens=cases.BERT_TOKENS)
        done = python(PROGRAM, folder)
        assert done.returncode == 0, done.stderr

    return fill_once("cases", train)


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


@pytest.mark.parametrize(("strategy", "case"), cases.EXPORTED.items())
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


@pytest.mark.parametrize("worker", [0, 1])
def test_keras_still_needs_the_patches(trained, worker):
    needed = json.loads((trained / "multi_worker" / f"keras-{worker}.json").read_text())
    assert needed == ["reduce_per_replica", "_maybe_symbolic_build"]


@pytest.mark.parametrize("worker", [0, 1])
def test_workers_compare_what_they_train_on(trained, worker):
    *texts, same, other = json.loads((trained / "multi_worker" / f"told-{worker}.json").read_text())
    assert texts == ["", "\u00e9"]
    assert same == ""
    assert re.fullmatch(
        r"worker 1 \(localhost:\d+\) has other flags than worker 0 \(seed is 1, not 0\): start the "
        "same on all workers",
        other,
    )


def test_another_keras_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.16.0")
    with pytest.raises(UserError, match=r"Keras 3\.16\.0 is installed.*needs Keras 3\.15"):
        patch_multi_worker_fit()


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
        ({"accumulate_steps": 2}, "accumulate_steps=2: Keras does not support this on several"),
        ({"jit_compile": True}, "jit_compile=True: Keras does not.*omit it, or train with --strat"),
        ({"steps_per_execution": 4}, "steps_per_execution=4: Keras does not support this"),
    ],
)
def test_what_keras_cannot_do_on_several_devices(settings, reason):
    class Two:
        num_replicas_in_sync = 2

    with pytest.raises(UserError, match=reason):
        adapt_recipe_to_strategy(Recipe(**settings), Two(), set(settings))
    # a default of the model is switched off, and told
    recipe, (note,) = adapt_recipe_to_strategy(Recipe(clip_norm=1.0, **settings), Two(), set())
    assert recipe == Recipe(clip_norm=1.0)
    (name,) = settings
    assert note.startswith(f"{name}={settings[name]}, the default of the model, is not used")


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
