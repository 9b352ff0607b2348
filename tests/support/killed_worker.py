"""Kills a worker in mid-epoch, and starts the job again; beside it, one that nobody disturbs.

python killed_worker.py TRAIN CSV leaves in the current folder cut/ and whole/, the two runs, and
prints what the job said before it was started again, its exit code, the seconds that it took to
end, and what it said afterwards, as JSON.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from support.forked_launch import start_launch

WORKERS = 2


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
