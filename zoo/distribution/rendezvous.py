"""The rendezvous of the workers: each waits until it has met all others.

TensorFlow, which connects them afterwards, would wait without end, ignore signals, say nothing, and
take any program that accepts a connection for a worker.
"""

import contextlib
import dataclasses
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

from zoo.distribution.tf_config import Cluster, split_address
from zoo.errors import UserError, WorkerLostError

_START_TIMEOUT = 300.0  # seconds that workers wait for each other to start
_ERROR_TIMEOUT = 30.0  # seconds after which a wrong address will not become a right one
_FIRST_REPORT, _REPORT_INTERVAL = 10.0, 60.0  # seconds
_PAUSE = 0.2  # seconds between two greetings
_ANSWER_TIMEOUT = 2.0  # seconds
_MAX_LINE = 1 << 20  # bytes; the names of all workers
_THANKS = b"thanks\n"


@dataclasses.dataclass(frozen=True)
class _Problem:
    """Why a worker has not been met.

    Attributes:
        reason: What is wrong.
        advice: What to do, for a problem that does not go away when the worker starts.
    """

    reason: str
    advice: str = ""


class _Listener(socketserver.ThreadingTCPServer):
    """Answers the greetings of other workers, and records which of them got the answer."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.callers: set[int] = set()
        host, port = split_address(cluster.workers[cluster.index])
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(("", port), _GreetingHandler)


class _GreetingHandler(socketserver.StreamRequestHandler):
    """Answers one greeting."""

    timeout = _ANSWER_TIMEOUT
    server: _Listener

    def handle(self):
        """Answers, and waits for the thanks, without which the caller would greet again."""
        with contextlib.suppress(OSError):
            caller = _parse_greeting(self.rfile.readline(_MAX_LINE))
            self.wfile.write(_format_greeting(self.server.cluster))
            if self.rfile.readline(_MAX_LINE) == _THANKS and caller:
                self.server.callers.add(caller.index)


class _Caller(threading.Thread):
    """Greets a worker until it answers; a thread, since looking up a name cannot be interrupted."""

    def __init__(self, cluster: Cluster, index: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.index = index
        self.problem: _Problem | None = _Problem("no answer")
        self.since = time.monotonic()  # when the problem began
        self._cluster = cluster
        self._stop_event = stop
        self.start()

    def run(self):
        """Greets the worker."""
        while self.problem and not self._stop_event.is_set():
            problem = _greet(self._cluster, self.index)
            if problem != self.problem:
                self.since = time.monotonic()
            self.problem = problem
            self._stop_event.wait(_PAUSE if problem else 0)


def wait_for_workers(
    cluster: Cluster,
    report: Callable[[str], None] = lambda line: None,
    start_timeout: float = _START_TIMEOUT,
    error_timeout: float = _ERROR_TIMEOUT,
) -> None:
    """Waits until each of the other workers has answered this one, and was answered by it.

    This process listens at its own address until then; afterwards TensorFlow's server does.

    Args:
        cluster: The workers.
        report: Called with a line that says for whom it waits, after ten seconds and then every
            minute.
        start_timeout: Seconds to wait for workers that do not answer.
        error_timeout: Seconds to wait where another program answers, or a name does not resolve.

    Raises:
        UserError: if this process cannot listen at its address, or the address of another worker
            is wrong.
        WorkerLostError: if a worker does not respond in time.
    """
    start, me = time.monotonic(), f"worker {cluster.index}"
    next_report = start + _FIRST_REPORT
    with _listen(cluster) as listener, _call_others(cluster) as callers:
        while waiting := [c for c in callers if c.problem or c.index not in listener.callers]:
            now = time.monotonic()
            _check_addresses(cluster, waiting, now - error_timeout)
            if now - start > start_timeout:
                raise WorkerLostError(
                    f"no response from {cluster.format_workers([c.index for c in waiting])} within "
                    f"{start_timeout:.0f} s of the start of {me}. Start all workers, each with its "
                    "own TF_CONFIG"
                )
            if now > next_report:
                next_report += _REPORT_INTERVAL
                report(
                    f"{me} waits for {_describe_waiting(cluster, waiting)}; it stops "
                    f"{start_timeout:.0f} s after its start at the latest"
                )
            time.sleep(_PAUSE / 4)


def _check_addresses(cluster: Cluster, waiting: list[_Caller], before: float) -> None:
    """Raises a UserError if an address has been wrong since before that time."""
    for caller in waiting:
        problem = caller.problem
        if problem and problem.advice and caller.since < before:
            worker = cluster.format_workers([caller.index])
            raise UserError(f"{worker}: {problem.reason}: {problem.advice}")


def _describe_waiting(cluster: Cluster, waiting: list[_Caller]) -> str:
    """Describes for whom this worker waits, and why."""
    unreached = f"it answers, but has not reached worker {cluster.index}"
    return " and ".join(
        f"{cluster.format_workers([c.index])}: {c.problem.reason if c.problem else unreached}"
        for c in waiting
    )


@contextlib.contextmanager
def _listen(cluster: Cluster) -> Iterator[_Listener]:
    """Context manager that answers greetings at the address of this worker."""
    try:
        listener = _Listener(cluster)
    except OSError as error:
        raise UserError(
            f"{cluster.format_workers([cluster.index])} cannot listen at its address: "
            f"{error.strerror}. Choose another port for it in the TF_CONFIG of all workers"
        ) from error
    with listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield listener
        finally:
            listener.shutdown()


@contextlib.contextmanager
def _call_others(cluster: Cluster) -> Iterator[list[_Caller]]:
    """Context manager that greets all other workers."""
    stop = threading.Event()
    others = [i for i in range(len(cluster.workers)) if i != cluster.index]
    try:
        yield [_Caller(cluster, i, stop) for i in others]
    finally:
        stop.set()


def _greet(cluster: Cluster, index: int) -> _Problem | None:
    """Greets a worker at its address; returns why it has not been met, or None."""
    try:
        connection = socket.create_connection(
            split_address(cluster.workers[index]), _ANSWER_TIMEOUT
        )
    except (socket.gaierror, UnicodeError):
        # in a cloud the name of a machine may only be known when it has started
        advice = "" if cluster.is_dynamic else "correct its name in the TF_CONFIG of all workers"
        return _Problem("its name does not resolve", advice)
    except OSError:
        return _Problem("no answer")
    try:
        with connection, connection.makefile("rb") as stream:
            connection.sendall(_format_greeting(cluster))
            found = _parse_greeting(stream.readline(_MAX_LINE))
            if found == (expected := dataclasses.replace(cluster, index=index)):
                connection.sendall(_THANKS)
                return None
    except OSError:
        found = None
    if found is None:
        return _Problem(
            "another program answers there, or a training that has not ended yet",
            "end it, or choose another port for the worker in the TF_CONFIG of all workers",
        )
    if found.workers != expected.workers:
        return _Problem(
            "it was started with other workers in its TF_CONFIG",
            f"expected {', '.join(cluster.workers)} on all workers",
        )
    return _Problem(
        f"worker {found.index} answers there",
        "give each worker an address and an index of its own in TF_CONFIG",
    )


def _format_greeting(cluster: Cluster) -> bytes:
    return json.dumps({"zoo worker": cluster.index, "of": cluster.workers}).encode() + b"\n"


def _parse_greeting(line: bytes) -> Cluster | None:
    """Returns the worker of a greeting, or None if it is none."""
    try:
        greeting = json.loads(line)
        return Cluster(tuple(greeting["of"]), int(greeting["zoo worker"]))
    except (ValueError, LookupError, TypeError):
        return None
