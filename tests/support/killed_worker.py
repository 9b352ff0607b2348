"""Kills a worker in mid-epoch, and starts the job again; beside it, one that nobody disturbs.

python killed_worker.py TRAIN CSV leaves in the current folder cut/ and whole/, the two runs, and
prints what the job said before it was started again, its exit code, the seconds that it took to
end, and what it said afterwards, as JSON. `zoo launch` and its workers are forks of this process,
without 3 s of importing TensorFlow for each.
"""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from zoo.commands import launch
from zoo.commands.runner import run_command

WORKERS = 2


def start_launch(words: list[str], output: Path) -> int:
    """Starts `zoo launch` in a fork of this process, and returns its process id.

    Args:
        words: What follows `zoo launch`, with a Python file after the "--".
        output: Gets what it prints.
    """
    process = os.fork()
    if process:
        return process
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    launch.subprocess = ForkingSubprocess
    sys.argv = ["zoo", "launch", *words]
    run_to_the_end(lambda: run_command(launch, words))


class ForkingSubprocess:
    """What `zoo launch` uses of `subprocess`."""

    PIPE, TimeoutExpired = subprocess.PIPE, subprocess.TimeoutExpired

    @staticmethod
    def Popen(command: list[str], env: dict[str, str], **options) -> subprocess.Popen:
        """A process that runs a Python file instead of starting a Python for it."""

        def run_instead():
            os.closerange(3, 1024)  # among them the pipe that the parent waits at
            os.environ.update(env)
            sys.argv = command[1:]
            run_to_the_end(lambda: runpy.run_path(command[1], run_name="__main__"))

        return subprocess.Popen(command, env=env, preexec_fn=run_instead, **options)


def run_to_the_end(call) -> None:
    """Ends this process with the exit code of what is called."""
    # the streams of before may be files, these may be pipes
    sys.stdout, sys.stderr = (open(i, "w", 1, closefd=False) for i in (1, 2))  # noqa: SIM115
    code = 0
    try:
        call()
    except SystemExit as exit:
        code = exit.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def start_job(train: str, csv: str, run_dir: str, output: str) -> int:
    """Starts two workers; an epoch has 14 steps."""
    words = [f"--workers={WORKERS}", "--", train, "--model=mlp", f"--dataset=csv:{csv}"]
    words += ["--label=species", "--hparam=dropout=0.3", "--epochs=2", "--batch_size=9"]
    words += [f"--run_dir={run_dir}", f"--export_dir={run_dir}-export", "--checkpoint_every=5"]
    return start_launch(words, Path(output))


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main(train: str, csv: str) -> None:
    cut = start_job(train, csv, "cut", "cut.txt")
    while not any(Path("cut").glob("checkpoints/[0-9]*")):
        assert os.waitpid(cut, os.WNOHANG) == (0, 0), Path("cut.txt").read_text()
        time.sleep(0.01)
    (worker,) = re.findall(r"worker 1: process (\d+),", Path("cut.txt").read_text())
    os.kill(int(worker), signal.SIGKILL)
    killed = time.monotonic()
    # while the others wait for the heartbeat of the dead
    whole = start_job(train, csv, "whole", "whole.txt")
    told = {"code": wait(cut), "seconds": time.monotonic() - killed}
    told["codes"] = [wait(start_job(train, csv, "cut", "again.txt")), wait(whole)]
    texts = {name: Path(f"{name}.txt").read_text() for name in ("cut", "again", "whole")}
    print(json.dumps(told | texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
