"""Servers that do not respond."""

import socket
import time

from zoo.storage.downloads import is_reachable


def test_a_silent_network_is_found_out_within_ten_seconds():
    started = time.perf_counter()
    assert not is_reachable(["http://localhost:9/none"])
    assert not is_reachable(["http://host.invalid/x", "http://other.invalid/y"])
    assert time.perf_counter() - started < 10


def test_a_silent_server_is_given_up():
    with socket.socket() as server:  # accepts, and never answers
        server.bind(("127.0.0.1", 0))
        server.listen()
        started = time.perf_counter()
        assert not is_reachable([f"http://127.0.0.1:{server.getsockname()[1]}/"])
        assert time.perf_counter() - started < 10
