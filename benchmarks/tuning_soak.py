"""Kills a study of `zoo tune` with SIGKILL at random moments, and resumes it each time.

python -m benchmarks.tuning_soak [--kills=12] [--trials=9] [--seed=0]

The study, of an mlp on iris, has to end with the trials and the winner of an undisturbed one: the
same values, scores and states in trials.csv, and the same history of the winner, bit for bit.
"""

import argparse
import csv
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from zoo.commands import tune
from zoo.commands.runner import import_tensorflow, run_command

FLAGS = ("--model=mlp", "--dataset=csv:iris.csv", "--label=species", "--task=classification",
         "--epochs=6", "--hparam=hidden=8")  # fmt: skip


def run_study(study: str, trials: int, killed_after: float | None = None) -> int | None:
    """Runs the study in a fork, which need not import TensorFlow: its exit code."""

    def work() -> None:
        os.dup2(os.open(f"{study}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        if killed_after is not None:
            seconds = killed_after
            threading.Thread(target=lambda: kill_after(seconds), daemon=True).start()
        places = (f"--run_dir={study}", f"--export_dir={study}-exports")
        sys.argv = ["zoo", "tune", *FLAGS, *places, f"--trials={trials}"]
        run_command(tune, sys.argv[2:])

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def kill_after(seconds: float) -> None:
    """Kills this process."""
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def read_study(study: str) -> tuple[list[dict[str, str]], bytes]:
    """Returns the rows of trials.csv without their seconds, and the history of the winner."""
    with open(f"{study}/trials.csv") as file:
        rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    (winner,) = Path(study).glob("winner-*")
    return rows, (winner / "history.csv").read_bytes()


def main() -> None:
    """Runs the study undisturbed, then with the kills, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    import_tensorflow()
    from sklearn.datasets import load_iris

    moments, iris = random.Random(options.seed), load_iris(as_frame=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        iris.data.assign(species=iris.target).to_csv("iris.csv", index=False)
        started = time.perf_counter()
        assert run_study("undisturbed", options.trials) == 0, Path("undisturbed.log").read_text()
        longest = (time.perf_counter() - started) * 3 / options.kills
        kills = 0
        while kills < options.kills:
            code = run_study("killed", options.trials, moments.uniform(0.5, longest))
            if code != -signal.SIGKILL:
                break
            kills += 1
        assert run_study("killed", options.trials) == 0, Path("killed.log").read_text()
        assert read_study("undisturbed") == read_study("killed")
        print(f"{kills} kills: the same {options.trials} trials and the same winner")


if __name__ == "__main__":
    main()
