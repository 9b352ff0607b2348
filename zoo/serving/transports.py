"""Transports to an exported model: the interface, and TF Serving's REST and gRPC APIs."""

import abc
import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import requests
from google.protobuf.json_format import MessageToDict

from zoo.errors import UserError, one_line
from zoo.exporting.messages import METHODS, SignatureDefMap
from zoo.exporting.tensors import decode_tensor, encode_tensor, make_example
from zoo.exporting.validation import InputRefusedError

# dtype and shape of a tensor, None for any size; the inputs and the outputs of a signature by name
TensorInfo = tuple[str, tuple[int | None, ...]]
SignatureInfo = tuple[dict[str, TensorInfo], dict[str, TensorInfo]]

_PAUSE = 0.1  # seconds before the second attempt; each further pause is twice as long
_RETRYABLE_STATUSES = (429, 502, 503, 504)
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
_ADVICE = "start TF Serving there, or correct HOST:PORT"


class Transport(abc.ABC):
    """A way to call the signatures of one model."""

    @abc.abstractmethod
    def predict(
        self, arrays: dict[str, np.ndarray], signature: str, outputs: list[str]
    ) -> dict[str, Any]:
        """Calls a signature with arrays that fit it.

        Returns:
            The outputs by name: arrays, or nested lists.

        Raises:
            InputRefusedError: if the model refuses the arrays.
        """

    @abc.abstractmethod
    def classify_or_regress(self, api: str, examples: list[dict[str, Any]]) -> list:
        """Calls the Classify or the Regress API with the features of examples by name.

        Returns:
            For each example the (class, score) pairs, best first, or a number.

        Raises:
            InputRefusedError: if the model refuses the examples.
        """

    @abc.abstractmethod
    def get_metadata(self) -> dict[str, SignatureInfo]:
        """Returns the inputs and outputs of each signature by name."""

    @abc.abstractmethod
    def get_versions(self) -> dict[int, str]:
        """Returns the state of each version; only "AVAILABLE" versions can predict."""


class _RetryableError(Exception):
    """A temporary error: the next attempt may succeed."""


class _ServerTransport(Transport):
    """A server. Requests are repeated if it cannot be reached, is overloaded or times out."""

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
        retries: int,
    ):
        if not re.fullmatch(r"[^/\s]+:\d{1,5}", address):
            raise UserError(
                f"{address!r} is not an address: expected HOST:PORT, such as localhost:8501"
            )
        self.address, self.model, self.version, self.label = address, model, version, label
        self.timeout, self.retries = timeout, retries

    def _retry(self, attempt: Callable[[], Any]) -> Any:
        problem = None
        for count in range(self.retries + 1):
            time.sleep(_PAUSE * 2 ** (count - 1) if count else 0)
            try:
                return attempt()
            except _RetryableError as error:
                problem = error
        attempts = f" ({self.retries + 1} attempts)" if self.retries else ""
        raise UserError(f"{self.address} {problem}{attempts}")

    def _timeout_error(self) -> _RetryableError:
        return _RetryableError(
            f"did not answer in {self.timeout:g} s: raise the timeout, or send less at once"
        )

    def _make_error(self, code: str, reason: str) -> UserError:
        reason = one_line(reason)
        if code in ("400", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return InputRefusedError(f"{self.address} refused the request: {reason}")
        if code in ("404", "NOT_FOUND"):
            version = "".join(f", {x}" for x in (self.version, self.label) if x is not None)
            return UserError(
                f"{self.address} does not serve {self.model}{version}: {reason}: check the models "
                "and versions in the server's configuration"
            )
        return UserError(f"{self.address} answered {code}: {reason}: see the server's log")


class RestTransport(_ServerTransport):
    """TF Serving's REST API."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._session = requests.Session()

    def predict(self, arrays, signature, outputs):
        """As `Transport.predict`."""
        body = {"signature_name": signature, "inputs": arrays}
        answer = self._call("outputs", ":predict", body)
        # TF Serving omits the name of a single output
        return {outputs[0]: answer} if len(outputs) == 1 else answer

    def classify_or_regress(self, api, examples):
        """As `Transport.classify_or_regress`."""
        body = {"signature_name": api, "examples": examples}
        answer = self._call("results", f":{api}", body)
        return answer if api == "regress" else [[(c, s) for c, s in pairs] for pairs in answer]

    def get_metadata(self):
        """As `Transport.get_metadata`."""
        return _parse_metadata(self._call("metadata", "/metadata")["signature_def"])

    def get_versions(self):
        """As `Transport.get_versions`."""
        return _parse_states(self._call("model_version_status"))

    def _call(self, key: str, path: str = "", body: dict | None = None) -> Any:
        """Sends a request, and returns what the answer holds under a key.

        Args:
            key: Key of the answer.
            path: End of the URL; without one the request is about all versions.
            body: JSON to post; None for a GET request.
        """
        url = f"http://{self.address}/v1/models/{quote(self.model, safe='')}"
        if path and self.version is not None:
            url += f"/versions/{self.version}"
        elif path and self.label:
            url += f"/labels/{quote(self.label, safe='')}"
        method, data = ("POST", json.dumps(body, default=_to_json)) if body else ("GET", None)

        def attempt() -> requests.Response:
            try:
                answer = self._session.request(method, url + path, data=data, timeout=self.timeout)
            except requests.Timeout:
                raise self._timeout_error() from None
            except requests.RequestException as error:
                cause: BaseException = error
                while cause.__context__:
                    cause = cause.__context__
                reason = one_line(getattr(cause, "strerror", None) or cause)
                raise _RetryableError(f"cannot be reached: {reason}: {_ADVICE}") from None
            if answer.status_code in _RETRYABLE_STATUSES:
                reason = one_line(_read_error(answer.text))
                raise _RetryableError(f"answered {answer.status_code}: {reason}: try again later")
            return answer

        answer = self._retry(attempt)
        if answer.status_code != 200:
            raise self._make_error(str(answer.status_code), _read_error(answer.text))
        try:
            return answer.json()[key]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.address} does not answer as TF Serving's REST API does: correct HOST:PORT"
            ) from None


class GrpcTransport(_ServerTransport):
    """TF Serving's gRPC API."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        import grpc  # here: it reads GRPC_VERBOSITY when it is imported

        self._rpc_error = grpc.RpcError
        options = [
            # by default messages above 4 MB fail, and it waits a second before it reconnects
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", int(1000 * _PAUSE)),
            ("grpc.min_reconnect_backoff_ms", int(1000 * _PAUSE)),
        ]
        self._channel = grpc.insecure_channel(self.address, options=options)

    def predict(self, arrays, signature, outputs):
        """As `Transport.predict`."""
        tensors = {name: encode_tensor(array) for name, array in arrays.items()}
        answer = self._call("PredictionService/Predict", signature, inputs=tensors)
        return {name: decode_tensor(answer.outputs[name]) for name in outputs}

    def classify_or_regress(self, api, examples):
        """As `Transport.classify_or_regress`."""
        batch = {"example_list": {"examples": [make_example(features) for features in examples]}}
        if api == "regress":
            result = self._call("PredictionService/Regress", api, input=batch).result
            return [regression.value for regression in result.regressions]
        result = self._call("PredictionService/Classify", api, input=batch).result
        return [[(c.label, c.score) for c in x.classes] for x in result.classifications]

    def get_metadata(self):
        """As `Transport.get_metadata`."""
        answer = self._call("PredictionService/GetModelMetadata", metadata_field=["signature_def"])
        signatures = SignatureDefMap.FromString(answer.metadata["signature_def"].value)
        return _parse_metadata(MessageToDict(signatures, preserving_proto_field_name=True))

    def get_versions(self):
        """As `Transport.get_versions`."""
        answer = self._call("ModelService/GetModelStatus", of_all=True)
        states = MessageToDict(answer, preserving_proto_field_name=True)
        return _parse_states(states["model_version_status"])

    def _call(self, method: str, signature: str = "", of_all: bool = False, **fields: Any) -> Any:
        """Sends a request with these fields, about all versions if `of_all`; returns the answer."""
        request_class, response_class = METHODS[method]
        request = request_class(**fields)
        request.model_spec.name = self.model
        request.model_spec.signature_name = signature
        if self.version is not None and not of_all:
            request.model_spec.version.value = self.version
        elif self.label and not of_all:
            request.model_spec.version_label = self.label
        call = self._channel.unary_unary(
            f"/tensorflow.serving.{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )

        def attempt() -> Any:
            try:
                return call(request, timeout=self.timeout)
            except self._rpc_error as error:
                code = error.code().name
                if code == "DEADLINE_EXCEEDED":
                    raise self._timeout_error() from None
                if code == "UNAVAILABLE":
                    reason = one_line(error.details())
                    raise _RetryableError(f"is not available: {reason}: {_ADVICE}") from None
                raise self._make_error(code, error.details()) from None

        return self._retry(attempt)


def _parse_metadata(metadata: dict) -> dict[str, SignatureInfo]:
    """Reads TF Serving's SignatureDefMap in JSON."""

    def parse_tensor(info: dict) -> TensorInfo:
        dtype = _DTYPES.get(info["dtype"], info["dtype"].removeprefix("DT_").lower())
        sizes = [int(dim.get("size", 0)) for dim in info["tensor_shape"].get("dim", [])]
        return dtype, tuple(None if size < 0 else size for size in sizes)

    def parse_tensors(infos: dict) -> dict[str, TensorInfo]:
        return {name: parse_tensor(info) for name, info in infos.items()}

    return {
        name: (parse_tensors(info.get("inputs", {})), parse_tensors(info.get("outputs", {})))
        for name, info in metadata["signature_def"].items()
        if not name.startswith("__")
    }


def _parse_states(states: list[dict]) -> dict[int, str]:
    return {int(state["version"]): state["state"] for state in states}


def _to_json(value: bytes | np.ndarray) -> Any:
    """Converts bytes and arrays to what TF Serving takes in JSON."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def _read_error(text: str) -> str:
    """Returns the error in an answer of TF Serving's REST API, or all of another server's."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
