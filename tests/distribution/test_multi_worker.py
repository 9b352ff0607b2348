"""A worker is killed in mid-epoch: the job ends, names it, and starts again where it was."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.paths import REAL_DATA, ROOT

from zoo.training.checkpoints import find_latest_checkpoint

WORKERS = 2
DATA = ["--dataset=mnist", "--train_split=train[:3000]", f"--data_dir={REAL_DATA}"]


def launch(folder, run_dir):
    command = [sys.executable, "-m", "zoo", "launch", f"--workers={WORKERS}", "--"]
    command += [ROOT / "train.py", "--model=cnn", "--epochs=2", "--hparam=filters=8,8"]
    command += ["--hparam=dropout=0.3", "--batch_size=60"]
    command += [f"--run_dir={run_dir}", "--checkpoint_every=5"]
    return subprocess.Popen(
        [*command, *DATA],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.realdata
def test_a_worker_is_killed(tmp_path):
    whole = launch(tmp_path, "whole")
    out, _ = whole.communicate()
    assert whole.returncode == 0, out

    cut = launch(tmp_path, "cut")
    lines = [cut.stdout.readline() for _ in range(WORKERS)]
    while not (tmp_path / "cut" / "checkpoints" / "2").is_dir():
        assert cut.poll() is None, "".join(lines)
        time.sleep(0.05)
    pid, address = re.fullmatch(r"worker 1: process (\d+), (\S+)\n", lines[1]).groups()
    os.kill(int(pid), signal.SIGKILL)
    killed = time.monotonic()
    out, _ = cut.communicate()
    assert time.monotonic() - killed < 60
    assert cut.returncode == 1
    assert "worker 1 was ended by SIGKILL: stopping all workers" in out
    assert f"no response from worker 1 ({address})" in out
    assert "Traceback" not in out

    again = launch(tmp_path, "cut")
    out, _ = again.communicate()
    assert again.returncode == 0 and "resumes in epoch 1 after step" in out, out
    first, second = (
        np.load(find_latest_checkpoint(tmp_path / run)[0].path / "variables.npz")
        for run in ("whole", "cut")
    )
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
