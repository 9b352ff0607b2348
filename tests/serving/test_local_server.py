"""`zoo serve`: what it takes, what it refuses, and that nothing ends it or stalls others.

Where TF Serving itself is there, the same requests go to it.
"""

import base64
import contextlib
import importlib.util
import io
import json
import signal
import socket
import threading

import grpc
import numpy as np
import pytest
import requests
from google.protobuf import text_format
from PIL import Image
from support.model_server import BINARY, ModelServer, free_port
from support.serving_double import Double, small_models
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from zoo.commands import serve
from zoo.commands.runner import run_command
from zoo.errors import UserError
from zoo.exporting.messages import ModelServerConfig
from zoo.serving import server_config
from zoo.serving.client import Client
from zoo.serving.local_server import rest_app, serving_error
from zoo.serving.local_server.model_versions import ModelVersions, serve_folder
from zoo.serving.local_server.serving_error import ServingError
from zoo.serving.server_config import make_models_config


@pytest.fixture(scope="module", params=["zoo serve", "tensorflow_model_server"])
def server(request, tmp_path_factory):
    if request.param == "zoo serve":
        started = Double(small_models())
    elif BINARY:
        folder = tmp_path_factory.mktemp("serving")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server_config, "_MOUNT", str(small_models()))
            config = make_models_config(small_models(), 100)
        (folder / "models.config").write_text(text_format.MessageToString(config))
        models = [entry.name for entry in config.model_config_list.config]
        started = ModelServer(folder / "models.config", folder / "log", models)
    else:
        pytest.skip("no TF_MODEL_SERVER is set and no tensorflow_model_server on PATH")
    started.is_real = request.param != "zoo serve"
    yield started
    started.stop()


@pytest.fixture
def post(server):
    def post(path, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(f"http://{server.rest}/v1/models/{path}", data=body, timeout=60)

    return post


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def encode_png(size):
    content = io.BytesIO()
    Image.new("L", size).save(content, "png")
    return content.getvalue()


PNG = encode_png((9, 9))
CLASSIFY = {"signature_name": "classify"}
# the path, the body, and what the error says of `zoo serve`; TF Serving has other words
REFUSED = {
    "no JSON": ("price:predict", b"{", "JSON Parse error"),
    "NUL": ("price:predict", b"\0" * 100, "JSON Parse error"),
    "not UTF-8": ("gru:predict", b'{"instances": ["\xff"]}', "JSON Parse error"),
    "no object": ("price:predict", [1], "expected an object"),
    "nothing": ("price:predict", {}, "one of the keys"),
    "empty": ("price:predict", {"instances": []}, "a list that is not empty"),
    "empty batch": ("price:predict", {"inputs": []}, "n x 2|shape|features"),
    "a scalar": ("price:predict", {"instances": 1}, "must be a list"),
    "wrong width": ("price:predict", {"instances": [[1, 2, 3]]}, "shape"),
    "wrong rank": ("price:predict", {"instances": [[[1, 2]]]}, "shape"),
    "ragged": ("price:predict", {"instances": [[1], [1, 2]]}, "JSON Value of features"),
    "words": ("price:predict", {"instances": [["a", "b"]]}, "not of expected type: float32"),
    "null": ("price:predict", {"instances": [[None, 1]]}, "not of expected type"),
    "an object": ("price:predict", {"instances": [[{"a": 1}, 1]]}, "not of expected type"),
    "a name": ("price:predict", {"inputs": {"x": [[1, 2]]}}, "Missing named input: features"),
    "no signature": (
        "price:predict",
        {"signature_name": "no", "instances": [[1, 2]]},
        "not found in signature def",
    ),
    "half a pixel": ("cnn:predict", {"instances": [np.full((10, 8, 3), 0.5).tolist()]}, "uint8"),
    "a bright pixel": ("cnn:predict", {"instances": [np.full((10, 8, 3), 256).tolist()]}, "uint8"),
    "a number": ("gru:predict", {"instances": [1]}, "not of expected type: string"),
    "a surrogate": ("gru:predict", b'{"instances": ["\\ud800"]}', "surrogates not allowed"),
    "half base 64": ("gru:predict", {"instances": [{"b64": "YQ"}]}, "padding"),
    "one of two": ("pairs:predict", {"instances": [{"text_a": "a"}]}, "Missing named input"),
    "other keys": (
        "pairs:predict",
        {"instances": [{"text_a": "a", "text_b": "b"}, {"text_a": "a"}]},
        "the same keys in each row",
    ),
    "no image": (
        "cnn:predict",
        {"signature_name": "image_bytes", "instances": [b64(b"x")]},
        "Unknown image file format",
    ),
    "half an image": (
        "cnn:predict",
        {"signature_name": "image_bytes", "instances": [b64(PNG[:40])]},
        "PNG",
    ),
    "a bomb": (
        "cnn:predict",
        {"signature_name": "image_bytes", "instances": [b64(encode_png((30_000, 30_000)))]},
        "pixels",
    ),
    "garbage": (
        "cnn:predict",
        {"signature_name": "classify", "instances": [b64(b"\xff\xff" * 50)]},
        "expected serialized",
    ),
    "classify": ("gru:classify", {"examples": [{"text": "a"}]}, '"signature_name": "classify"'),
    "no examples": ("gru:classify", CLASSIFY | {"examples": []}, "empty"),
    "no list": ("gru:classify", CLASSIFY | {"examples": 1}, "must be a list"),
    "no objects": ("gru:classify", CLASSIFY | {"examples": ["a"]}, "expected objects"),
    "two kinds": ("gru:classify", CLASSIFY | {"examples": [{"text": [1, "a"]}]}, "feature: text"),
    "deep feature": ("gru:classify", CLASSIFY | {"examples": [{"text": [["a"]]}]}, "feature: text"),
    "regress": ("gru:regress", {"examples": [{"text": "a"}]}, "Expected regression signature"),
    "top_k": (
        "cnn:predict",
        {
            "signature_name": "top_k",
            "inputs": {"image": np.zeros((2, 10, 8, 3), int).tolist(), "k": [1]},
        },
        "one k for each example|0th-dimension",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, post, server):
    path, body, message = REFUSED[name]
    answer = post(path, body)
    assert answer.status_code == 400 and answer.json().keys() == {"error"}, answer.text
    if not server.is_real:
        assert any(part in answer.json()["error"] for part in message.split("|")), answer.text
    assert post("price:predict", {"instances": [[1, 2]]}).status_code == 200


def test_what_only_looks_hostile(post):
    """NUL and what is not a number are values as others."""
    for body in ({"instances": ["a\0b", "\0" * 1000, "\U0010ffff"]}, {"inputs": {"text": ["\0"]}}):
        assert post("gru:predict", body).status_code == 200
    answer = post("price:predict", b'{"instances": [[NaN, 1], [Infinity, -1e39]]}')
    assert len(answer.json()["predictions"]) == 2
    text = ("a" * 999 + " ") * 10_000  # 10 MB
    answer = post("gru:predict", {"instances": [text]})
    assert answer.status_code == 200 and len(answer.json()["predictions"]) == 1
    answer = post("gru:classify", CLASSIFY | {"examples": [{}], "context": {"text": "good"}})
    assert len(answer.json()["results"][0]) == 3


def test_other_paths(server):
    address = f"http://{server.rest}"
    for path, status in {
        "/v1/models/no%00such": 404,
        "/v1/models/no": 404,
        "/v1/models/price/versions/9": 404,
        "/v1/models/price/versions/9/metadata": 404,
        "/v1/models/price/labels/no/metadata": 400,
        "/v1/models/price:predict": 400,
        "/v1/models/a/b/c": 400,
        f"/v1/models/{'x' * 20_000}": 404,
        "/v1/models/price/versions/" + "9" * 30: 400,
    }.items():
        answer = requests.get(address + path, timeout=60)
        assert answer.status_code == status or server.is_real, (path, answer.text)
    assert requests.post(f"{address}/v1/models/price", data="{}", timeout=60).status_code >= 400


def test_deep_json(server, post):
    """It ends TF Serving 2.21, whose parser of JSON has no limit."""
    if server.is_real:
        pytest.skip("it would end TF Serving")
    for body in (b'{"instances":' + b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000):
        assert "JSON Parse error" in post("price:predict", body).json()["error"]
    for depth in (40, 200, 900):  # within the limit of the parser
        for leaf in (b"1", b'"a"'):
            body = b'{"instances":' + b"[" * depth + leaf + b"]" * depth + b"}"
            for model in ("price", "gru"):
                assert post(f"{model}:predict", body).status_code == 400


def test_requests_that_are_too_large(server, post, monkeypatch):
    if server.is_real:
        pytest.skip("TF Serving has no such limits")
    rows = serving_error.MAX_BATCH
    assert len(post("price:predict", {"instances": [[1, 2]] * rows}).json()["predictions"]) == rows
    answer = post("price:predict", {"instances": [[1, 2]] * (rows + 1)})
    assert answer.status_code == 400 and "1,025 examples in one request" in answer.json()["error"]
    answer = post("gru:classify", CLASSIFY | {"examples": [{}] * (rows + 1)})
    assert "1,025 examples in one request" in answer.json()["error"]
    monkeypatch.setattr(rest_app, "MAX_BYTES", 1 << 20)
    answer = post("gru:predict", {"instances": ["a" * (1 << 20)]})
    assert answer.status_code == 400 and "1 MB in one request: send less" in answer.json()["error"]
    monkeypatch.setattr(rest_app, "_MAX_WAITING_BYTES", 1 << 10)
    answer = post("gru:predict", {"instances": ["a" * (1 << 12)]})
    assert answer.status_code == 429 and "too many requests" in answer.json()["error"]
    monkeypatch.undo()
    assert post("gru:predict", {"instances": ["a"]}).status_code == 200


def test_a_long_request_stalls_no_other(server, post):
    ended, answers = threading.Event(), []

    def ask():
        while not ended.is_set():
            answers.append(requests.get(f"http://{server.rest}/v1/models/gru", timeout=60).text)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        texts = [f"{'the film ' * 2_000}{i}" for i in range(100)]
        assert post("gru:predict", {"instances": texts}).status_code == 200
    finally:
        ended.set()
        thread.join()
    assert len(answers) > 3 and set(answers) == {answers[0]} and "AVAILABLE" in answers[0]


def test_connections_that_send_nothing_or_end(server, post):
    host, port = server.rest.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(300)]
    head = b"POST /v1/models/price:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    for number, connection in enumerate(silent):
        connection.sendall([b"", head, b"\0" * 100, head[:40]][number % 4])
    for connection in silent[:150]:
        connection.close()
    assert post("price:predict", {"instances": [[1, 2]]}).status_code == 200
    for connection in silent[150:]:
        connection.close()
    assert post("price:predict", {"instances": [[1, 2]]}).status_code == 200


@pytest.fixture
def stubs(server):
    """Those of tensorflow-serving-api, which are not the messages of the zoo."""
    with grpc.insecure_channel(server.grpc) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def make_predict_request(model, **tensors):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, fields in tensors.items():
        shape = {"dim": [{"size": size} for size in fields.pop("shape")]}
        request.inputs[name].MergeFrom(type(request.inputs[name])(tensor_shape=shape, **fields))
    return request


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": "DT_FLOAT", "shape": [10**6, 10**6]},
        {"dtype": "DT_FLOAT", "shape": [1, 2**40], "float_val": [1]},
        {"dtype": "DT_FLOAT", "shape": [-1, 2], "float_val": [1, 2]},
        {"dtype": "DT_FLOAT", "shape": [1, 2], "float_val": [1, 2, 3]},
        {"dtype": "DT_FLOAT", "shape": [1, 2], "tensor_content": b"123"},
        {"dtype": "DT_FLOAT", "shape": [1, 3], "float_val": [1, 2, 3]},
        {"dtype": "DT_DOUBLE", "shape": [1, 2], "double_val": [1, 2]},
        {"dtype": "DT_STRING", "shape": [1, 2], "string_val": [b"a", b"b"]},
        {"dtype": "DT_VARIANT", "shape": [1, 2]},
        {"dtype": "DT_INVALID", "shape": []},
    ],
)
def test_tensors_that_are_refused(fields, stubs):
    predict, _ = stubs
    with pytest.raises(grpc.RpcError) as error:
        predict.Predict(make_predict_request("price", features=dict(fields)), timeout=60)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    good = {"dtype": "DT_FLOAT", "shape": [1, 2], "float_val": [1, 2]}
    response = predict.Predict(make_predict_request("price", features=good), timeout=60)
    assert response.outputs["prediction"].tensor_shape.dim[0].size == 1
    assert response.model_spec.version.value == 1


def test_other_grpc_requests(stubs):
    predict, model = stubs
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "gru"
    request.input.example_list.examples.add().features.feature["text"].bytes_list.value.append(b"")
    for code, call in {
        grpc.StatusCode.INVALID_ARGUMENT: lambda: predict.Classify(request, timeout=60),
        grpc.StatusCode.NOT_FOUND: lambda: model.GetModelStatus(
            get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "no"}), timeout=60
        ),
    }.items():
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() == code
    request.model_spec.signature_name = "classify"
    assert len(predict.Classify(request, timeout=60).result.classifications[0].classes) == 3
    states = model.GetModelStatus(
        get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "cnn"}), timeout=60
    )
    assert [one.version for one in states.model_version_status] == [2, 1]
    assert all(one.status.error_code == 0 for one in states.model_version_status)


class Configured:
    """`ModelVersions` whose configuration the test writes."""

    def __init__(self, versions):
        self.config, self.log = ModelServerConfig(), []
        paths = {number: small_models() / "price/1" for number in versions}
        self.paths = {"a": paths, "b": dict(paths)}
        self.models = ModelVersions(self.copy_config, self.paths.__getitem__, self.log.append)

    def copy_config(self):
        return ModelServerConfig.FromString(self.config.SerializeToString())

    def set(self, model, versions, **labels):
        entries = self.config.model_config_list.config
        entry = next((e for e in entries if e.name == model), None) or entries.add(name=model)
        entry.model_version_policy.Clear()
        if isinstance(versions, int):
            entry.model_version_policy.latest.num_versions = versions
        else:
            entry.model_version_policy.specific.versions.extend(versions)
        entry.version_labels.clear()
        entry.version_labels.update(labels)
        self.models.refresh()

    def states(self, model):
        return {number: s.state for number, s in self.models.get_states(model).items()}


def test_a_label_that_moves_too_early_holds_everything_up_as_in_tf_serving():
    served = Configured([1, 2])
    served.set("a", [1], stable=1)
    served.set("b", [1])
    served.set("a", [1, 2], stable=2)
    served.set("b", [1, 2])
    assert served.states("a") == served.states("b") == {1: "AVAILABLE"}
    (problem,) = [line for line in served.log if "not currently available for inference" in line]
    assert problem.startswith("Request to assign label to version 2 of model a")
    assert served.models.get_labels("a") == {"stable": 1}
    served.set("a", [1, 2], stable=1)
    assert served.states("b") == {2: "AVAILABLE", 1: "AVAILABLE"}
    served.set("a", [2], stable=2)
    assert served.states("a") == {2: "AVAILABLE"}
    assert served.models.find_loaded("a", None, "stable").number == 2
    with pytest.raises(ServingError, match="Unrecognized servable version label: no"):
        served.models.find_loaded("a", None, "no")


def test_versions_that_cannot_be_loaded_leave_others(tmp_path):
    served = Configured([1])
    served.set("a", 1)
    (tmp_path / "saved_model.pb").write_bytes(b"cut")
    served.paths["a"][2] = tmp_path
    served.models.refresh()
    assert served.states("a") == {2: "END", 1: "AVAILABLE"}
    assert served.models.get_states("a")[2].error
    assert served.models.find_loaded("a", None, None).number == 1
    assert sum("cannot be loaded" in line for line in served.log) == 1
    served.models.refresh()
    assert sum("cannot be loaded" in line for line in served.log) == 1, "it is not tried again"
    served.paths["a"][3] = served.paths["a"][1]
    served.models.refresh()
    assert served.states("a") == {3: "AVAILABLE"}


def test_a_models_config_that_is_broken_later_changes_nothing(tmp_path, capfd):
    (tmp_path / "price").symlink_to(small_models() / "price")
    models = serve_folder(tmp_path, 2)
    models.refresh()
    (tmp_path / "models.config").write_text("model_config_list {")
    models.refresh()
    models.refresh()
    assert models.find_loaded("price", None, None).number == 1
    assert capfd.readouterr().err.count("models.config: ") == 1


# `zoo serve`, and what asks it and ends it meanwhile
SERVE = """
import os, signal, sys, threading
from zoo.__main__ import main
from zoo.serving.client import Client

def ask():
    for where in ({"server": sys.argv[3]}, {"grpc": sys.argv[4]}):
        client = Client("price", **where, retries=8)
        print(client.predict({"features": [[1.0, 2.0]]})["prediction"].shape)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask).start()
port, grpc_port = (address.rpartition(":")[2] for address in sys.argv[3:])
folder = sys.argv[2]
sys.argv[1:] = ["serve", f"--export_dir={folder}", f"--port={port}", f"--grpc_port={grpc_port}"]
main()
"""


def test_serve_command(python, tmp_path):
    (tmp_path / "price").symlink_to(small_models() / "price")
    rest, grpc_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    done = python("-c", SERVE, "zoo", str(tmp_path), rest, grpc_address)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stdout.splitlines() == [
        f"REST http://{rest}, gRPC {grpc_address}",
        "price: 1 AVAILABLE",
        "for trying, not for production; Ctrl-C ends",
        "(1,)",
        "(1,)",
    ]
    assert "price: version 1 is loaded" in done.stderr


def test_the_page_for_people(server):
    if not server.is_real:
        text = requests.get(f"http://{server.rest}/", timeout=60).text
        assert "for trying models, not for production" in text and "\nprice\n" in text


def run_serve(capfd, *flags):
    with contextlib.suppress(SystemExit):
        run_command(serve, flags)
    return capfd.readouterr().err


def test_mistakes(tmp_path, capfd, monkeypatch):
    err = run_serve(capfd, "--export_dir=nowhere")
    assert "nowhere: there is no such folder" in err
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = listener.getsockname()[1]
        free = free_port()
        for flags in ((f"--port={taken}", "--grpc_port=0"), ("--port=0", f"--grpc_port={taken}")):
            listener.listen()
            err = run_serve(capfd, f"--export_dir={tmp_path}", *flags)
            assert f"127.0.0.1:{taken} cannot be used: " in err.splitlines()[-1]
        err = run_serve(capfd, f"--export_dir={tmp_path}", "--host=10.255.255.1", f"--port={free}")
        assert f"10.255.255.1:{free} cannot be used: " in err
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: name == "uvicorn")
        err = run_serve(capfd, f"--export_dir={tmp_path}")
    assert "starlette cannot be imported: pip install 'keras-model-zoo[serve]'" in err


def test_models_config_that_is_broken_at_first(tmp_path, capfd):
    (tmp_path / "models.config").write_text("model_config_list {")
    models = serve_folder(tmp_path, 2)
    models.refresh()
    assert "run zoo label, or delete the file" in capfd.readouterr().err
    with pytest.raises(UserError, match="does not serve price"):
        double = Double(models=models)
        try:
            Client("price", server=double.rest).versions()
        finally:
            double.stop()
