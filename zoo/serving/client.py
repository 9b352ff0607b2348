"""Predictions from an export: through TF Serving's REST or gRPC API, or in this process.

The three transports take and return the same; `zoo.exporting.signatures` lists the names. REST and
gRPC do without TensorFlow: numpy, requests, protobuf and grpcio are enough.
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.images.image_files import make_decodable
from zoo.data.spec import Spec, spec_from_record
from zoo.data.tables.columns import Column
from zoo.errors import UserError, one_line
from zoo.exporting.validation import (
    InputRefusedError,
    check_feature,
    check_inputs,
    decode_output,
    format_inputs,
)
from zoo.schema import suggest_closest
from zoo.serving.request_log import LOGGED_SIGNATURES, RequestLog
from zoo.serving.transports.grpc_transport import GrpcTransport
from zoo.serving.transports.local_transport import LocalTransport
from zoo.serving.transports.rest_transport import RestTransport
from zoo.serving.transports.transport import (
    ConnectionSettings,
    SignatureInfo,
    Transport,
    check_concurrency,
)
from zoo.storage.filenames import EXPORT_RECORD
from zoo.storage.json_files import read_json

_IMAGE_FILES = "image_bytes"  # the input and the feature that holds image files


class Client:
    """Client of one exported model: over REST, over gRPC, or in this process.

    Args:
        model: Name of the model in TF Serving, or of its folder in `export_dir`.
        server: HOST:PORT of TF Serving's REST API, or a URL of http or https in front of /v1.
        grpc: HOST:PORT of TF Serving's gRPC API, or https://HOST:PORT with TLS.
        export_dir: Folder of exported models; without a server the first request loads the model
            from it.
        version: Number of the version; None for the newest.
        label: Label of the version; only for a server.
        timeout: Seconds to wait for the server, for each attempt.
        retries: Number of further attempts if the server cannot be reached, is overloaded or
            exceeds the timeout; they wait for 0.1 s, 0.2 s, 0.4 s and so on, up to twice as long.
        deadline: Seconds for a call, all its attempts and pauses together; None for no limit.
        headers: HTTP headers of each request, or metadata of gRPC, such as {"X-Api-Key": "..."}.
        token: Bearer token of the server; by default that of the variable ZOO_TOKEN.
        log: Log of the requests of `predict` and their answers, for `zoo monitor`.

    Raises:
        UserError: if the arguments contradict each other or there is no such export. All methods
            raise it for errors of the server, which the message names.

    Examples:
        >>> import zoo
        >>> from zoo.serving import Client
        >>> model = zoo.load_pretrained("lenet5", "mnist")
        >>> version = zoo.export(model.model, "saved_models/digits", spec=model.spec)
        >>> client = Client("digits")  # or Client("digits", server="localhost:8501")
        >>> client.versions()
        {1: 'AVAILABLE'}
        >>> client.spec().shape
        (28, 28, 1)
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
        deadline: float | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
        log: RequestLog | None = None,
    ):
        if server and grpc:
            raise UserError(f"server={server} and grpc={grpc}: pass only one of them")
        if version is not None and label:
            raise UserError(f"version={version} and label={label}: pass only one of them")
        self.model, self._log = model, log
        if server or grpc:
            token = token or os.environ.get("ZOO_TOKEN")
            credentials = {"Authorization": f"Bearer {token}"} if token else {}
            settings = ConnectionSettings(timeout, retries, deadline, credentials | (headers or {}))
            transport = RestTransport if server else GrpcTransport
            self._transport: Transport = transport(server or grpc, model, version, label, settings)
        elif label:
            raise UserError(
                f"label={label}: only a server knows labels: pass server, grpc or a version instead"
            )
        else:
            self._transport = LocalTransport(model, Path(os.path.expanduser(export_dir)), version)

    def predict(
        self, inputs: dict[str, Any], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            inputs: Arrays or nested lists by name, the batch first, as also a DataFrame has them;
                str or bytes for strings.
            signature: Name of the signature.

        Returns:
            The outputs by name: float32 or int64 arrays, or object arrays of str.

        Raises:
            InputRefusedError: if the inputs do not fit the signature.
        """
        takes, returns = self._find_signature(signature)
        arrays = check_inputs(inputs, takes, f"{self.model}: {signature}")
        if _IMAGE_FILES in arrays:
            files = [convert_image_file(_IMAGE_FILES, content) for content in arrays[_IMAGE_FILES]]
            arrays[_IMAGE_FILES] = np.array(files, object)
        try:
            outputs = self._transport.predict(arrays, signature, list(returns))
        except InputRefusedError as error:
            takes_all = f"{signature} takes {format_inputs(takes)}"
            raise InputRefusedError(f"{error}; {takes_all}") from error
        answer = {name: decode_output(outputs[name], dtype) for name, (dtype, _) in returns.items()}
        if self._log and signature in LOGGED_SIGNATURES:
            image_shape = self._find_signature("serving_default")[0].get("image", ("", ()))[1][1:]
            self._log.add(self.model, arrays, answer, image_shape)
        return answer

    def predict_many(
        self,
        batches: Iterable[dict[str, Any]],
        signature: str = "serving_default",
        concurrency: int = 8,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Calls a signature with several batches, of which a few are asked for at the same time.

        Args:
            batches: Inputs as those of `predict`.
            signature: Name of the signature.
            concurrency: Number of requests in flight, at most 64.

        Yields:
            The outputs of each batch, in the order of the batches.

        Raises:
            InputRefusedError: if a batch does not fit; those after it are not yielded.

        Examples:
            >>> import numpy as np, zoo
            >>> from zoo.serving import Client
            >>> model = zoo.load_pretrained("lenet5", "mnist")
            >>> version = zoo.export(model.model, "saved_models/digits", spec=model.spec)
            >>> batches = ({"image": np.zeros((2, 28, 28, 1), "uint8")} for _ in range(3))
            >>> [len(outputs["label"]) for outputs in Client("digits").predict_many(batches)]
            [2, 2, 2]
        """
        check_concurrency(concurrency)
        self._find_signature(signature)  # so that it is asked for once
        pending: collections.deque[Future] = collections.deque()
        with ThreadPoolExecutor(concurrency) as threads:
            try:
                for batch in batches:
                    pending.append(threads.submit(self.predict, batch, signature))
                    if len(pending) == concurrency:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """Classifies examples by the Classify API.

        Args:
            examples: The features of each example by name: a str, bytes, a number or a list of
                numbers.

        Returns:
            The (class, score) pairs of each example, best first.

        Raises:
            InputRefusedError: if the examples do not fit the model.
        """
        return self._classify_or_regress("classify", examples)

    def regress(self, examples: list[dict[str, Any]]) -> np.ndarray:
        """Predicts numbers by the Regress API: float32 (examples,); otherwise as `classify`."""
        return np.asarray(self._classify_or_regress("regress", examples), "float32")

    @property
    def path(self) -> Path | None:
        """Folder of the version that is loaded into this process; None for a server."""
        return self._transport.path if isinstance(self._transport, LocalTransport) else None

    @functools.cached_property
    def metadata(self) -> dict[str, SignatureInfo]:
        """The inputs and outputs of each signature: (dtype, shape) by name."""
        return self._transport.get_metadata()

    def spec(self) -> Spec:
        """Returns what the model reads.

        A server does not report the names of classes, their thresholds, and the names of features
        without columns. For a server `class_names` is (), or None for a regression; the columns of
        a table have a name and whether they are numbers, but not what was learned about them.
        """
        if (
            isinstance(self._transport, LocalTransport)
            and (record := self._transport.find_extra(EXPORT_RECORD)).is_file()
        ):
            return spec_from_record(read_json(record), record)
        takes, returns = self._find_signature("serving_default")
        names, multilabel = None if "prediction" in returns else (), "scores" in returns
        layouts = ({"image"}, {"features"}, {"tokens"}, {"text"}, {"text_a", "text_b"})
        if takes.keys() not in layouts:
            columns = tuple(
                Column(name, "category" if dtype == "string" else "number")
                for name, (dtype, _) in sorted(takes.items())
            )
            spec = Spec("features", (len(columns),), names, tuple(takes), columns=columns)
            return dataclasses.replace(spec, multilabel=multilabel)
        name, (_, shape) = next(iter(takes.items()))
        kind = "text_pair" if len(takes) == 2 else {"tokens": "text"}.get(name, name)
        # None: texts of any length
        return Spec(kind, shape[1:], names, multilabel=multilabel)  # type: ignore[arg-type]

    def versions(self) -> dict[int, str]:
        """Returns the state of each version; only "AVAILABLE" versions can predict."""
        return {number: state for number, (state, _) in self._transport.get_versions().items()}

    def load_errors(self) -> dict[int, str]:
        """Returns why versions could not be loaded, for each version that a server failed at."""
        versions = self._transport.get_versions().items()
        return {number: error for number, (_, error) in versions if error}

    def served_version(self) -> int:
        """Returns the number of the version that answers: the one asked for, or the newest."""
        return self._transport.get_served_version()

    def _find_signature(self, name: str) -> SignatureInfo:
        if name not in self.metadata:
            closest = suggest_closest(str(name), self.metadata)
            raise UserError(
                f"{self.model} has no signature {name!r}.{closest} "
                f"It has: {', '.join(sorted(self.metadata))}"
            )
        return self.metadata[name]

    def _classify_or_regress(self, api: str, examples: list[dict[str, Any]]) -> list:
        self._find_signature(api)
        if not examples:
            raise InputRefusedError(f"{api}: got no examples")
        for example in examples:
            if not isinstance(example, dict):
                raise InputRefusedError(
                    f"{api}: expected a list of dicts, the features of each example by name; got "
                    f"{one_line(repr(example), 100)}"
                )
        return self._transport.classify_or_regress(
            api,
            [
                {name: convert_image_file(name, check_feature(name, x)) for name, x in e.items()}
                for e in examples
            ],
        )


def convert_image_file(name: str, value: Any) -> Any:
    """Returns an image file as one that the export decodes; other values unchanged.

    Raises:
        InputRefusedError: if the file cannot be read.
    """
    if name != _IMAGE_FILES or not isinstance(value, bytes):
        return value
    try:
        return make_decodable(value)
    except UserError as error:
        raise InputRefusedError(f"{name}: {error}") from error
