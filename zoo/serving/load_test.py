"""Puts a server under load, and measures how many requests it answers and how soon."""

import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.errors import UserError, one_line
from zoo.serving.client import Client

_WARM_UP = 0.2  # share of the time, before the measurement


@dataclasses.dataclass(frozen=True)
class LoadResult:
    """What a server did under load.

    Attributes:
        requests_per_second: Requests that were answered.
        median_ms: Median time of an answer, in milliseconds.
        p99_ms: Time that 99% of the answers took at most, in milliseconds.
        failures: Number of requests that failed.
        error: What the first of them failed with, or "".
        p95_ms: Time that 95% of the answers took at most, in milliseconds.
    """

    requests_per_second: float
    median_ms: float
    p99_ms: float
    failures: int
    error: str = ""
    p95_ms: float = math.nan


def measure_load(
    client: Client,
    inputs: dict[str, Any],
    clients: int,
    seconds: float,
    rate: float | None = None,
) -> LoadResult:
    """Sends the same request again and again, from several threads, and measures the answers.

    Without a rate the loop is closed: a thread sends its next request when the last one is
    answered, so that a slow server gets fewer requests. With a rate it is open: requests are due at
    that rate whatever the server does, and their times are counted from then on, also while all
    threads are busy.

    Args:
        client: Client without retries.
        inputs: Inputs of `serving_default`.
        clients: Number of threads.
        seconds: Time of the measurement, after a fifth of it to warm up.
        rate: Requests per second of an open loop; None for a closed one.
    """
    client.metadata  # noqa: B018, asked for once, before the measurement
    latencies: list[list[float]] = [[] for _ in range(clients)]
    errors: list[str] = []
    begin = time.perf_counter()
    start = begin + _WARM_UP * seconds
    end = start + seconds
    wait_for_next = _make_timer(begin, rate)

    def send_requests(own: list[float]) -> None:
        while (due := wait_for_next()) < end and time.perf_counter() < end + seconds:
            try:
                client.predict(inputs)
            except UserError as error:
                errors.append(one_line(error))
                continue
            if due >= start:
                own.append(time.perf_counter() - due)

    threads = [threading.Thread(target=send_requests, args=(own,)) for own in latencies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _summarize(latencies, errors, time.perf_counter() - start)


def _make_timer(begin: float, rate: float | None) -> Callable[[], float]:
    """Returns what waits until the next request is due, and returns that time; for any thread."""
    if rate is None:
        return time.perf_counter
    due_times = (begin + number / rate for number in itertools.count())
    lock = threading.Lock()

    def wait_for_next() -> float:
        with lock:
            due = next(due_times)
        time.sleep(max(0.0, due - time.perf_counter()))
        return due

    return wait_for_next


def _summarize(latencies: list[list[float]], errors: list[str], seconds: float) -> LoadResult:
    """Returns the result of the latencies of all threads, in seconds."""
    answered, error = np.concatenate([np.asarray(own) for own in latencies]), next(iter(errors), "")
    if not answered.size:
        return LoadResult(0.0, math.nan, math.nan, len(errors), error)
    median, p95, p99 = 1000 * np.percentile(answered, [50, 95, 99])
    return LoadResult(len(answered) / seconds, median, p99, len(errors), error, p95)
