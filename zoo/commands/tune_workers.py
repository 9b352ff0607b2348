"""The processes of `zoo tune --workers`, beside the one that was started."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator

from zoo.commands.runner import print_warning

_GRACE_SECONDS = 30  # between SIGTERM, at which a trial writes a checkpoint, and SIGKILL


@contextlib.contextmanager
def start_workers(count: int, work: Callable[..., None], *args: object) -> Iterator[None]:
    """Context manager that runs processes beside the block, and waits for them at its end.

    They are stopped if the block raises an exception.

    Args:
        count: Number of processes.
        work: A function of a module, which each process calls.
        *args: Its arguments.
    """
    if count:  # otherwise the first process takes the whole memory of a GPU
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_run_worker, args=(work, *args)) for _ in range(count)]
    try:
        for worker in workers:
            worker.start()
        yield
        for worker in workers:
            worker.join()
    finally:
        _stop_workers(workers)
    for worker in workers:
        if worker.exitcode:
            print_warning(f"process {worker.pid} failed; the others have finished its trial")


def _stop_workers(workers: list) -> None:
    """Ends the processes that still run."""
    running = [worker for worker in workers if worker.is_alive()]
    for worker in running:
        worker.terminate()
    for worker in running:
        worker.join(_GRACE_SECONDS)
        if worker.is_alive():
            worker.kill()
            worker.join()


def _run_worker(work: Callable[..., None], *args: object) -> None:
    """Calls a function, and stops this process once the one that started it is gone."""
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        if parent:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow_parent, daemon=True).start()
    work(*args)
