"""Starts the workers of a training over several processes of this machine, and ends them together.

python -m zoo.launch --workers=2 -- train.py --model=cnn

Each worker gets a TF_CONFIG with free ports of this machine. What they print comes with the worker
in front. When one fails, or on Ctrl-C or SIGTERM, all are ended.
"""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TextIO

from absl import flags

from zoo import cli
from zoo.cluster import Cluster
from zoo.errors import UserError

FLAGS = flags.FLAGS
GROUP = "Launch"
_GRACE = 10  # seconds between SIGTERM and SIGKILL
_FOLLOW = 40  # seconds in which the others may tell, after one has failed, what they know

cli.flag(GROUP, "workers", int, 2, "Processes to start.", 1)


@dataclasses.dataclass(frozen=True)
class Worker:
    """A started worker, and the threads that pass on what it prints."""

    process: subprocess.Popen
    printers: list[threading.Thread]


def main(*command: str) -> None:
    """Starts the workers and exits as the first that fails does."""
    if not command:
        raise UserError("no program: name one after --, as in -- train.py --model=cnn")
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    workers = start(list(command), FLAGS.workers)
    code = 0
    try:
        code = watch(workers, stopped)
    finally:
        end(workers)
    sys.exit(128 + stopped[0] if stopped else code)


def start(command: list[str], count: int) -> list[Worker]:
    """Starts `count` workers of the Python program and prints their process ids."""
    addresses = tuple(f"localhost:{port}" for port in free_ports(count))
    workers = []
    for index, address in enumerate(addresses):
        config = {"TF_CONFIG": Cluster(addresses, index).config(), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | config,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # so that Ctrl-C comes to this process alone, which passes it on
            start_new_session=True,
        )
        print(f"worker {index}: process {process.pid}, {address}", flush=True)
        printers = [
            threading.Thread(target=_pass_on, args=(f"[worker {index}] ", source, target))
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for printer in printers:
            printer.start()
        workers.append(Worker(process, printers))
    return workers


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def watch(workers: list[Worker], stopped: list[int]) -> int:
    """Waits until all have ended, one has failed or a signal has come in `stopped`.

    Returns:
        The exit code of the first that failed, 1 if a signal ended it, or 0.
    """
    while not stopped:
        codes = [worker.process.poll() for worker in workers]
        failed = next((i for i, code in enumerate(codes) if code), None)
        if failed is not None:
            print(f"worker {failed} {_ending(codes[failed])}: all end", file=sys.stderr, flush=True)
            limit = time.monotonic() + _FOLLOW
            while time.monotonic() < limit and not stopped:
                if all(worker.process.poll() is not None for worker in workers):
                    break
                time.sleep(0.1)
            return max(codes[failed], 0) or 1
        if None not in codes:
            return 0
        time.sleep(0.1)
    return 0


def end(workers: list[Worker]) -> None:
    """Ends those that still run: by SIGTERM, and after 10 seconds by SIGKILL."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    limit = time.monotonic() + _GRACE
    for worker in workers:
        try:
            worker.process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
        for printer in worker.printers:
            printer.join()


def _ending(code: int) -> str:
    return f"failed with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"


def _pass_on(prefix: str, source: TextIO, target: TextIO) -> None:
    for line in source:
        target.write(f"{prefix}{line}")
        target.flush()


if __name__ == "__main__":
    cli.run(main, lambda: cli.help_text(__doc__, [GROUP]), "PROGRAM...")
