"""Puts a server under load, and measures how many requests it answers and how soon."""

import dataclasses
import threading
import time
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
    """

    requests_per_second: float
    median_ms: float
    p99_ms: float
    failures: int
    error: str = ""


def measure_load(
    client: Client, inputs: dict[str, Any], clients: int, seconds: float
) -> LoadResult:
    """Sends the same request again and again, from several threads, and measures the answers.

    Args:
        client: Client without retries.
        inputs: Inputs of `serving_default`.
        clients: Number of threads; each sends its next request when the last one is answered.
        seconds: Time of the measurement, after a fifth of it to warm up.
    """
    client.metadata  # noqa: B018, asked for once, before the measurement
    latencies: list[list[float]] = [[] for _ in range(clients)]
    errors: list[str] = []
    start = time.perf_counter() + _WARM_UP * seconds
    end = start + seconds

    def send_requests(own: list[float]) -> None:
        while (begin := time.perf_counter()) < end:
            try:
                client.predict(inputs)
            except UserError as error:
                errors.append(one_line(error))
                continue
            if begin >= start:
                own.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=send_requests, args=(own,)) for own in latencies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = np.concatenate([np.asarray(own) for own in latencies])
    if not answered.size:
        return LoadResult(0.0, float("nan"), float("nan"), len(errors), next(iter(errors), ""))
    median, p99 = 1000 * np.percentile(answered, [50, 99])
    rate = len(answered) / (time.perf_counter() - start)
    return LoadResult(rate, median, p99, len(errors), next(iter(errors), ""))
