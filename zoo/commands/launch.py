"""Starts several workers on this machine that train one model together.

zoo launch --workers=2 -- --model=cnn              flags of `zoo train` after the --
zoo launch --workers=2 -- my_program.py ARGS       a Python program of your own

Each worker gets a TF_CONFIG with free ports of this machine. Its lines are printed with its number
in front. If one worker fails, or on Ctrl-C or SIGTERM, all workers are stopped.
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

from zoo.commands.flags import under_heading
from zoo.distribution.tf_config import Cluster
from zoo.errors import UserError

FLAGS = flags.FlagValues()
WORDS = "FLAG..."
LAUNCH = under_heading(FLAGS, "Launch")

flags.DEFINE_integer("workers", 2, "Number of processes to start.", 1, **LAUNCH)

_GRACE_PERIOD = 10  # seconds between SIGTERM and SIGKILL
_REPORT_TIME = 40  # seconds in which the other workers may report why one has failed


@dataclasses.dataclass(frozen=True)
class Worker:
    """A worker process, and the threads that print its output."""

    process: subprocess.Popen
    printers: list[threading.Thread]


def main(*words: str) -> None:
    """Starts the workers, and exits with the code of the first one that fails."""
    if not words:
        raise UserError(
            "nothing to launch: pass the flags of zoo train after --, as in "
            "zoo launch --workers=2 -- --model=cnn"
        )
    if words[0].endswith(".py") and not os.path.isfile(words[0]):
        raise UserError(f"{words[0]}: there is no such program")
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    command = list(words) if words[0].endswith(".py") else ["-m", "zoo", "train", *words]
    workers = start_workers(command, FLAGS.workers)
    code = 0
    try:
        code = watch_workers(workers, signals)
    finally:
        end_workers(workers)
    sys.exit(128 + signals[0] if signals else code)


def start_workers(command: list[str], count: int) -> list[Worker]:
    """Starts `count` workers of the Python program and prints their process ids."""
    addresses = tuple(f"localhost:{port}" for port in find_free_ports(count))
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
            # Ctrl-C then signals only this process, which ends the workers
            start_new_session=True,
        )
        print(f"worker {index}: process {process.pid}, {address}", flush=True)
        printers = [
            threading.Thread(target=_forward_output, args=(f"[worker {index}] ", source, target))
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for printer in printers:
            printer.start()
        workers.append(Worker(process, printers))
    return workers


def find_free_ports(count: int) -> list[int]:
    """Returns free ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("localhost", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def watch_workers(workers: list[Worker], signals: list[int]) -> int:
    """Waits until all workers have ended, one has failed, or this process has got a signal.

    Args:
        workers: The workers.
        signals: Signals that this process gets are appended here meanwhile.

    Returns:
        The exit code of the first worker that failed, 1 if a signal ended it, or 0.
    """
    while not signals:
        codes = [worker.process.poll() for worker in workers]
        failures = [(index, code) for index, code in enumerate(codes) if code]
        if failures:
            index, code = failures[0]
            print(
                f"worker {index} {_describe_exit(code)}: stopping all workers",
                file=sys.stderr,
                flush=True,
            )
            deadline = time.monotonic() + _REPORT_TIME
            while time.monotonic() < deadline and not signals:
                if all(worker.process.poll() is not None for worker in workers):
                    break
                time.sleep(0.1)
            return max(code, 0) or 1
        if None not in codes:
            return 0
        time.sleep(0.1)
    return 0


def end_workers(workers: list[Worker]) -> None:
    """Ends the workers that still run with SIGTERM, and after 10 seconds with SIGKILL."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    deadline = time.monotonic() + _GRACE_PERIOD
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
        for printer in worker.printers:
            printer.join()


def _describe_exit(code: int) -> str:
    """Describes a nonzero exit code; a negative one is the number of a signal."""
    if code > 0:
        return f"failed with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _forward_output(prefix: str, source: TextIO, target: TextIO) -> None:
    """Copies lines with a prefix until the source ends."""
    for line in source:
        target.write(f"{prefix}{line}")
        target.flush()
