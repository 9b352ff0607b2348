"""A model in TF Serving, by its REST or its gRPC API."""

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import requests

from zoo.errors import UserError
from zoo.serving.values import Refused, line, tf_example

_PAUSE = 0.1  # seconds before the second attempt; each further one waits twice as long
_PASSING = (429, 502, 503, 504)  # HTTP answers that may be another one a moment later
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
_ABSENT = "start TF Serving there, or mend HOST:PORT"


class _Passing(Exception):
    """A problem that may be over a moment later."""


class _Server:
    def __init__(self, address, model, version, label, timeout, retries):
        if not re.fullmatch(r"[^/\s]+:\d{1,5}", address):
            raise UserError(f"{address!r} is no server: expected HOST:PORT, such as localhost:8501")
        self.address, self.model, self.version, self.label = address, model, version, label
        self.timeout, self.retries = timeout, retries
        self._connect()

    def _ask(self, attempt: Callable[[], Any]) -> Any:
        problem = None
        for count in range(self.retries + 1):
            time.sleep(_PAUSE * 2 ** (count - 1) if count else 0)
            try:
                return attempt()
            except _Passing as error:
                problem = error
        attempts = f" ({self.retries + 1} attempts)" if self.retries else ""
        raise UserError(f"{self.address} {problem}{attempts}")

    def _late(self) -> _Passing:
        return _Passing(f"gave no answer in {self.timeout:g} s: give it longer, or ask for less")

    def _error(self, code: str, reason: str) -> UserError:
        told = line(reason)
        if code in ("400", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return Refused(f"{self.address} refused it: {told}")
        if code in ("404", "NOT_FOUND"):
            asked = "".join(f", {x}" for x in (self.version, self.label) if x is not None)
            return UserError(
                f"{self.address} answered that it has no {self.model}{asked}: {told}: see which "
                "models and versions it is given to serve"
            )
        return UserError(f"{self.address} answered {code}: {told}: see its log")


class Rest(_Server):
    """The REST API, which does without TensorFlow."""

    def _connect(self):
        self._session = requests.Session()

    def predict(self, arrays, signature, outputs):
        """The outputs of a signature by name, of arrays that suit it."""
        body = {"signature_name": signature, "inputs": arrays}
        given = self._call("outputs", ":predict", body)
        # TF Serving leaves out the name of a single output
        return {outputs[0]: given} if len(outputs) == 1 else given

    def examples(self, api, examples):
        """What the Classify or the Regress API answers to the features of examples."""
        body = {"signature_name": api, "examples": examples}
        given = self._call("results", f":{api}", body)
        return given if api == "regress" else [[(c, s) for c, s in one] for one in given]

    def metadata(self):
        """As `Client.metadata`."""
        return _metadata(self._call("metadata", "/metadata")["signature_def"])

    def versions(self):
        """As `Client.versions`."""
        return _states(self._call("model_version_status"))

    def _call(self, key: str, path: str = "", body: dict | None = None) -> Any:
        """What the answer holds under a key; of all versions, if there is no path."""
        url = f"http://{self.address}/v1/models/{quote(self.model, safe='')}"
        if path and self.version is not None:
            url += f"/versions/{self.version}"
        elif path and self.label:
            url += f"/labels/{quote(self.label, safe='')}"
        method, data = ("POST", json.dumps(body, default=_as_json)) if body else ("GET", None)

        def attempt():
            try:
                answer = self._session.request(method, url + path, data=data, timeout=self.timeout)
            except requests.Timeout:
                raise self._late() from None
            except requests.RequestException as error:
                while error.__context__:
                    error = error.__context__
                reason = line(getattr(error, "strerror", None) or str(error))
                raise _Passing(f"cannot be reached: {reason}: {_ABSENT}") from None
            if answer.status_code in _PASSING:
                reason = line(_told(answer.text))
                raise _Passing(f"answered {answer.status_code}: {reason}: try again later")
            return answer

        answer = self._ask(attempt)
        if answer.status_code != 200:
            raise self._error(str(answer.status_code), _told(answer.text))
        try:
            return answer.json()[key]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.address} does not answer as TF Serving's REST API does: mend HOST:PORT"
            ) from None


class Grpc(_Server):
    """The gRPC API."""

    def _connect(self):
        import grpc
        from google.protobuf.json_format import MessageToDict
        from tensorflow_serving import apis
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        self._errors, self._apis, self._as_dict = grpc.RpcError, apis, MessageToDict
        options = [
            # the default stops at 4 MB, and waits for a second before it connects again
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", int(1000 * _PAUSE)),
            ("grpc.min_reconnect_backoff_ms", int(1000 * _PAUSE)),
        ]
        channel = grpc.insecure_channel(self.address, options=options)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, arrays, signature, outputs):
        """The outputs of a signature by name, of arrays that suit it."""
        import tensorflow as tf

        request = self._apis.predict_pb2.PredictRequest()
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        given = self._call(self._service.Predict, request, signature).outputs
        return {name: tf.make_ndarray(given[name]) for name in outputs}

    def examples(self, api, examples):
        """What the Classify or the Regress API answers to the features of examples."""
        if api == "regress":
            ask, request = self._service.Regress, self._apis.regression_pb2.RegressionRequest()
        else:
            request = self._apis.classification_pb2.ClassificationRequest()
            ask = self._service.Classify
        request.input.example_list.examples.extend(map(tf_example, examples))
        result = self._call(ask, request, api).result
        if api == "regress":
            return [one.value for one in result.regressions]
        return [[(c.label, c.score) for c in one.classes] for one in result.classifications]

    def metadata(self):
        """As `Client.metadata`."""
        apis = self._apis.get_model_metadata_pb2
        request = apis.GetModelMetadataRequest(metadata_field=["signature_def"])
        packed = self._call(self._service.GetModelMetadata, request).metadata["signature_def"]
        found = apis.SignatureDefMap.FromString(packed.value)
        return _metadata(self._as_dict(found, preserving_proto_field_name=True))

    def versions(self):
        """As `Client.versions`."""
        request = self._apis.get_model_status_pb2.GetModelStatusRequest()
        given = self._call(self._models.GetModelStatus, request, of_all=True)
        return _states(self._as_dict(given)["model_version_status"])

    def _call(self, method, request, signature="", of_all=False):
        request.model_spec.name = self.model
        request.model_spec.signature_name = signature
        if self.version is not None and not of_all:
            request.model_spec.version.value = self.version
        elif self.label and not of_all:
            request.model_spec.version_label = self.label

        def attempt():
            try:
                return method(request, timeout=self.timeout)
            except self._errors as error:
                code = error.code().name
                if code == "DEADLINE_EXCEEDED":
                    raise self._late() from None
                if code == "UNAVAILABLE":
                    told = line(error.details())
                    raise _Passing(f"is not available: {told}: {_ABSENT}") from None
                raise self._error(code, error.details()) from None

        return self._ask(attempt)


def _metadata(found: dict) -> dict[str, tuple[dict, dict]]:
    """From TF Serving's SignatureDefMap in JSON."""

    def tensor(info):
        dtype = _DTYPES.get(info["dtype"], info["dtype"].removeprefix("DT_").lower())
        sizes = [int(one.get("size", 0)) for one in info["tensor_shape"].get("dim", [])]
        return dtype, tuple(None if size < 0 else size for size in sizes)

    return {
        name: tuple(
            {key: tensor(info) for key, info in signature.get(part, {}).items()}
            for part in ("inputs", "outputs")
        )
        for name, signature in found["signature_def"].items()
        if not name.startswith("__")
    }


def _states(found: list[dict]) -> dict[int, str]:
    return {int(one["version"]): one["state"] for one in found}


def _as_json(value: bytes | np.ndarray) -> Any:
    """Bytes and numbers as TF Serving takes them in JSON."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def _told(text: str) -> str:
    """The error in an answer of TF Serving's REST API, or all of another server's answer."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
