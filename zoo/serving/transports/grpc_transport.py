"""The transport over TF Serving's gRPC API."""

from typing import Any

from google.protobuf.json_format import MessageToDict

from zoo.errors import UserError, one_line
from zoo.exporting.messages import METHODS, SignatureDefMap
from zoo.exporting.tensors import decode_tensor, encode_tensor, make_example
from zoo.serving.transports.transport import (
    ADVICE,
    PAUSE,
    RetryableError,
    ServerTransport,
    parse_metadata,
    parse_states,
)

_CONNECT_MS = 2_000  # for a server that is busy to accept a connection


class GrpcTransport(ServerTransport):
    """TF Serving's gRPC API."""

    api = "gRPC"

    def __init__(self, *args: Any):
        super().__init__(*args)
        import grpc  # here: it reads GRPC_VERBOSITY when it is imported

        self._rpc_error = grpc.RpcError
        options = [
            # by default messages above 4 MB fail, and it waits a second before it reconnects
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", int(1000 * PAUSE)),
            ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
            ("grpc.enable_http_proxy", int(not self.server.is_local)),
        ]
        if self.server.is_secure:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(self.server.target, credentials, options=options)
        else:
            self._channel = grpc.insecure_channel(self.server.target, options=options)

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
        answer = self._ask_metadata()
        signatures = SignatureDefMap.FromString(answer.metadata["signature_def"].value)
        return parse_metadata(MessageToDict(signatures, preserving_proto_field_name=True))

    def get_versions(self):
        """As `Transport.get_versions`."""
        answer = self._call("ModelService/GetModelStatus", of_all=True)
        states = MessageToDict(answer, preserving_proto_field_name=True)
        return parse_states(states["model_version_status"])

    def get_served_version(self):
        """As `Transport.get_served_version`."""
        return self._ask_metadata().model_spec.version.value

    def _ask_metadata(self) -> Any:
        return self._call("PredictionService/GetModelMetadata", metadata_field=["signature_def"])

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

        metadata = [(name.lower(), value) for name, value in self.settings.headers.items()]

        def attempt(timeout: float) -> Any:
            try:
                return call(request, timeout=timeout, metadata=metadata)
            except self._rpc_error as error:
                code, details = error.code().name, error.details() or ""
                raise self._explain_failure(code, details, timeout) from None

        return self._retry(attempt)

    def _explain_failure(self, code: str, details: str, timeout: float) -> Exception:
        """Returns what to raise for a request that failed."""
        reason = one_line(details)
        if code == "DEADLINE_EXCEEDED":
            return self._timeout_error(timeout)
        if code == "RESOURCE_EXHAUSTED" and "larger than max" not in details:
            return RetryableError(f"is overloaded: {reason}: try again later")
        if code == "UNAVAILABLE" and "SETTINGS" in details:  # the first frame of HTTP/2
            return UserError(
                f"{self.address} is not a gRPC port{self.proxy}: {reason}: pass the port of the "
                "REST API as server, and as grpc that of gRPC, 8500 by default"
            )
        if code == "UNAVAILABLE":
            return RetryableError(f"is not available{self.proxy}: {reason}: {ADVICE}")
        return self._make_error(code, details)
