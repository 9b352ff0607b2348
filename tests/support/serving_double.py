"""A stand-in for TF Serving, for tests where its binary is not there.

It runs the signatures of SavedModels in a session, as TF Serving does, and follows its REST (row
and columnar JSON, errors, status codes) and its gRPC API for predict, classify, regress, metadata
and status. It does not prove that TF Serving loads an export or has its operations, and nothing of
its batching, its own reading of JSON, its polling for versions, or its speed.
"""

import base64
import contextlib
import functools
import json
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

import zoo
from support.files import fill_once
from zoo.data.spec import Spec, Tokenizer

PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?:(/metadata)|:(\w+))?"
)
CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE"}


def small_models():
    """A folder with an untrained model of each kind of data, and two versions of the first."""
    return fill_once("small_models", export_small_models)


def export_small_models(folder):
    """Fills the folder of `small_models`."""
    names = ("no", "yes", "h\u00e9")
    words = Tokenizer("words", ("", "[UNK]", "[SEP]", "the", "film", "is", "good"), 12)
    size = len(words.vocabulary)

    def add(name, built, spec, **hparams):
        model = zoo.get(built, input_shape=spec.shape, num_classes=spec.num_classes, **hparams)
        zoo.export(model, folder / name, spec=spec)

    add("cnn", "cnn", Spec("image", (10, 8, 3), names), filters=(4,), dense=8)
    shutil.copytree(folder / "cnn/1", folder / "cnn/2")
    add("gru", "gru", Spec("text", (12,), names, tokenizer=words), vocabulary_size=size, width=4)
    hparams = {"vocabulary_size": size, "buckets": 100}
    add("pairs", "fasttext", Spec("text_pair", (12,), names, tokenizer=words), **hparams)
    add("flower", "mlp", Spec("features", (3,), names, ("a", "b", "c d")), hidden=(8,))
    add("price", "mlp", Spec("features", (2,), None, ("size", "age")), hidden=(8,))


class Problem(Exception):
    """An answer that is none: the HTTP status and the message."""


class Double:
    """Serves all models and versions of a folder until `stop`, on free ports if none are given.

    `rest` and `grpc` are its addresses. `delay` seconds pass before each answer, the next
    `failures` answers are 503 or UNAVAILABLE, and `asked` counts the requests.
    """

    def __init__(self, folder, labels=(), ports=(0, 0)):
        self.delay, self.failures, self.asked = 0.0, 0, 0
        self.labels = dict(labels)
        self.models = {
            model.name: {int(x.name): x for x in model.iterdir() if x.name.isdecimal()}
            for model in Path(folder).iterdir()
        }
        self._load = functools.cache(Version)
        handler = type("Handler", (Handler,), {"double": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", ports[0]), handler)
        self._http.daemon_threads = True
        self.rest = f"127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._grpc = grpc.server(ThreadPoolExecutor(4), options=sizes)
        service = Service(self)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, self._grpc)
        self.grpc = f"127.0.0.1:{self._grpc.add_insecure_port(f'127.0.0.1:{ports[1]}')}"
        self._grpc.start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None)

    def begin(self):
        self.asked += 1
        time.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise Problem(503, "the double is too busy")

    def find(self, name, number=None, label=None):
        versions = self.models.get(name, {})
        if label:
            if label not in self.labels:
                raise Problem(400, f"Unrecognized servable version label: {label}")
            number = self.labels[label]
        elif number is None:
            number = max(versions, default=None)
        if number not in versions:
            raise Problem(404, f"Servable not found for request: {name}, {number or 'latest'}")
        return self._load(versions[number])

    def status(self, name):
        if name not in self.models:
            raise Problem(404, f"Could not find any versions of model {name}")
        made = get_model_status_pb2.GetModelStatusResponse()
        for number in sorted(self.models[name], reverse=True):
            one = made.model_version_status.add(version=number, state="AVAILABLE")
            one.status.error_message = ""
        return made


class Version:
    """One SavedModel in a session."""

    def __init__(self, path):
        proto = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        self.signatures = proto.meta_graphs[0].signature_def
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))

    def signature(self, name):
        if name not in self.signatures:
            raise Problem(400, f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(self, name, arrays):
        signature = self.signature(name)
        if arrays.keys() != signature.inputs.keys():
            raise Problem(400, f"input must be exactly {sorted(signature.inputs)}")
        try:
            fetches = {key: info.name for key, info in signature.outputs.items()}
            feeds = {signature.inputs[key].name: array for key, array in arrays.items()}
            return self._session.run(fetches, feeds)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise Problem(400, getattr(error, "message", str(error))) from error

    def examples(self, api, examples):
        serialized = np.array([one.SerializeToString() for one in examples], object)
        return self.run(api, {"inputs": serialized})

    def metadata(self):
        return get_model_metadata_pb2.SignatureDefMap(signature_def=self.signatures)


class Service:
    """Both gRPC services."""

    def __init__(self, double):
        self._double = double

    @contextlib.contextmanager
    def _version(self, request, context):
        try:
            self._double.begin()
            spec = request.model_spec
            number = spec.version.value if spec.HasField("version") else None
            yield self._double.find(spec.name, number, spec.version_label)
        except Problem as problem:
            code, message = problem.args
            context.abort(getattr(grpc.StatusCode, CODES[code]), message)

    def Predict(self, request, context):
        with self._version(request, context) as version:
            arrays = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            outputs = version.run(request.model_spec.signature_name or "serving_default", arrays)
            protos = {name: tf.make_tensor_proto(array) for name, array in outputs.items()}
            return predict_pb2.PredictResponse(outputs=protos)

    def Classify(self, request, context):
        response = classification_pb2.ClassificationResponse()
        with self._version(request, context) as version:
            given = version.examples("classify", request.input.example_list.examples)
            for labels, scores in zip(given["classes"], given["scores"], strict=True):
                one = response.result.classifications.add()
                for label, score in zip(labels, scores, strict=True):
                    one.classes.add(label=label.decode(), score=score)
            return response

    def Regress(self, request, context):
        response = regression_pb2.RegressionResponse()
        with self._version(request, context) as version:
            given = version.examples("regress", request.input.example_list.examples)
            for value in given["outputs"]:
                response.result.regressions.add(value=value)
            return response

    def GetModelMetadata(self, request, context):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._version(request, context) as version:
            response.metadata["signature_def"].Pack(version.metadata())
            return response

    def GetModelStatus(self, request, context):
        with self._version(request, context):
            return self._double.status(request.model_spec.name)

    def MultiInference(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    HandleReloadConfigRequest = MultiInference


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    do_POST = do_GET

    def log_message(self, *args):
        pass

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.double.begin()
            code, answer = 200, self._made(body)
        except Problem as problem:
            code, answer = problem.args[0], {"error": problem.args[1]}
        content = json.dumps(answer).encode()
        with contextlib.suppress(OSError):  # the client may be gone
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _made(self, body):
        found = PATH.fullmatch(self.path)
        if not found or (self.command == "POST") != bool(found[5]):
            raise Problem(400, f"Malformed request: {self.command} {self.path}")
        name, number, label, metadata, method = found.groups()
        version = self.double.find(name, int(number) if number else None, label)
        if method is None:
            # as TF Serving, with the fields that hold nothing
            if not metadata:
                status = self.double.status(name)
                return MessageToDict(status, always_print_fields_with_no_presence=True)
            signatures = MessageToDict(
                version.metadata(),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            return {"model_spec": {"name": name}, "metadata": {"signature_def": signatures}}
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise Problem(400, f"JSON Parse error: {error}") from error
        signature = asked.get("signature_name", "serving_default")
        if method == "predict":
            return predicted(version, signature, asked)
        examples = [example(one) for one in asked["examples"]]
        given = version.examples(signature, examples)
        if method == "regress":
            return {"results": plain("", given["outputs"])}
        rows = zip(plain("", given["classes"]), plain("", given["scores"]), strict=True)
        return {"results": [[list(pair) for pair in zip(*row, strict=True)] for row in rows]}


def predicted(version, signature, asked):
    takes = version.signature(signature).inputs
    only = next(iter(takes))
    if rows := asked.get("instances"):
        if not (isinstance(rows[0], dict) and rows[0].keys() != {"b64"}):
            rows = [{only: row} for row in rows]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = asked["inputs"]
        if not isinstance(columns, dict) or columns.keys() == {"b64"}:
            columns = {only: columns}
    missing = takes.keys() - columns.keys()
    if missing:
        raise Problem(400, f"Missing named input: {min(missing)} in 'inputs' object.")
    arrays = {name: tensor(columns[name], takes[name].dtype) for name in takes}
    outputs = {name: plain(name, x) for name, x in version.run(signature, arrays).items()}
    if "inputs" in asked:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def tensor(value, dtype):
    """JSON as an array, where TF Serving would take it."""
    dtype = tf.dtypes.as_dtype(dtype)
    array = np.array(strings(value), object)
    kinds = (str, bytes) if dtype == tf.string else int if dtype.is_integer else (int, float)
    if not all(isinstance(x, kinds) for x in array.flat):
        raise Problem(400, f"JSON Value: {value!r:.40} is not of expected type: {dtype.name}")
    return array if dtype == tf.string else array.astype(dtype.as_numpy_dtype)


def strings(value):
    if isinstance(value, list):
        return [strings(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def plain(name, array):
    """An array as JSON: strings as they are, or in base 64 if the name ends in _bytes."""
    if array.dtype != object:
        return array.tolist()

    def one(value):
        if isinstance(value, list):
            return [one(item) for item in value]
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode()

    return one(array.tolist())


def example(features):
    made = tf.train.Example()
    for name, value in features.items():
        values = strings(value if isinstance(value, list) else [value])
        feature = made.features.feature[name]
        kinds = {type(x) for x in values}
        lists = {float: feature.float_list, int: feature.int64_list, bytes: feature.bytes_list}
        if len(kinds) > 1 or not kinds <= lists.keys():
            raise Problem(400, f"Unexpected element type in feature: {name}")
        for kind in kinds:
            lists[kind].value.extend(values)
    return made
