"""Runs what a benchmark measures in processes of their own."""

import multiprocessing
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def run_in_fork(function: Callable[[], Result], name: str) -> Result:
    """Runs a function in a fork of this process, and returns its result.

    TensorFlow may be imported, which takes longest, but not have begun to work.

    Args:
        function: What to run; its result has to be picklable.
        name: What it is, for the error.

    Raises:
        SystemExit: if the process ends with an error.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: sender.send(function()))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} ended with code {process.exitcode}")
    return receiver.recv()
