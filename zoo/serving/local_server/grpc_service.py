"""TF Serving's gRPC API."""

import logging
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from zoo.errors import one_line
from zoo.exporting.messages import (
    METHODS,
    ClassificationResponse,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    PredictResponse,
    RegressionResponse,
    SignatureDefMap,
)
from zoo.exporting.tensors import decode_tensor, encode_tensor
from zoo.serving.local_server.loaded_version import LoadedVersion
from zoo.serving.local_server.model_versions import ModelVersions
from zoo.serving.local_server.serving_error import MAX_BYTES, ServingError

_MAX_CALLS = 64  # at a time; further ones are RESOURCE_EXHAUSTED, as in TF Serving
_TYPE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class GrpcService:
    """Answers the methods of the gRPC API."""

    def __init__(self, models: ModelVersions):
        self._models = models

    def get_methods(self) -> dict[str, Callable[[Any], Any]]:
        """Returns the function from request to response of each key of `METHODS`."""
        return {
            "PredictionService/Predict": self._predict,
            "PredictionService/Classify": self._classify,
            "PredictionService/Regress": self._regress,
            "PredictionService/GetModelMetadata": self._get_metadata,
            "ModelService/GetModelStatus": self._get_states,
        }

    def _find_loaded(self, spec: Any) -> LoadedVersion:
        return self._models.find_loaded(spec.name, _read_number(spec), spec.version_label or None)

    def _predict(self, request: Any) -> Any:
        version, name = self._find_loaded(request.model_spec), request.model_spec.signature_name
        arrays = {key: _decode(key, tensor) for key, tensor in request.inputs.items()}
        outputs = version.run(name or "serving_default", arrays)
        tensors = {key: encode_tensor(array) for key, array in outputs.items()}
        return PredictResponse(outputs=tensors, model_spec=_make_spec(request, version))

    def _classify(self, request: Any) -> Any:
        response = ClassificationResponse()
        outputs = self._run_examples("classify", request)
        for labels, scores in zip(outputs["classes"], outputs["scores"], strict=True):
            one = response.result.classifications.add()
            for label, score in zip(labels, scores, strict=True):
                one.classes.add(label=label.decode("utf-8", "replace"), score=score)
        return response

    def _regress(self, request: Any) -> Any:
        response = RegressionResponse()
        for value in self._run_examples("regress", request)["outputs"]:
            response.result.regressions.add(value=value)
        return response

    def _run_examples(self, api: str, request: Any) -> dict[str, Any]:
        version, name = self._find_loaded(request.model_spec), request.model_spec.signature_name
        serialized = [one.SerializeToString() for one in request.input.example_list.examples]
        return version.run_examples(api, name or "serving_default", serialized)

    def _get_metadata(self, request: Any) -> Any:
        version = self._find_loaded(request.model_spec)
        response = GetModelMetadataResponse(model_spec=_make_spec(request, version))
        signatures = SignatureDefMap()
        for name, signature in version.signatures.items():
            signatures.signature_def[name].ParseFromString(signature.SerializeToString())
        # of the same name in the pool of descriptors, so that `Pack` would not find it
        response.metadata["signature_def"].type_url = _TYPE_URL
        response.metadata["signature_def"].value = signatures.SerializeToString()
        return response

    def _get_states(self, request: Any) -> Any:
        spec = request.model_spec
        states = self._models.get_states(spec.name)
        number = self._models.find_number(spec.name, _read_number(spec), spec.version_label or None)
        if number is not None and number not in states:
            raise ServingError("NOT_FOUND", f"Could not find version {number} of model {spec.name}")
        response = GetModelStatusResponse()
        for key, state in states.items():
            if number in (None, key):
                code = "UNKNOWN" if state.error else "OK"
                status = {"error_code": code, "error_message": state.error}
                response.model_version_status.add(version=key, state=state.state, status=status)
        return response


def make_grpc_server(
    models: ModelVersions, address: str, interceptors: tuple[Any, ...] = ()
) -> tuple[grpc.Server, int]:
    """Returns a gRPC server for these models, which is not started.

    Args:
        models: The models.
        address: HOST:PORT; port 0 is any free one.
        interceptors: gRPC's interceptors, which see each request first.

    Returns:
        The server and its port.

    Raises:
        RuntimeError: if the port is taken.
    """
    sizes = {"grpc.max_receive_message_length": MAX_BYTES, "grpc.max_send_message_length": -1}
    options = [*sizes.items(), ("grpc.so_reuseport", 0)]
    threads = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "grpc")
    server = grpc.server(
        threads, options=options, interceptors=interceptors, maximum_concurrent_rpcs=_MAX_CALLS
    )
    handlers: dict[str, dict[str, Any]] = {}
    for path, function in GrpcService(models).get_methods().items():
        request_class, response_class = METHODS[path]
        service, name = path.split("/")
        handlers.setdefault(service, {})[name] = grpc.unary_unary_rpc_method_handler(
            _report_errors(function), request_class.FromString, response_class.SerializeToString
        )
    for service, methods in handlers.items():
        handler = grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", methods)
        server.add_generic_rpc_handlers((handler,))
    return server, server.add_insecure_port(address)


def _report_errors(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Returns a gRPC method, whose errors are gRPC's."""

    def answer(request: Any, context: Any) -> Any:
        try:
            return function(request)
        except ServingError as error:
            code, message = error.code, error.message
        except Exception as error:  # the process has to go on
            logging.exception("zoo serve")
            code, message = "INTERNAL", f"{type(error).__name__}: see the server's log"
        return context.abort(getattr(grpc.StatusCode, code), message)

    return answer


def _decode(name: str, tensor: Any) -> np.ndarray:
    """Converts a tensor to an array.

    Raises:
        ServingError: if it holds none, or states a size that no request has room for.
    """
    try:
        if math.prod(dim.size for dim in tensor.tensor_shape.dim) > MAX_BYTES:
            raise ValueError("too many values")
        return decode_tensor(tensor)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ServingError("INVALID_ARGUMENT", f"{name}: no tensor: {one_line(error)}") from error


def _read_number(spec: Any) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _make_spec(request: Any, version: LoadedVersion) -> dict[str, Any]:
    spec = request.model_spec
    name = spec.signature_name
    return {"name": spec.name, "signature_name": name, "version": {"value": version.number}}
