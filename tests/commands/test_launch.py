"""`zoo launch` from its flags to the end of all workers."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from support.paths import ROOT

PAGE = (ROOT / "docs" / "distributed.md").read_text()
DOCUMENTED = re.findall(r"^\$ zoo launch (.*)$", PAGE, re.MULTILINE)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
SLEEP = """
import os, sys, time
import json
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
print("here", index)
if sys.argv[1:] == ["fail"] and index == 1:
    sys.exit(2)
time.sleep(60)
"""


def launch(*words, folder):
    run = [sys.executable, "-m", "zoo", "launch", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(run, cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def test_the_command_of_the_docs_trains_as_one_process_does(tfds_dir, tmp_path, python):
    """Two workers on a default recipe: one run folder, one export, each test example once."""
    words = shlex.split(DOCUMENTED[0])
    extra = ["--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--epochs=1", "--hparam=filters=4"]
    extra += ["--hparam=dense=8", "--train_split=train[:2%]"]
    done = python(ROOT / "tests/support/forked_launch.py", *words, *extra, cwd=tmp_path)
    out, err = done.stdout, done.stderr
    assert done.returncode == 0, err
    # the 75 examples of the training split lack some classes
    assert re.fullmatch(r"(\[worker 0\] .*: warning: the .* split has no example of .*\n)*", err)
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["worker 0", "worker 1"]
    assert all(line.startswith("[worker 0] ") for line in lines[2:]), "the chief alone writes"
    assert lines[-1] == "[worker 0] saved_models/cnn/1"
    assert "[worker 0] steps_per_execution=8, the default of the model, is not used: " in out
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["cnn-mnist_5k"]
    run = tmp_path / "runs" / "cnn-mnist_5k"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["devices"] == "2 workers (from TF_CONFIG)"
    assert metrics["test"]["examples"] == 1000
    assert {"best.keras", "last.keras", "history.csv"} <= {p.name for p in run.iterdir()}


def test_all_end_when_one_fails(tmp_path):
    (tmp_path / "sleep.py").write_text(SLEEP)
    # those that stay deaf would be waited for
    code = """
import sys
from zoo.commands import launch, runner
launch._REPORT_TIME = 0.5
runner.run_command(launch, sys.argv[1:])
"""
    run = [sys.executable, "-c", code, "--workers=3", "--", "sleep.py", "fail"]
    done = subprocess.run(run, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "worker 1 failed with exit code 2: stopping all workers" in done.stderr
    assert "[worker 2] here 2" in done.stdout
    assert not any(map(alive, pids(done.stdout)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all(number, tmp_path):
    (tmp_path / "sleep.py").write_text(SLEEP)
    started = launch("--workers=2", "--", "sleep.py", folder=tmp_path)
    seen = ""
    while seen.count("here") < 2:
        seen += started.stdout.readline()
    begun = time.monotonic()
    started.send_signal(number)
    started.communicate()
    assert started.returncode == 128 + number and time.monotonic() - begun < 5
    assert len(pids(seen)) == 2 and not any(map(alive, pids(seen)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers=2", "--", "nope.py"], "nope.py: there is no such program"),
        (["--workers=2"], "nothing to launch: pass the flags of zoo train after --"),
        (["--workers=0", "--", "train.py"], "--workers"),
    ],
)
def test_mistakes(words, message, tmp_path):
    out, err = (started := launch(*words, folder=tmp_path)).communicate()
    assert started.returncode == 2 and message in err and err.count("\n") == 1 and not out


def pids(out):
    return [int(pid) for pid in re.findall(r"^worker \d+: process (\d+),", out, re.MULTILINE)]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
