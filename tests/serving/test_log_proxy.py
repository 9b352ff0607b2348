"""`zoo serve-log`: every answer is the server's own, and requests that predict are logged."""

import functools
import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import yaml
from support.serving_double import Double, run_app, small_models

from zoo.commands import serve_log as serve_log_command
from zoo.commands.serve_log import find_signatures
from zoo.serving import Client, RequestLog
from zoo.serving.local_server.model_versions import serve_folder
from zoo.serving.log_proxy import make_proxy_app
from zoo.serving.server_templates import COMPOSE
from zoo.serving.transports.addresses import parse_address

MODELS = ("cnn", "gru", "flower", "price")


@pytest.fixture(scope="module")
def double():
    started = Double(small_models(*MODELS), labels=[("stable", 1)])
    yield started
    started.stop()


@pytest.fixture
def proxy(double, tmp_path):
    """The address of a proxy before the double, and its log."""
    reports = []
    with RequestLog(tmp_path / "log.jsonl", report=reports.append) as log:
        log.reports = reports
        find = functools.partial(find_signatures, double.rest)
        with run_app(make_proxy_app(parse_address(double.rest, "REST"), log, find)) as address:
            yield address, log


def read_log(log):
    """The entries of a log, which is then closed."""
    log.close()
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_what_is_asked_in_json_is_logged_as_the_client_logs_it(double, proxy, tmp_path):
    address, log = proxy
    image = np.random.default_rng(0).integers(0, 256, (10, 8, 3), "uint8")
    row = {"features": [1.5, -2.0, 0.5]}
    bodies = {
        "gru:predict": {"instances": ["a good film"]},
        "gru/labels/stable:predict": {"instances": [{"text": "a good film"}]},
        "gru/versions/1:predict": {"inputs": ["a good film"]},
        "flower:predict": {"instances": [row]},
        "price:predict": {"instances": [[80, 3]]},
        "cnn:predict": {"inputs": {"image": [image.tolist()]}},
    }
    for path, body in bodies.items():
        answer = requests.post(f"http://{address}/v1/models/{path}", json=body)
        direct = requests.post(f"http://{double.rest}/v1/models/{path}", json=body)
        assert answer.status_code == direct.status_code == 200, answer.text
        assert answer.content == direct.content and "content-length" in answer.headers
    with RequestLog(tmp_path / "client.jsonl") as own:
        client = functools.partial(Client, server=double.rest, log=own)
        for _ in range(3):
            client("gru").predict({"text": ["a good film"]})
        client("flower").predict({"features": [row["features"]]})
        client("price").predict({"features": [[80, 3]]})
        client("cnn").predict({"image": image[None]})
    found, expected = read_log(log), read_log(own)
    assert len(found) == 6 and not log.lost
    for one, other in zip(found, expected, strict=True):
        assert one["model"] == other["model"] and one["inputs"] == other["inputs"]
        assert one["outputs"] == pytest.approx(other["outputs"])


def test_all_else_passes_unlogged(double, proxy):
    address, log = proxy
    client = Client("cnn", server=address)  # status, metadata and classify, over the proxy
    assert client.versions() == {1: "AVAILABLE", 2: "AVAILABLE"}
    for method, path, body in (
        ("GET", "/", None),
        ("GET", "/v1/models/none", None),
        ("POST", "/v1/models/cnn:predict", b"{"),
        ("POST", "/v1/models/flower:classify", b'{"signature_name": "classify", "examples": []}'),
        (
            "POST",
            "/v1/models/price:predict",
            b'{"signature_name": "features", "instances": [[1, 2]]}',
        ),
        ("DELETE", "/v1/models/price", None),
    ):
        url = "http://{}{}".format
        one, other = (
            requests.request(method, url(x, path), data=body) for x in (address, double.rest)
        )
        assert (one.status_code, one.content) == (other.status_code, other.content), path
    log.close()
    assert not log.path.exists() and log.lost == 0


def test_what_cannot_be_written_is_counted_and_stops_nobody(proxy, monkeypatch):
    address, log = proxy
    log.path.mkdir()  # a full disk
    url, body = f"http://{address}/v1/models/price:predict", {"inputs": [[80, 3]]}
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: requests.post(url, json=body), range(40))]
    assert {answer.status_code for answer in answers} == {200}
    # compressed bodies are passed on, but not read; the double does not take them
    headers = {"content-encoding": "gzip"}
    content = gzip.compress(json.dumps(body).encode())
    assert requests.post(url, data=content, headers=headers).status_code == 400
    log.close()
    assert log.lost == 40 and len(log.reports) in (1, 2)
    assert log.reports[0].startswith(f"{log.path}: 1 request of those to be logged are lost: ")
    assert "Is a directory" in log.reports[0]


def test_a_server_that_is_gone(tmp_path):
    with RequestLog(tmp_path / "log.jsonl") as log:
        find = functools.partial(find_signatures, "127.0.0.1:9")
        with run_app(make_proxy_app(parse_address("127.0.0.1:9", "REST"), log, find)) as address:
            answer = requests.post(f"http://{address}/v1/models/m:predict", data=b"{}")
    assert answer.status_code == 502 and "127.0.0.1:9 does not answer" in answer.json()["error"]


def test_an_answer_that_is_cut_off(tmp_path, caplog):
    """Its client notices, the log of the proxy has a line, and the next request is answered."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"9")]})  # fmt: skip
        content = {"type": "http.response.body", "body": b"whole one"}
        if scope["method"] == "POST":
            content |= {"body": b"half", "more_body": True}
        await send(content)

    with run_app(app) as server, RequestLog(tmp_path / "log.jsonl") as log:
        proxy = make_proxy_app(parse_address(server, "REST"), log, lambda _: {})
        with run_app(proxy) as address:
            with pytest.raises(requests.exceptions.ChunkedEncodingError, match="4 bytes read"):
                requests.post(f"http://{address}/v1/models/m:predict", data=b"{}")
            assert requests.get(f"http://{address}/").text == "whole one"
    assert {record.exc_info for record in caplog.records} == {None} and log.lost == 0


def test_zoo_serve_logs_both_of_its_apis(tmp_path):
    with RequestLog(tmp_path / "log.jsonl", dropped=["features"]) as log:
        models = serve_folder(small_models("cnn", "price"), 1, log)
        models.refresh()
        double = Double(models=models)
        image = np.zeros((10, 8, 3), "uint8")
        for way in ({"server": double.rest}, {"grpc": double.grpc}):
            Client("cnn", **way).predict({"image": image[None]})
            Client("price", **way).predict({"features": [[80, 3]]})
        double.stop()
    rest, price, *over_grpc = read_log(log)
    assert rest["model"] == "cnn" and rest["outputs"]["class"] in ("no", "yes", "h\u00e9")
    assert price["inputs"] == {} and list(price["outputs"]) == ["prediction"]
    for one, other in zip((rest, price), over_grpc, strict=True):
        assert {**one, "time": ""} == {**other, "time": ""}


def test_the_command_and_the_service(run_zoo):
    code, _, err = run_zoo(serve_log_command, "--server=localhost:8501")
    assert code == 2 and err.startswith("zoo serve-log: expected a server and a file, as in")
    code, _, err = run_zoo(serve_log_command, "--server=localhost", "--log=a.jsonl")
    assert code == 2 and "is not an address" in err
    service = yaml.safe_load(COMPOSE.replace("PROBE", "true"))["services"]["log"]
    assert service["profiles"] == ["log"]  # off unless it is asked for
    serve_log_command.FLAGS.mark_as_parsed()
    known = {*serve_log_command.FLAGS}
    assert {flag[2:].partition("=")[0] for flag in service["command"]} <= known
    assert service["entrypoint"] == ["zoo", "serve-log"]
