"""TF Serving's REST API as a Starlette application."""

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from zoo.serving.local_server.json_requests import answer_json
from zoo.serving.local_server.model_versions import ModelVersions, VersionState
from zoo.serving.local_server.serving_error import HTTP_STATUSES, MAX_BYTES, ServingError

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?:(?P<metadata>/metadata)|:(?P<api>predict|classify|regress))?"
)
_MAX_WAITING_BYTES = 4 * MAX_BYTES  # of all requests that are not answered yet
_ABOUT = (
    "zoo serve: TF Serving's REST API in one Python process, for trying models, not for "
    "production.\n\nGET  /v1/models/NAME            versions\nGET  /v1/models/NAME/metadata   "
    "signatures\nPOST /v1/models/NAME:predict    also /versions/N:predict, /labels/L:predict\n"
    'POST /v1/models/NAME:classify   with "signature_name": "classify"\n'
    'POST /v1/models/NAME:regress    with "signature_name": "regress"\n\n'
)


class RestHandler:
    """Answers the requests of the REST API.

    A prediction runs in one of a few threads, so that a long one stalls neither the others nor the
    questions for the state of a model.
    """

    def __init__(self, models: ModelVersions):
        self._models = models
        self._threads = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "predict")
        self._waiting_bytes = 0

    async def answer(self, request: Request) -> Response:
        """Answers any request to a path of the API; errors become JSON, as in TF Serving."""
        try:
            # quoted: a name may have a slash
            answer = await self._answer(request, request.scope["raw_path"].decode("latin-1"))
            return _make_response(200, answer)
        except ServingError as error:
            return _make_response(HTTP_STATUSES[error.code], {"error": error.message})
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # the process has to go on
            logging.exception("zoo serve")
            return _make_response(500, {"error": f"{type(error).__name__}: see the server's log"})

    async def list_models(self, request: Request) -> Response:
        """Answers "/" with what there is, for people."""
        return PlainTextResponse(_ABOUT + "\n".join(self._models.list_models()) + "\n")

    async def _answer(self, request: Request, path: str) -> bytes:
        match = _PATH.fullmatch(path)
        if not match or (request.method == "POST") != bool(match["api"]):
            raise ServingError("INVALID_ARGUMENT", f"Malformed request: {request.method} {path}")
        model = unquote(match["model"])
        number = int(match["version"]) if match["version"] else None
        label = unquote(match["label"]) if match["label"] else None
        if not match["api"]:
            describe = _describe_metadata if match["metadata"] else _describe_states
            return json.dumps(describe(self._models, model, number, label)).encode()

        def predict(body: bytes) -> bytes:
            version = self._models.find_loaded(model, number, label)
            return json.dumps(answer_json(version, match["api"], body)).encode()

        return await self._run(predict, request)

    async def _run(self, predict: Callable[[bytes], bytes], request: Request) -> bytes:
        """Reads the body, and calls a function with it in another thread."""
        held = 0
        try:
            chunks = []
            async for chunk in request.stream():
                held += len(chunk)
                self._waiting_bytes += len(chunk)
                if held > MAX_BYTES:
                    raise ServingError(
                        "INVALID_ARGUMENT",
                        f"more than {MAX_BYTES >> 20} MB in one request: send less at once",
                    )
                if self._waiting_bytes > _MAX_WAITING_BYTES:
                    raise ServingError("RESOURCE_EXHAUSTED", "too many requests are waiting")
                chunks.append(chunk)
            body = b"".join(chunks)
            return await asyncio.get_running_loop().run_in_executor(self._threads, predict, body)
        finally:
            self._waiting_bytes -= held


def make_app(models: ModelVersions) -> Starlette:
    """Returns the application that serves these models."""
    handler = RestHandler(models)
    return Starlette(
        routes=[
            Route("/", handler.list_models),
            Route("/{path:path}", handler.answer, methods=["GET", "POST"]),
        ]
    )


def _make_response(status: int, answer: bytes | dict[str, Any]) -> Response:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Response(content, status, media_type="application/json")


def _describe_states(
    models: ModelVersions, model: str, number: int | None, label: str | None
) -> dict[str, Any]:
    """Returns the answer to GET /v1/models/NAME, of one version if it is named."""
    states, number = models.get_states(model), models.find_number(model, number, label)
    if number is not None and number not in states:
        raise ServingError("NOT_FOUND", f"Could not find version {number} of model {model}")

    def describe(key: int, state: VersionState) -> dict[str, Any]:
        status = {"error_code": "UNKNOWN" if state.error else "OK", "error_message": state.error}
        return {"version": str(key), "state": state.state, "status": status}

    chosen = states if number is None else {number: states[number]}
    return {"model_version_status": [describe(*pair) for pair in chosen.items()]}


def _describe_metadata(
    models: ModelVersions, model: str, number: int | None, label: str | None
) -> dict[str, Any]:
    """Returns the answer to GET /v1/models/NAME/metadata."""
    version = models.find_loaded(model, number, label)
    signatures = {
        # with the fields that hold nothing, as TF Serving writes them
        name: MessageToDict(
            signature, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for name, signature in version.signatures.items()
    }
    spec = {"name": model, "signature_name": "", "version": str(version.number)}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
