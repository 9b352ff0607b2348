"""The three ways of the client against each other, and against servers that fail."""
# ruff: noqa: E501, a table

import dataclasses
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import numpy as np
import pytest
import requests
from PIL import Image
from support.model_server import BINARY, ModelServer, free_port
from support.serving_double import Double, small_models

import zoo
from zoo.errors import UserError
from zoo.exporting.tensors import make_example
from zoo.exporting.validation import InputRefusedError
from zoo.serving.client import Client
from zoo.serving.transports import transport

MODELS = ("cnn", "gru", "pairs", "flower", "price")
TEXTS = ["the film is good", "", "h\u00e9 \U0001f600", "good " * 30, "a\tb"]


def write_models_config(exports, folder):
    """A models.config with all versions of the models, and a label."""
    models = "".join(
        f'config {{ name: "{name}" base_path: "{exports / name}" '
        f'model_platform: "tensorflow" model_version_policy {{ all {{}} }} '
        + ('version_labels { key: "stable" value: 1 } }' if name == "cnn" else "}")
        for name in MODELS
    )
    file = folder / "models.config"
    file.write_text(f"model_config_list {{ {models} }}")
    return file


@pytest.fixture(scope="module")
def exports():
    return small_models()


@pytest.fixture(scope="module")
def double(exports):
    double = Double(exports, {"stable": 1})
    yield double
    double.stop()


@pytest.fixture(scope="module", params=["double", "tensorflow_model_server"])
def server(request, exports, tmp_path_factory):
    if request.param == "double":
        yield request.getfixturevalue("double")
        return
    if not BINARY:
        pytest.skip("no TF_MODEL_SERVER is set and no tensorflow_model_server on PATH")
    folder = tmp_path_factory.mktemp("serving")
    real = ModelServer(write_models_config(exports, folder), folder / "log", MODELS)
    yield real
    real.stop()


@pytest.fixture(params=["rest", "grpc"])
def remote(request, double):
    """What a client needs to ask the double, which is set back."""
    yield {"server" if request.param == "rest" else "grpc": getattr(double, request.param)}
    double.delay, double.failures = 0.0, 0


@pytest.fixture(scope="module")
def local(exports):
    loaded = {name: Client(name, export_dir=exports) for name in MODELS}
    return loaded.__getitem__


def png(size=(10, 8)):
    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), "uint8")
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def raw(model, count):
    random = np.random.default_rng(count)
    texts = [TEXTS[i % len(TEXTS)] for i in range(count)]
    return {
        "cnn": {"image": random.integers(0, 256, (count, 10, 8, 3), "uint8")},
        "gru": {"text": texts},
        "pairs": {"text_a": texts, "text_b": texts[::-1]},
        "flower": {"features": random.normal(size=(count, 3)).astype("float32")},
        "price": {"features": random.normal(size=(count, 2)).tolist()},
    }[model]


def examples(model, count):
    if model == "cnn":
        return [{"image_bytes": png((8 + i, 9))} for i in range(count)]
    if model in ("gru", "pairs"):
        columns = raw(model, count)
        return [{name: column[i] for name, column in columns.items()} for i in range(count)]
    if model == "flower":
        by_name = [{"a": 1, "b": 2.5, "c d": np.float32(-i)} for i in range(count)]
        return by_name if count > 1 else [{"features": [1.0, 2, 3]}]
    return [{"size": 80 + i, "age": 3.5} for i in range(count)]


def inputs(model, signature, count):
    if signature == "image_bytes":
        return {"image_bytes": [one["image_bytes"] for one in examples(model, count)]}
    if signature == "top_k":
        return raw(model, count) | {"k": np.arange(count) + 1}
    if signature in ("classify", "regress"):
        made = [make_example(one).SerializeToString() for one in examples(model, count)]
        return {"inputs": made}
    return raw(model, count)


def ways(model, server):
    return Client(model, server=server.rest), Client(model, grpc=server.grpc)


def assert_same(given, expected):
    assert given.keys() == expected.keys()
    for name, right in expected.items():
        assert given[name].dtype == right.dtype and given[name].shape == right.shape, name
        if right.dtype == np.float32:
            np.testing.assert_allclose(given[name], right, atol=1e-5)
        else:
            assert (given[name] == right).all(), name


@pytest.mark.parametrize("model", MODELS)
def test_three_ways_give_the_same_for_every_signature(model, server, local):
    signatures = local(model).metadata
    assert {"serving_default", "features"} <= signatures.keys()
    for signature in signatures:
        for count in (1, 5):
            given = inputs(model, signature, count)
            expected = local(model).predict(given, signature)
            assert all(len(x) == count for x in expected.values())
            assert {x.dtype for x in expected.values()} <= {
                np.dtype(t) for t in ("float32", "int64", "O")
            }
            assert all(
                isinstance(s, str) for x in expected.values() if x.dtype == object for s in x.flat
            )
            for other in ways(model, server):
                assert_same(other.predict(given, signature), expected)


@pytest.mark.parametrize("model", MODELS)
def test_three_ways_give_the_same_for_examples(model, server, local):
    given = examples(model, 3)
    if model == "price":
        expected = local(model).regress(given)
        assert expected.shape == (3,) and expected.dtype == np.float32
        for other in ways(model, server):
            np.testing.assert_allclose(other.regress(given), expected, atol=1e-5)
        return
    expected = local(model).classify(given)
    assert all(sorted(label for label, _ in one) == ["h\u00e9", "no", "yes"] for one in expected)
    assert all([s for _, s in one] == sorted((s for _, s in one), reverse=True) for one in expected)
    for other in ways(model, server):
        found = other.classify(given)
        assert [[c for c, _ in one] for one in found] == [[c for c, _ in one] for one in expected]
        scores = [[[s for _, s in one] for one in x] for x in (found, expected)]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_what_is_known_of_a_model(server, local):
    for model in MODELS:
        known = local(model).spec()
        for other in ways(model, server):
            assert other.metadata == local(model).metadata
            spec = other.spec()
            assert spec.kind == known.kind
            assert (spec.class_names is None) == (known.class_names is None)
            assert spec.is_text or spec.shape == known.shape
    assert local("flower").spec().feature_names == ("a", "b", "c d")
    for client in (local("cnn"), *ways("cnn", server)):
        assert client.versions() == {1: "AVAILABLE", 2: "AVAILABLE"}


def test_versions_and_labels(server, exports, local):
    given = raw("cnn", 2)
    expected = local("cnn").predict(given)
    for where in ({"server": server.rest}, {"grpc": server.grpc}):
        for which in ({"version": 1}, {"version": 2}, {"label": "stable"}):
            assert_same(Client("cnn", **where, **which).predict(given), expected)
        address = next(iter(where.values()))
        with pytest.raises(UserError, match=rf"^{address} does not serve cnn, 7: "):
            Client("cnn", **where, version=7).predict(given)
        with pytest.raises(UserError, match=rf"^{address} refused the request: .*label: nowhere$"):
            Client("cnn", **where, label="nowhere").predict(given)
        with pytest.raises(UserError, match=rf"^{address} does not serve cnm: .*check the models"):
            Client("cnm", **where).predict(given)
        with pytest.raises(UserError, match=f"^{address} does not serve cnm"):
            Client("cnm", **where).versions()
    assert_same(Client("cnn", export_dir=exports, version=1).predict(given), expected)


def test_what_does_not_suit_the_model_is_refused_alike(server, local):
    for model, ask, message in REFUSED:
        for client in (local(model), *ways(model, server)):
            with pytest.raises(InputRefusedError) as caught:
                ask(client)
            assert message in str(caught.value) and "\n" not in str(caught.value)


REFUSED = [
    ("cnn", lambda c: c.predict({"image": np.zeros((1, 5, 8, 3))}), "image: expected uint8 n x 10 x 8 x 3; got 1 x 5 x 8 x 3"),
    ("cnn", lambda c: c.predict({"image": np.zeros((10, 8, 3))}), "expected uint8 n x 10 x 8 x 3; got 10 x 8 x 3: put it into a list"),
    ("cnn", lambda c: c.predict({"image": np.full((1, 10, 8, 3), 0.5)}), "got values of another type or range"),
    ("cnn", lambda c: c.predict({"image": np.full((1, 10, 8, 3), 256)}), "got values of another type or range"),
    ("cnn", lambda c: c.predict({"image": [[1], [1, 2]]}), "image: expected uint8 n x 10 x 8 x 3"),
    ("cnn", lambda c: c.predict({"image": np.zeros((0, 10, 8, 3))}), "got 0 x 10 x 8 x 3"),
    ("cnn", lambda c: c.predict({"imgae": [1]}), "cnn: serving_default takes image (uint8 n x 10 x 8 x 3); got imgae"),
    ("cnn", lambda c: c.predict({"image_bytes": [b"x"]}, "image_bytes"), "image_bytes: not a readable image"),
    ("cnn", lambda c: c.classify([{"image": [1]}]), "each example needs one string as the feature 'image_bytes'"),
    ("cnn", lambda c: c.classify([{"image": None}]), "feature image: expected a string or numbers; got None"),
    ("cnn", lambda c: c.classify([]), "classify: got no examples"),
    ("cnn", lambda c: c.classify(["a text"]), "classify: expected a list of dicts, the features of each example by name; got 'a text'"),
    ("cnn", lambda c: c.predict({"image": np.full((1, 10, 8, 3), np.nan)}), "another type or range, such as nan"),
    ("cnn", lambda c: c.predict({"image": np.full((1, 10, 8, 3), 1j)}), "another type or range, such as 1j"),
    ("cnn", lambda c: c.predict([[1]]), "cnn: serving_default takes a dict of image (uint8 n x 10 x 8 x 3); got [[1]]"),
    ("cnn", lambda c: c.predict({}), "cnn: serving_default takes image (uint8 n x 10 x 8 x 3); got nothing"),
    ("cnn", lambda c: c.predict({1: 2}), "takes image (uint8 n x 10 x 8 x 3); got 1"),
    ("pairs", lambda c: c.predict({"text_a": ["a"], "text_b": ["b", "c"]}), "expected as many values of each input; got 1 of text_a, 2 of text_b"),
    ("price", lambda c: c.predict({"features": [[10**400, 1]]}), "features: expected float32 n x 2; got values of another type or range, such as 1000"),
    ("price", lambda c: c.predict({"features": [[None, 1]]}), "such as None (a missing value is NaN)"),
    ("price", lambda c: c.predict({"features": np.ma.array([[1.0, 2]], mask=[[True, False]])}), "got masked values: fill them"),
    ("gru", lambda c: c.predict({"text": ["a", 1]}), "text: expected string n; got values of another type or range, such as 1"),
    ("gru", lambda c: c.predict({"text": [None]}), "such as None (a missing value is '')"),
    ("gru", lambda c: c.predict({"text": "a"}), "text: expected string n; got one value: put it into a list"),
    ("gru", lambda c: c.predict({"text": np.full([1] * 30, "a", object).tolist()}), "text: expected string n; got 1 x 1"),
    ("gru", lambda c: c.predict({"text": json.loads("[" * 40 + '"a"' + "]" * 40)}), "text: expected string n; "),
    ("gru", lambda c: c.predict({"text": ["\ud800"]}), "surrogates not allowed"),
    ("pairs", lambda c: c.classify([{"text_a": "a"}]), "each example needs one string as the feature 'text_b'"),
    ("flower", lambda c: c.predict({"features": [["a", "b", "c"]]}), "features: expected float32 n x 3; got texts, such as ['a']"),
    ("flower", lambda c: c.classify([{"a": 1, "b": 2}]), "each example needs one number as the feature 'c d'"),
    ("price", lambda c: c.regress([{"size": "big", "age": 1}]), "each example needs one number as the feature 'size'"),
]  # fmt: skip


def test_signatures_that_are_not_there(local, remote):
    for client in (local("price"), Client("price", **remote)):
        with pytest.raises(UserError, match=r"price has no signature 'classify'\. It has: feat"):
            client.classify([{"size": 1, "age": 2}])
        with pytest.raises(UserError, match="Did you mean 'features'"):
            client.predict({}, "feature")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"server": "a:1", "grpc": "b:2"}, "server=a:1 and grpc=b:2: pass only one of them"),
        ({"version": 1, "label": "x"}, "version=1 and label=x: pass only one of them"),
        ({"label": "x"}, "label=x: only a server knows labels"),
        ({"server": "localhost"}, "'localhost' is not an address: expected HOST:PORT"),
        ({"grpc": "localhost:grpc"}, "'localhost:grpc' is not an address: expected HOST:PORT"),
        ({"version": 3}, "cnn has no version 3; it has: 1, 2"),
        ({"model": "cnm"}, "has no model 'cnm'. Did you mean 'cnn'? It has: cnn, flower, gru"),
        ({"model": ""}, "has no model ''"),
        ({"export_dir": "nowhere"}, "nowhere: there is no such folder"),
    ],
)
def test_mistakes_in_the_settings(settings, message, exports):
    with pytest.raises(UserError) as caught:
        Client(**{"model": "cnn", "export_dir": exports} | settings)
    assert message in str(caught.value)


def test_broken_exports(exports, tmp_path):
    shutil.copytree(exports / "price", tmp_path / "price")
    (tmp_path / "price/1/assets.extra/zoo.json").write_text("{")
    with pytest.raises(UserError, match=r"zoo\.json: not valid JSON: "):
        Client("price", export_dir=tmp_path).spec()
    (tmp_path / "price/1/assets.extra/zoo.json").unlink()
    assert Client("price", export_dir=tmp_path).spec().kind == "features"
    variables = tmp_path / "price/1/variables/variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:100])
    with pytest.raises(
        UserError, match=r"price/1: .* TensorFlow can load: .*: copy or export it again"
    ):
        Client("price", export_dir=tmp_path).predict({"size": [1.0]})
    (tmp_path / "price/1/saved_model.pb").write_bytes(b"broken")
    with pytest.raises(
        UserError, match="price/1: this is not a SavedModel that TensorFlow can load"
    ):
        Client("price", export_dir=tmp_path).regress([{}])


def test_tensorflow_text_is_imported_where_the_graph_needs_it(exports, tmp_path, monkeypatch):
    shutil.copytree(exports / "gru", tmp_path / "gru")
    tokenizer = tmp_path / "gru/1/assets.extra/tokenizer.json"
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)  # to import it fails
    Client("gru", export_dir=tmp_path).predict({"text": ["a"]})
    content = tokenizer.read_text()
    for known, other in (
        ('"words"', '"wordpiece"'),
        ('"normalization":""', '"normalization":"nfkc"'),
    ):
        tokenizer.write_text(content.replace(known, other))
        with pytest.raises(ImportError, match="tensorflow_text"):
            Client("gru", export_dir=tmp_path).predict({"text": ["a"]})


def test_rest_does_without_tensorflow(double):
    code = f"""
import sys
from zoo.serving.client import Client
client = Client("pairs", server={double.rest!r})
assert client.predict({{"text_a": ["a"], "text_b": [b"b"]}})["label"].shape == (1,)
assert client.classify([{{"text_a": "a", "text_b": "b"}}])
assert not {{"tensorflow", "keras", "grpc"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were asked for, and not made."""
    asked = []
    monkeypatch.setattr(transport.time, "sleep", asked.append)
    return asked


def test_a_busy_server_is_asked_again(remote, double, local, pauses):
    client = Client("price", **remote)
    given = raw("price", 2)
    expected = local("price").predict(given)
    client.metadata  # noqa: B018, asked once
    double.failures, double.asked = 3, 0
    assert_same(client.predict(given), expected)
    assert double.asked == 4
    waited = [pause for pause in pauses if pause]
    assert all(p <= w <= 2 * p for p, w in zip([0.1, 0.2, 0.4], waited, strict=True))
    assert waited != [0.1, 0.2, 0.4]
    double.failures, double.asked = 9, 0
    with pytest.raises(UserError, match=r"^127\.0\.0\.1:\d+ .*the double is too busy.*\(4 attemp"):
        client.predict(given)
    assert double.asked == 4
    double.asked = 0
    with pytest.raises(UserError, match="too busy"):
        Client("price", **remote, retries=0).versions()
    assert double.asked == 1


def test_what_was_refused_is_not_sent_again(remote, double):
    client = Client("cnn", **remote)
    client.metadata  # noqa: B018
    double.asked = 0
    with pytest.raises(InputRefusedError):
        client.predict({"image_bytes": [b"\x89PNG\r\n\x1a\n, and no more"]}, "image_bytes")
    assert double.asked == 1
    with pytest.raises(UserError, match="does not serve cnm"):
        Client("cnm", **remote).versions()
    assert double.asked == 2


def test_a_server_that_is_too_late(remote, double):
    client = Client("price", **remote, retries=1)
    client.metadata  # noqa: B018, asked once; a first call may take longer than the timeout below
    settings = dataclasses.replace(client._transport.settings, timeout=0.2)
    client._transport.settings = settings
    double.delay, double.asked = 0.6, 0
    with pytest.raises(
        UserError, match=r"did not answer in 0\.2 s: raise the timeout.*\(2 attempts"
    ):
        client.predict(raw("price", 1))
    assert double.asked == 2


@pytest.mark.parametrize("way", ["server", "grpc"])
def test_a_server_that_is_not_there(way):
    address = f"127.0.0.1:{free_port()}"
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        Client("cnn", **{way: address}).versions()
    message = str(caught.value)
    assert message.startswith(address) and "Connection refused: start TF Serving there" in message
    assert message.endswith("(4 attempts)") and "\n" not in message
    assert 0.7 <= time.monotonic() - begin < 8


@pytest.mark.parametrize("way", ["server", "grpc"])
def test_a_server_that_appears_between_two_attempts(way, exports, local, monkeypatch):
    ports, started, sleep = (free_port(), free_port()), [], time.sleep

    def start(pause):
        if pause and not started:
            started.append(Double(exports, ports=ports))
        sleep(pause)

    monkeypatch.setattr(transport.time, "sleep", start)
    try:
        client = Client("price", **{way: f"127.0.0.1:{ports[way == 'grpc']}"}, retries=5)
        assert_same(client.predict(raw("price", 1)), local("price").predict(raw("price", 1)))
        assert started
    finally:
        for double in started:
            double.stop()


class Other(BaseHTTPRequestHandler):
    """A web server of another kind."""

    def do_GET(self):
        content = self.server.content
        self.send_response(self.server.code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    ("code", "content", "message"),
    [
        (200, b"<html>hello</html>", "does not answer as TF Serving's REST API does: correct HOST"),
        (200, b'{"a": 1}', "does not answer as TF Serving's REST API does: correct HOST:PORT"),
        (200, b"[]", "does not answer as TF Serving's REST API does: correct HOST:PORT"),
        (500, b"a\nb", "answered 500: a b: see the server's log"),
        (404, b'{"error": "Malformed"}', "does not serve cnn: Malformed: check the models"),
    ],
)
def test_a_server_of_another_kind(code, content, message):
    other = HTTPServer(("127.0.0.1", 0), Other)
    other.code, other.content = code, content
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        with pytest.raises(UserError) as caught:
            Client("cnn", server=f"127.0.0.1:{other.server_port}").versions()
        assert message in str(caught.value)
    finally:
        other.shutdown()
        other.server_close()


def test_each_api_at_the_port_of_the_other(double):
    for where, message in (
        ({"server": double.grpc}, "is a gRPC port: pass it as grpc, and as server the port of the"),
        ({"grpc": double.rest}, "is not a gRPC port: "),
    ):
        with pytest.raises(UserError) as caught:
            Client("cnn", **where, timeout=5).versions()
        (address,) = where.values()
        assert str(caught.value).startswith(f"{address} {message}")
        assert str(caught.value).isprintable() and "attempts" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "details", "message"),
    [
        (
            "RESOURCE_EXHAUSTED",
            "Server Threadpool Exhausted",
            r"is overloaded: Server Thr.*\(3 att",
        ),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", "larger than max"),
    ],
)
def test_a_grpc_server_without_a_free_thread_is_asked_again(code, details, message, pauses):
    class Refuse(grpc.GenericRpcHandler):
        calls = 0

        def service(self, handler_call_details):
            def refuse(request, context):
                self.calls += 1
                context.abort(getattr(grpc.StatusCode, code), details)

            return grpc.unary_unary_rpc_method_handler(refuse)

    handler = Refuse()
    server = grpc.server(ThreadPoolExecutor(1), [handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(UserError, match=message):
            Client("cnn", grpc=f"127.0.0.1:{port}", retries=2).versions()
    finally:
        server.stop(None)
    assert handler.calls == (3 if "Threadpool" in details else 1)


def test_a_server_behind_a_path(exports, double):
    """A proxy that serves the models under a path, as one for several servers does."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/a/models/v1/"):
                self.send_response(301)
                self.send_header("Location", f"http://{double.rest}{self.path}")
                self.end_headers()
                return
            answer = requests.get(f"http://{double.rest}{self.path.removeprefix('/a/models')}")
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *args):
            pass

    front = HTTPServer(("127.0.0.1", 0), Forward)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{front.server_port}"
    try:
        client = Client("price", server=f"{address}/a/models/")
        assert client.versions() == {1: "AVAILABLE"}
        with pytest.raises(UserError, match=rf"{address} redirects to http://{double.rest}/v1/mod"):
            Client("price", server=address).versions()
        with pytest.raises(UserError, match="does not speak https, or its certificate is not"):
            Client("price", server=address.replace("http", "https")).versions()
    finally:
        front.shutdown()
        front.server_close()


def test_proxies_of_the_environment(remote, double, monkeypatch):
    """They are named if they fail, and are not asked for this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert Client("price", **remote).versions() == {1: "AVAILABLE"}
    (way,) = remote
    with pytest.raises(UserError) as caught:
        Client("price", **{way: "models.example:8500"}, retries=0, timeout=5).versions()
    advice = "through the proxy 127.0.0.1 (NO_PROXY=models.example goes without it): "
    assert advice in str(caught.value) and "secret" not in str(caught.value)


def test_json_as_others_write_it(server, local):
    """Rows, plain values and base 64, as curl would send them."""
    url = f"http://{server.rest}/v1/models"
    given = requests.post(f"{url}/gru:predict", json={"instances": TEXTS[:2]}).json()
    labels = local("gru").predict({"text": TEXTS[:2]})["label"].tolist()
    assert [row["label"] for row in given["predictions"]] == labels
    given = requests.post(f"{url}/price:predict", json={"instances": [[1, 2.5]]}).json()
    assert len(given["predictions"]) == 1 and isinstance(given["predictions"][0], float)
    rows = [{"text_a": "a", "text_b": {"b64": "YQ=="}}]
    given = requests.post(f"{url}/pairs/versions/1:predict", json={"instances": rows}).json()
    assert given["predictions"][0].keys() == {"logits", "probabilities", "class_id", "label"}
    for body in ({"instances": [[0.5]]}, {"inputs": {"txt": ["a"]}}, {"signature_name": "no"}):
        answer = requests.post(f"{url}/gru:predict", json=body)
        assert answer.status_code == 400 and answer.json().keys() == {"error"}


@pytest.mark.skipif(not BINARY, reason="no TF_MODEL_SERVER, no tensorflow_model_server on PATH")
def test_versions_that_are_published_under_load_cost_no_request(tmp_path):
    """8 clients ask while 20 versions follow one another."""
    model = zoo.get("perceptron")
    zoo.export(model, tmp_path / "perceptron")
    ports = [free_port(), free_port()]
    command = [
        BINARY,
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        "--model_name=perceptron",
    ]
    command += [f"--model_base_path={tmp_path / 'perceptron'}"]
    command += ["--file_system_poll_wait_seconds=1"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    image = np.zeros((1, 28, 28, 1), "uint8")
    ended, answers, failures = threading.Event(), [], []

    def ask():
        client = Client("perceptron", server=f"127.0.0.1:{ports[1]}", retries=0)
        while not ended.is_set():
            try:
                answers.append(client.predict({"image": image})["class_id"].item())
            except ValueError as error:
                failures.append(str(error))

    try:
        patient = Client("perceptron", server=f"127.0.0.1:{ports[1]}", retries=8)
        patient.predict({"image": image})
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            newest = zoo.export(model, tmp_path / "perceptron")
        until = time.monotonic() + 60
        while patient.versions().get(int(newest.name)) != "AVAILABLE":
            assert time.monotonic() < until, "the newest version was not loaded"
            time.sleep(0.5)
    finally:
        ended.set()
        server.terminate()
    assert not failures and len(answers) > 100
