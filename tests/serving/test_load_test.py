"""Closed and open loops of requests."""

import time
import types

from zoo.serving.load_test import measure_load

SLOW = types.SimpleNamespace(metadata={}, predict=lambda _: time.sleep(0.02))


def test_an_open_loop_counts_the_time_that_requests_wait():
    closed = measure_load(SLOW, {}, clients=1, seconds=0.5)
    # 100 are due in a second, and at most 50 are answered: the last of 0.5 s waits for 0.25 s
    opened = measure_load(SLOW, {}, clients=1, seconds=0.5, rate=100)
    assert closed.requests_per_second <= 50 and opened.requests_per_second <= 50
    assert opened.p99_ms > 200 and opened.p99_ms >= opened.p95_ms >= opened.median_ms


def test_an_open_loop_keeps_its_rate_if_the_server_is_quick():
    quick = types.SimpleNamespace(metadata={}, predict=lambda _: None)
    assert measure_load(quick, {}, clients=2, seconds=0.5, rate=20).requests_per_second <= 22
