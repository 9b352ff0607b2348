"""Workers that meet, and others that never do, each in a thread of its own."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from zoo.commands.launch import find_free_ports
from zoo.distribution import rendezvous
from zoo.distribution.rendezvous import wait_for_workers
from zoo.distribution.tf_config import Cluster
from zoo.errors import UserError, WorkerLostError


@pytest.fixture
def addresses():
    """Addresses of three workers."""
    return tuple(f"localhost:{port}" for port in find_free_ports(3))


@pytest.fixture
def other_program():
    """The address of a web server."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_workers_meet_and_free_their_ports(addresses):
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(wait_for_workers, Cluster(addresses, i)) for i in range(3)]
        for future in futures:
            future.result(timeout=10)
    for address in addresses:
        with socket.socket() as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mine.bind(("", int(address.rpartition(":")[2])))


def test_a_worker_that_comes_late_is_waited_for_and_named(addresses, monkeypatch):
    monkeypatch.setattr(rendezvous, "_FIRST_REPORT", 0.3)
    lines, late = [], []

    def report(line):
        lines.append(line)
        late.append(pool.submit(wait_for_workers, Cluster(addresses[:2], 1)))

    with ThreadPoolExecutor() as pool:
        wait_for_workers(Cluster(addresses[:2], 0), report)
        late[0].result(timeout=10)
    assert lines == [
        f"worker 0 waits for worker 1 ({addresses[1]}): no answer; it stops 300 s after its start "
        "at the latest"
    ]


def test_workers_that_never_come_up_are_named(addresses):
    one, _, three = addresses
    message = rf"no response from worker 0 \({one}\) and worker 2 \({three}\) within 0 s"
    with pytest.raises(WorkerLostError, match=message):
        wait_for_workers(Cluster(addresses, 1), start_timeout=0.3)


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_that_another_program_has(index, other_program, addresses):
    here = Cluster((addresses[0], other_program), 1 - index)
    message = (
        rf"worker 1 \({other_program}\) cannot listen at its address: .*Choose another port"
        if index == 0
        else rf"worker 1 \({other_program}\): another program answers there, or a training that"
    )
    with pytest.raises(UserError, match=message):
        wait_for_workers(here, error_timeout=0.3)


def test_a_port_that_takes_connections_and_says_nothing(addresses, monkeypatch):
    monkeypatch.setattr(rendezvous, "_ANSWER_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = Cluster((addresses[0], f"localhost:{silent.getsockname()[1]}"), 0)
        with pytest.raises(UserError, match="another program answers there"):
            wait_for_workers(here, error_timeout=0.3)


def test_names_that_do_not_resolve(addresses):
    workers = (addresses[0], "no.such.name.invalid:2222")
    with pytest.raises(UserError, match=r"worker 1 \(no\.such.*: its name does not resolve: corr"):
        wait_for_workers(Cluster(workers, 0), error_timeout=0.2)
    # in a cloud it may be known when its machine has started
    with pytest.raises(WorkerLostError, match=r"no response from worker 1 \(no\.such"):
        wait_for_workers(Cluster(workers, 0, is_dynamic=True), start_timeout=0.6, error_timeout=0.2)


def test_workers_with_another_list_are_told_so(addresses):
    with ThreadPoolExecutor() as pool:
        other = Cluster(addresses[:2], 1)
        future = pool.submit(wait_for_workers, other, start_timeout=1, error_timeout=1)
        message = r"worker 1 .*: it was started with other workers in its TF_CONFIG: expected"
        with pytest.raises(UserError, match=message):
            wait_for_workers(Cluster(addresses, 0), error_timeout=0.3)
        with pytest.raises(WorkerLostError):
            future.result()


def test_two_names_of_one_worker(addresses):
    """127.0.0.1 and localhost: worker 0 meets itself."""
    here = Cluster((addresses[0], addresses[0].replace("localhost", "127.0.0.1")), 0)
    with pytest.raises(UserError, match=r"worker 1 .*: worker 0 answers there: give each worker"):
        wait_for_workers(here, error_timeout=0.3)
