"""A worker is killed in mid-epoch: the job ends, names it, and starts again where it was."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
from support.paths import ROOT

from zoo.training.checkpoints import find_latest_checkpoint

WORKERS = 2


def launch(folder, iris_csv, run_dir):
    """Starts two workers; an epoch has 14 steps."""
    command = [sys.executable, "-m", "zoo", "launch", f"--workers={WORKERS}", "--"]
    command += [ROOT / "train.py", "--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species"]
    command += ["--hparam=dropout=0.3", "--epochs=3", "--batch_size=9"]
    command += [f"--run_dir={run_dir}", f"--export_dir={run_dir}-export", "--checkpoint_every=5"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_worker_is_killed(iris_csv, tmp_path):
    cut = launch(tmp_path, iris_csv, "cut")
    lines = [cut.stdout.readline() for _ in range(WORKERS)]
    while not any(tmp_path.glob("cut/checkpoints/[0-9]*")):
        assert cut.poll() is None, "".join(lines)
        time.sleep(0.01)
    pid, address = re.fullmatch(r"worker 1: process (\d+), (\S+)\n", lines[1]).groups()
    os.kill(int(pid), signal.SIGKILL)
    killed = time.monotonic()
    # while the others wait for the heartbeat of the dead
    whole = launch(tmp_path, iris_csv, "whole")
    out, _ = cut.communicate()
    assert time.monotonic() - killed < 60
    assert cut.returncode == 1
    assert "worker 1 was ended by SIGKILL: stopping all workers" in out
    line = next(text for text in out.splitlines() if "no response" in text)
    assert line.startswith(f"[worker 0] train.py: no response from worker 1 ({address})")
    assert line.endswith("Run the same command again on all workers")
    assert "Traceback" not in out

    again = launch(tmp_path, iris_csv, "cut")
    out, _ = again.communicate()
    assert again.returncode == 0, out
    assert re.search(r"resumes in epoch \d+ after step [1-9]", out), out
    out, _ = whole.communicate()
    assert whole.returncode == 0, out
    first, second = (
        np.load(find_latest_checkpoint(tmp_path / run)[0].path / "variables.npz")
        for run in ("whole", "cut")
    )
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
