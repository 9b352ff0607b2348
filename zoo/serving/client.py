"""Predictions from an export: through TF Serving's REST or gRPC API, or in this process.

The three ways take and give the same; `zoo.serving.signatures` lists the names. REST does without
TensorFlow.
"""

import base64
import functools
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import requests

from zoo import metadata
from zoo.errors import UserError
from zoo.schema import closest
from zoo.serving import config

_PAUSE = 0.1  # seconds before the second attempt; each further one waits twice as long
_PASSING = (429, 502, 503, 504)  # HTTP answers that may be another one a moment later
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
_ABSENT = "start TF Serving there, or mend HOST:PORT"


class Refused(UserError):
    """What was sent does not suit the model: sent again, it would be refused again."""


class Client:
    """Asks one model.

    Args:
        model: Its name in TF Serving, or that of its folder in `export_dir`.
        server: HOST:PORT of TF Serving's REST API.
        grpc: HOST:PORT of its gRPC API.
        export_dir: Folder of exported models, for when neither is given: the first question loads
            the model from there.
        version: Number of the version; None for the newest.
        label: The version by a label of TF Serving's configuration.
        timeout: Seconds that a server has for each attempt.
        retries: How often a server that is not there, too busy or too late is asked again, after
            0.1 s, 0.2 s, 0.4 s and so on.

    Raises:
        UserError: from every method too, in one line that names the server.
    """

    def __init__(
        self,
        model: str,
        *,
        server: str | None = None,
        grpc: str | None = None,
        export_dir: str | Path = "saved_models",
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
    ):
        if server and grpc:
            raise UserError(f"server={server} and grpc={grpc}: give one of them")
        if version is not None and label:
            raise UserError(f"version={version} and label={label}: give one of them")
        self.model = model
        if server or grpc:
            way = _Rest if server else _Grpc
            self._way = way(server or grpc, model, version, label, timeout, retries)
        elif label:
            raise UserError(f"label={label}: only a server knows labels: name one, or a version")
        else:
            self._way = _Local(model, Path(os.path.expanduser(export_dir)), version)

    def predict(
        self, inputs: dict[str, Any], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            inputs: By name, arrays or nested lists, the batch first; str or bytes for strings.
            signature: Its name.

        Returns:
            The outputs by name: float32 or int64 arrays, or object arrays of str.

        Raises:
            Refused: if the inputs do not suit the signature.
        """
        takes, gives = self._signature(signature)
        told = ", ".join(f"{name} ({_words(*spec)})" for name, spec in takes.items())
        if inputs.keys() != takes.keys():
            raise Refused(f"{self.model}: {signature} takes {told}; got {', '.join(inputs)}")
        arrays = {name: array(name, x, *takes[name]) for name, x in inputs.items()}
        try:
            outputs = self._way.predict(arrays, signature, list(gives))
        except Refused as error:
            raise Refused(f"{error}; {signature} takes {told}") from error
        return {name: typed(outputs[name], dtype) for name, (dtype, _) in gives.items()}

    def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """The (class, score) pairs of each example, best first, by the Classify API.

        Args:
            examples: The features of each by name: a str, bytes, a number, or a list of numbers.

        Raises:
            Refused: if they do not suit the model.
        """
        return self._examples("classify", examples)

    def regress(self, examples: list[dict[str, Any]]) -> np.ndarray:
        """The predicted numbers, float32 (examples,), by the Regress API; else as `classify`."""
        return np.asarray(self._examples("regress", examples), "float32")

    @functools.cached_property
    def metadata(self) -> dict[str, tuple[dict, dict]]:
        """The inputs and outputs of each signature, by name as (dtype, shape)."""
        return self._way.metadata()

    def spec(self) -> dict[str, Any]:
        """What the model reads: `kind`, `shape`, `class_names` and `feature_names`, as in zoo.json.

        A server does not tell the names: there `class_names` is None for a regression, else empty,
        and `feature_names` is empty.
        """
        if isinstance(self._way, _Local) and (record := self._way.extra("zoo.json")).is_file():
            return metadata.spec(record)
        takes, gives = self._signature("serving_default")
        name, (_, shape) = next(iter(takes.items()))
        kind = "text_pair" if len(takes) == 2 else {"tokens": "text"}.get(name, name)
        names = None if "prediction" in gives else ()
        return {"kind": kind, "shape": shape[1:], "class_names": names, "feature_names": ()}

    def versions(self) -> dict[int, str]:
        """The state of each version, "AVAILABLE" of those that answer."""
        return self._way.versions()

    def _signature(self, name: str) -> tuple[dict, dict]:
        if name not in self.metadata:
            raise UserError(
                f"{self.model} has no signature {name!r}.{closest(name, self.metadata)} "
                f"It has: {', '.join(sorted(self.metadata))}"
            )
        return self.metadata[name]

    def _examples(self, api, examples):
        self._signature(api)
        if not examples:
            raise Refused(f"{api}: got no examples")
        return self._way.examples(
            api, [{name: _feature(name, x) for name, x in one.items()} for one in examples]
        )


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


class _Rest(_Server):
    def _connect(self):
        self._session = requests.Session()

    def predict(self, arrays, signature, outputs):
        body = {"signature_name": signature, "inputs": arrays}
        given = self._call("outputs", ":predict", body)
        # TF Serving leaves out the name of a single output
        return {outputs[0]: given} if len(outputs) == 1 else given

    def examples(self, api, examples):
        body = {"signature_name": api, "examples": examples}
        given = self._call("results", f":{api}", body)
        return given if api == "regress" else [[(c, s) for c, s in one] for one in given]

    def metadata(self):
        return _metadata(self._call("metadata", "/metadata")["signature_def"])

    def versions(self):
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


class _Grpc(_Server):
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
        import tensorflow as tf

        request = self._apis.predict_pb2.PredictRequest()
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        given = self._call(self._service.Predict, request, signature).outputs
        return {name: tf.make_ndarray(given[name]) for name in outputs}

    def examples(self, api, examples):
        if api == "regress":
            ask, request = self._service.Regress, self._apis.regression_pb2.RegressionRequest()
        else:
            request = self._apis.classification_pb2.ClassificationRequest()
            ask = self._service.Classify
        request.input.example_list.examples.extend(map(_tf_example, examples))
        result = self._call(ask, request, api).result
        if api == "regress":
            return [one.value for one in result.regressions]
        return [[(c.label, c.score) for c in one.classes] for one in result.classifications]

    def metadata(self):
        apis = self._apis.get_model_metadata_pb2
        request = apis.GetModelMetadataRequest(metadata_field=["signature_def"])
        packed = self._call(self._service.GetModelMetadata, request).metadata["signature_def"]
        found = apis.SignatureDefMap.FromString(packed.value)
        return _metadata(self._as_dict(found, preserving_proto_field_name=True))

    def versions(self):
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


class _Local:
    def __init__(self, model, export_dir, version):
        known = config.models(export_dir)
        if model not in known:
            raise UserError(
                f"{export_dir} has no model {model!r}.{closest(model, known)} It has: "
                f"{', '.join(known) or 'none'}: export one with train.py, or name another folder"
            )
        self.numbers = known[model]
        if version not in (None, *self.numbers):
            has = ", ".join(map(str, self.numbers))
            raise UserError(f"{export_dir / model} has no version {version}; it has: {has}")
        self.path = export_dir / model / str(version or self.numbers[-1])

    def predict(self, arrays, signature, outputs):
        import tensorflow as tf

        try:
            tensors = {name: tf.constant(array) for name, array in arrays.items()}
            given = self._signatures[signature](**tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise Refused(f"{self.path} refused it: {line(str(error))}") from error
        return {name: given[name].numpy() for name in outputs}

    def examples(self, api, examples):
        made = map(_tf_example, examples)
        serialized = np.array([one.SerializeToString() for one in made], object)
        outputs = ["outputs"] if api == "regress" else ["classes", "scores"]
        given = self.predict({"inputs": serialized}, api, outputs)
        if api == "regress":
            return given["outputs"]
        pairs = zip(typed(given["classes"], "string"), given["scores"].tolist(), strict=True)
        return [list(zip(*one, strict=True)) for one in pairs]

    def metadata(self):
        def tensors(specs):
            return {name: (x.dtype.name, tuple(x.shape)) for name, x in specs.items()}

        return {
            name: (tensors(f.structured_input_signature[1]), tensors(f.structured_outputs))
            for name, f in self._signatures.items()
        }

    def versions(self):
        return dict.fromkeys(self.numbers, "AVAILABLE")

    def extra(self, name: str) -> Path:
        """A file beside the graph."""
        return self.path / "assets.extra" / name

    @functools.cached_property
    def _signatures(self):
        import tensorflow as tf

        tokenizer = self.extra("tokenizer.json")
        if tokenizer.is_file() and metadata.read(tokenizer).get("kind") == "wordpiece":
            import tensorflow_text  # noqa: F401, registers operations of the graph
        try:
            return tf.saved_model.load(str(self.path), tags=["serve"]).signatures
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise UserError(
                f"{self.path}: this is no SavedModel that TensorFlow can load: {line(str(error))}"
            ) from error


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


def _words(dtype: str, shape: tuple[int | None, ...]) -> str:
    return f"{dtype} {' x '.join('n' if size is None else str(size) for size in shape)}"


def array(name: str, value: Any, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The value as a signature takes it, strings as objects.

    A wrong rank has to be found here: oneDNN ends the process for it, even that of a server.

    Args:
        name: Name of the input.
        value: An array, or nested lists.
        dtype: What the signature takes, such as "uint8" or "string".
        shape: Its shape; None is any size.

    Raises:
        Refused: if the value is of another shape, type or range.
    """
    wrong = f"{name}: expected {_words(dtype, shape)}"
    try:
        array = np.asarray(value, object if dtype == "string" else None)
        if dtype == "string":
            made, fits = array, all(isinstance(x, str | bytes) for x in array.flat)
            "".join(x for x in array.flat if isinstance(x, str)).encode()
        else:
            with np.errstate(all="ignore"):
                made = array.astype(dtype)
            fits = array.dtype.kind in "biuf" and (made.dtype.kind == "f" or (made == array).all())
    except (ValueError, TypeError) as error:
        raise Refused(f"{wrong}; {line(str(error))}") from error
    if not fits:
        raise Refused(f"{wrong}; got values of another type or range")
    asked = [own if size is None else size for size, own in zip(shape, made.shape, strict=False)]
    if asked != list(made.shape) or len(shape) != made.ndim or not made.size:
        raise Refused(f"{wrong}; got {' x '.join(map(str, made.shape)) or 'one value'}")
    return made


def typed(values: Any, dtype: str) -> np.ndarray:
    """An output as an array, strings as str."""
    array = np.array(values, object if dtype == "string" else dtype)
    for i, value in enumerate(array.flat):
        if isinstance(value, bytes):
            array.flat[i] = value.decode("utf-8", "replace")
    return array


def _feature(name: str, value: Any) -> str | bytes | np.ndarray:
    """The value of a feature, numbers as an array (n,)."""
    if isinstance(value, str | bytes):
        return value
    try:
        array = np.ravel(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise Refused(f"feature {name}: expected a string or numbers; got {line(repr(value))}")
    return array


def _tf_example(features: dict[str, Any]):
    from zoo.serving import examples

    return examples.example(features)


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


def line(message: str) -> str:
    """A message of TensorFlow in one line, without the places in the graph."""
    message = re.sub(r"\{\{.*?\}\}", "", message.partition("\n\t [[")[0]).strip()
    if message.startswith("Graph execution error"):
        message = message.splitlines()[-1]
    message = " ".join(message.split()).replace("\\'", "'")
    message = re.sub(r"^assertion failed: \[(.*)\]$", r"\1", message)
    return message if len(message) <= 300 else message[:300] + "..."
