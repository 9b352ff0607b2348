"""Headers, tokens, deadlines, several requests at the same time, and TLS."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.serving_double import Double, small_models
from support.tls import OPENSSL, make_certificate, terminate_tls

from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError
from zoo.serving import AsyncClient, Client
from zoo.serving.transports import rest_transport

FEATURES = {"features": [[1.0, 2.0]]}


@pytest.fixture(scope="module")
def shared_double():
    double = Double(small_models("price"))
    yield double
    double.stop()


@pytest.fixture
def double(shared_double):
    yield shared_double
    while shared_double.open:  # those that no client waits for any more
        time.sleep(0.01)
    shared_double.delay = shared_double.failures = shared_double.most = 0


@pytest.fixture(params=["rest", "grpc"])
def where(request, double):
    return {"server" if request.param == "rest" else "grpc": getattr(double, request.param)}


def test_headers_and_tokens(where, double, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_TOKEN", "of the environment")
    Client("price", **where, headers={"X-Api-Key": "k"}).versions()
    assert double.headers["x-api-key"] == "k"
    assert double.headers["authorization"] == "Bearer of the environment"
    Client("price", **where, token="mine").predict(FEATURES)
    assert double.headers["authorization"] == "Bearer mine"
    Client("price", **where, headers={"Authorization": "Basic xyz"}).versions()
    assert double.headers["authorization"] == "Basic xyz"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    Client("price", **where).versions()
    assert double.headers["authorization"] == "Bearer of the environment"


def test_a_kept_connection_is_answered_at_once(double):
    """Nagle's algorithm would hold the second part of each answer back for 40 ms."""
    client, seconds = Client("price", server=double.rest), []
    for _ in range(10):
        start = time.perf_counter()
        client.versions()
        seconds.append(time.perf_counter() - start)
    assert min(seconds[1:]) < 0.03


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "secret\n"}, "token: expected printable ASCII characters in one line"),
        ({"headers": {"X-Name": "Zo\u00eb"}}, "header 'X-Name': expected printable ASCII"),
        ({"headers": {"X Name": "a"}}, "header 'X Name': expected printable ASCII"),
        ({"timeout": 0}, "timeout=0, deadline=None: expected seconds above 0"),
        ({"deadline": -1}, "deadline=-1: expected seconds above 0"),
    ],
)
def test_mistakes(settings, message, where):
    with pytest.raises(UserError) as caught:
        Client("price", **where, **settings)
    assert message in str(caught.value) and "secret" not in str(caught.value)


def test_a_deadline_is_for_all_attempts(where, double):
    client = Client("price", **where, timeout=0.3, deadline=0.8, retries=20)
    double.failures = 1000
    with pytest.raises(UserError, match=r"too busy.*\(\d attempts, deadline of 0\.8 s\)$"):
        client.versions()
    double.delay = 0.5
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"did not answer in 0\.\d+ s.*deadline of 0\.8 s\)$"):
        client.versions()
    assert time.monotonic() - begin < 2


def test_an_answer_that_trickles_is_too_late(monkeypatch):
    """Each of its parts comes within the timeout."""
    monkeypatch.setattr(rest_transport, "_CHUNK_SIZE", 1)

    def trickle():
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            if ended.wait(0.05):
                return
            connection.sendall(b" ")

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(UserError, match=r"did not answer in 0\.3 s"):
            Client("price", server=address, timeout=0.3, retries=0).versions()
        assert time.monotonic() - begin < 2
        ended.set()


def make_batches(count):
    return [{"features": [[float(number), 1.0]] * (1 + number % 3)} for number in range(count)]


def test_batches_are_answered_in_order_several_at_a_time(where, double):
    local = Client("price", export_dir=small_models())
    expected = [local.predict(batch)["prediction"].tolist() for batch in make_batches(12)]
    client = Client("price", **where)
    double.delay = 0.1
    found = [
        outputs["prediction"] for outputs in client.predict_many(make_batches(12), concurrency=4)
    ]
    for one, right in zip(found, expected, strict=True):
        assert one.tolist() == pytest.approx(right, abs=1e-5)
    assert 1 < double.most <= 4
    many = list(local.predict_many(make_batches(5), concurrency=3))
    assert [len(outputs["prediction"]) for outputs in many] == [1, 2, 3, 1, 2]


def test_a_batch_that_is_refused_ends_the_others(where, double):
    client = Client("price", **where)
    batches = [*make_batches(2), {"features": [[1.0]]}, *make_batches(50)]
    answers = client.predict_many(batches, concurrency=2)
    assert len(next(answers)["prediction"]) == 1
    with pytest.raises(InputRefusedError, match="features: expected float32 n x 2; got 1 x 1"):
        list(answers)
    with pytest.raises(UserError, match="concurrency=0: expected 1 to 64"):
        list(client.predict_many(batches, concurrency=0))


def test_async_client(where, double):
    double.delay = 0.1
    client = Client("price", **where)

    async def ask():
        async with AsyncClient(client, concurrency=4) as asynchronous:
            predictions = [asynchronous.predict(batch) for batch in make_batches(6)]
            regression = asynchronous.regress([{"size": 80, "age": 3.5}])
            answers = await asyncio.gather(*predictions, regression, asynchronous.versions())
            with pytest.raises(UserError, match="price has no signature 'classify'"):
                await asynchronous.classify([{"size": 80, "age": 3.5}])
            return answers

    *predictions, regression, versions = asyncio.run(ask())
    assert [len(outputs["prediction"]) for outputs in predictions] == [1, 2, 3, 1, 2, 3]
    assert regression.shape == (1,) and versions == {1: "AVAILABLE"}
    assert 1 < double.most <= 4
    with pytest.raises(UserError, match="concurrency=100: expected 1 to 64"):
        AsyncClient(client, concurrency=100)


# without TensorFlow: it takes half a second
ASK = """
import sys
from zoo.serving import Client
print(Client("price", **{sys.argv[1]: sys.argv[2]}).versions())
"""


@pytest.mark.skipif(not OPENSSL, reason="openssl is not installed")
@pytest.mark.parametrize("api", ["server", "grpc"])
def test_tls(api, double, tmp_path, monkeypatch):
    certificate, key = make_certificate(tmp_path)
    target = double.rest if api == "server" else double.grpc
    with terminate_tls(target, certificate, key) as address:
        command = [sys.executable, "-c", ASK, api, f"https://{address}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "UserError" in done.stderr, "its certificate is not trusted"
        for name in ("REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
            monkeypatch.setenv(name, str(certificate))
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "{1: 'AVAILABLE'}\n", done.stderr


def test_the_import_is_quick():
    code = (
        "import time; t = time.process_time(); import zoo.serving; print(time.process_time() - t)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True) for _ in range(3)]
    assert min(float(done.stdout) for done in runs) < 0.3
