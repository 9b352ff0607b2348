"""The page of `zoo demo` and its API as a Starlette application."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from zoo.demo.answers import answer_request, describe_fields
from zoo.demo.models import DemoModel, check_version
from zoo.errors import UserError

PAGE = Path(__file__).with_name("page.html")
_LOADED = 4  # versions that are kept in memory
_MAX_BYTES = 32 << 20  # of a request
_HEADERS = {
    # the page has its script and its style inside, and reads nothing from elsewhere
    "content-security-policy": "default-src 'self' 'unsafe-inline'; img-src 'self' data: blob:",
    "cache-control": "no-store",
}


class DemoHandler:
    """Answers the requests of the page; errors are {"error": one line}.

    Args:
        model: The model.
    """

    def __init__(self, model: DemoModel):
        self._model = model
        self._open = functools.lru_cache(_LOADED)(model.open_version)

    async def show_page(self, request: Request) -> Response:
        """Answers with the page."""
        return HTMLResponse(PAGE.read_text("utf-8"), headers=_HEADERS)

    async def describe_model(self, request: Request) -> Response:
        """Answers with the versions, and the fields and the methods of one of them."""
        key = request.query_params.get("version", "")

        def describe() -> dict[str, Any]:
            versions = self._model.list_versions()
            chosen = check_version(self._model, key)
            explainer = self._open(chosen).explainer
            return {
                "name": self._model.name,
                "versions": [{"key": key, "title": title} for key, title in versions.items()],
                "version": chosen,
                "kind": explainer.spec.kind,
                "task": explainer.spec.task,
                "fields": describe_fields(explainer),
                "methods": list(explainer.methods),
            }

        return await _answer(describe)

    async def predict(self, request: Request) -> Response:
        """Answers with a prediction, and with its explanation if a method is named."""
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BYTES:
                    error = f"more than {_MAX_BYTES >> 20} MiB: send a smaller file"
                    return JSONResponse({"error": error}, 413)
        except ClientDisconnect:
            return Response(status_code=400)
        key, method = request.query_params.get("version", ""), request.query_params.get("method")

        def predict() -> dict[str, Any]:
            try:
                asked = json.loads(body)
            except (ValueError, RecursionError):
                raise UserError("expected JSON") from None
            version = self._open(check_version(self._model, key))
            return answer_request(version, asked, method)

        return await _answer(predict)


async def _answer(function: Callable[[], dict[str, Any]]) -> Response:
    """Calls a function in another thread, and returns its result as JSON."""
    try:
        return JSONResponse(await run_in_threadpool(function), headers=_HEADERS)
    except UserError as error:
        return JSONResponse({"error": str(error)}, 400)
    except Exception as error:  # the process has to go on
        logging.exception("zoo demo")
        return JSONResponse({"error": f"{type(error).__name__}: see the terminal"}, 500)


def make_demo_app(model: DemoModel) -> Starlette:
    """Returns the application that shows a model."""
    handler = DemoHandler(model)
    return Starlette(
        routes=[
            Route("/", handler.show_page),
            Route("/api/model", handler.describe_model),
            Route("/api/predict", handler.predict, methods=["POST"]),
        ]
    )
