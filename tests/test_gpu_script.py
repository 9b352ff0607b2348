"""benchmarks/gpu.sh, whose steps are run for real on a machine with a GPU."""

import shlex
import subprocess
import sys

import pytest
from absl.testing import flagsaver
from support.paths import ROOT

from benchmarks import compare, soak
from zoo.commands import check, train
from zoo.commands.runner import parse_flags

# notes its arguments, and fails in one step if it is told to
STAND_IN = """#!{python}
import os, shlex, sys
with open("{log}", "a") as log:
    print(shlex.join(sys.argv[1:]), file=log)
sys.exit(3 if os.environ.get("FAILS", "-") in sys.argv else 0)
"""
MODULES = {"benchmarks.compare": compare, "benchmarks.soak": soak, "benchmarks.two_devices": train}


@pytest.fixture(autouse=True)
def kept_flags():
    """The flags are afterwards as they were, for the other tests."""
    saved = [(x.FLAGS, flagsaver.save_flag_values(x.FLAGS)) for x in (check, compare, soak, train)]
    yield
    for flags, values in saved:
        flagsaver.restore_flag_values(values, flags)


@pytest.fixture
def run_script(tmp_path):
    """Runs the smoke mode with a stand-in for Python: (exit code, summary, its command lines)."""

    def run(fails=""):
        log, python = tmp_path / "log", tmp_path / "python"
        python.write_text(STAND_IN.format(python=sys.executable, log=log))
        python.chmod(0o755)
        command = ["bash", ROOT / "benchmarks/gpu.sh", tmp_path / "out", "--smoke"]
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python)}
        environment |= {"FAILS": fails} if fails else {}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        summary = (tmp_path / "out/summary.txt").read_text().splitlines()
        return (
            done.returncode,
            summary,
            [shlex.split(line) for line in log.read_text().splitlines()],
        )

    return run


def test_every_step_has_flags_that_exist(run_script):
    code, summary, lines = run_script()
    assert code == 0 and len(summary) == len(lines) == 8
    for words in lines[1:]:
        if words[0] == "train.py":
            parse_flags(train, words[1:])
        elif words[1] == "zoo":
            assert words[2] == "check"
            parse_flags(check, words[3:])
        else:
            parse_flags(MODULES[words[1]], words[2:])
    assert {"--precision=float32", "--precision=mixed_bfloat16"} <= {w for x in lines for w in x}
    assert {"--jit_compile", "--nojit_compile"} <= {word for words in lines for word in words}


def test_a_step_that_fails_is_told_and_the_others_run(run_script):
    code, summary, _ = run_script(fails="--jit_compile")
    assert code == 1 and len(summary) == 8
    assert [line.split(",")[0] for line in summary if "code 0" not in line] == ["xla: exit code 3"]
