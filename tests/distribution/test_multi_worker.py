"""A worker is killed in mid-epoch: the job ends, names it, and starts again where it was."""

import json
import re

import numpy as np
from support.paths import ROOT

from zoo.training.checkpoints import find_latest_checkpoint

PROGRAM = ROOT / "tests" / "support" / "killed_worker.py"


def test_a_worker_is_killed(iris_csv, tmp_path, python):
    done = python(PROGRAM, ROOT / "train.py", iris_csv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    out = told["cut"]
    assert told["seconds"] < 60 and told["code"] == 1
    assert "worker 1 was ended by SIGKILL: stopping all workers" in out
    (address,) = re.findall(r"^worker 1: process \d+, (\S+)$", out, re.MULTILINE)
    line = next(text for text in out.splitlines() if "no response" in text)
    assert line.startswith(f"[worker 0] train.py: no response from worker 1 ({address})")
    assert line.endswith("Run the same command again on all workers")
    assert "Traceback" not in out

    assert told["codes"] == [0, 0], told["again"] + told["whole"]
    assert re.search(r"resumes in epoch \d+ after step [1-9]", told["again"]), told["again"]
    first, second = (
        np.load(find_latest_checkpoint(tmp_path / run)[0].path / "variables.npz")
        for run in ("whole", "cut")
    )
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
