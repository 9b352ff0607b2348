"""One table of cases under every strategy that can run here, and what is refused."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import distribution_cases as cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from zoo import cluster, distribution, launch, multi_worker
from zoo.data.parts import Parts, cut
from zoo.errors import UserError, WorkerLostError
from zoo.recipe import Recipe

PROGRAM = str(ROOT / "tests" / "distribution_cases.py")
WORKERS = {"mirrored": 1, "multi_worker": 2, "accumulate": 1}
RUNS = [
    *(("mirrored", case) for case in cases.TABLE),
    *(("multi_worker", case) for case in cases.CASES),
    *(("accumulate", case) for case in cases.ACCUMULATED),
]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the results of all cases, one folder for each strategy."""
    folder = tmp_path_factory.mktemp("cases")
    for name in ("cpu", "mirrored", "multi_worker"):
        run = [sys.executable, PROGRAM, name, str(folder)]
        if name == "multi_worker":
            run[1:1] = ["-m", "zoo.launch", "--workers=2", "--"]
        done = subprocess.run(run, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


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
