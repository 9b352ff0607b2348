"""A proxy before a server of TF Serving's REST API that logs a share of the requests."""

import contextlib
import functools
import json
from collections.abc import AsyncIterator

import httpx2
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.errors import one_line
from zoo.serving.request_log import RequestLog
from zoo.serving.rest_entries import (
    AskedVersion,
    FindSignatures,
    parse_exchange,
    parse_predict_path,
)
from zoo.serving.transports.addresses import ServerAddress

_CONNECT_SECONDS = 10.0
_KEPT_CONNECTIONS = 64
_LOGGED_BYTES = 64 << 20  # of a request, and of an answer; larger ones are not logged
# they are about one connection, and not passed on
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host",
}  # fmt: skip
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class LogProxy:
    """Passes requests on to a server, and gives those that predict, and their answers, to a log.

    Args:
        server: The server.
        log: The log; it draws the requests, and reads them in its own thread.
        find_signatures: Returns the signatures of a version, which a request may leave unnamed.
    """

    def __init__(self, server: ServerAddress, log: RequestLog, find_signatures: FindSignatures):
        self._server, self._log = server, log
        self._find_signatures = functools.lru_cache(find_signatures)
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_keepalive_connections=_KEPT_CONNECTIONS),
            follow_redirects=False,
            trust_env=not server.is_local,
        )

    async def answer(self, request: Request) -> Response:
        """Passes a request on, and returns the answer as the server gives it."""
        path = request.scope["raw_path"].decode("latin-1")
        asked = parse_predict_path(path) if request.method == "POST" else None
        copies = (_Copy(), _Copy()) if asked and self._log.draw_request() else None
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
        if copies:  # so that the answer can be read
            headers = [(k, v) for k, v in headers if k != "accept-encoding"]
            headers.append(("accept-encoding", "identity"))
        query = request.scope["query_string"].decode("latin-1")
        url = f"{self._server.url}{path}{'?' if query else ''}{query}"
        body = _copy_chunks(request.stream(), copies[0] if copies else None)
        has_body = {"content-length", "transfer-encoding"} & {*request.headers}
        outgoing = self._client.build_request(
            request.method, url, headers=headers, content=body if has_body else None
        )
        try:
            answer = await self._client.send(outgoing, stream=True)
        except ClientDisconnect:
            return Response(status_code=400)
        except httpx2.HTTPError as error:
            reason = f"{self._server.target} does not answer: {one_line(error)}"
            return Response(json.dumps({"error": reason}), 502, media_type="application/json")

        async def finish() -> None:
            await answer.aclose()
            if copies and asked and answer.status_code == 200:
                self._add_exchange(asked, *copies)

        chunks = _copy_chunks(answer.aiter_raw(), copies[1] if copies else None)
        passed = StreamingResponse(chunks, answer.status_code, background=BackgroundTask(finish))
        passed.raw_headers = [
            (k.lower(), v) for k, v in answer.headers.raw if k.lower().decode() not in _HOP_BY_HOP
        ]
        return passed

    def _add_exchange(self, asked: AskedVersion, request: "_Copy", answer: "_Copy") -> None:
        """Gives a request and its answer to the log."""

        def parse():
            if not (request.is_whole and answer.is_whole):
                raise ValueError(f"more than {_LOGGED_BYTES >> 20} MiB in one request")
            try:
                signatures = self._find_signatures(asked)
                return parse_exchange(request.join(), answer.join(), signatures)
            except Exception:
                self._find_signatures.cache_clear()  # another version may have come
                raise

        self._log.add_drawn(asked.model, parse, request.size + answer.size)


class _Copy:
    """A copy of the chunks of a body, as long as they are not too large.

    Attributes:
        size: Bytes that are kept.
        is_whole: Whether all were kept.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.size, self.is_whole = 0, True

    def add(self, chunk: bytes) -> None:
        """Keeps a chunk, or drops all if they become too large."""
        if self.is_whole and self.size + len(chunk) > _LOGGED_BYTES:
            self._chunks, self.size, self.is_whole = [], 0, False
        elif self.is_whole:
            self._chunks.append(chunk)
            self.size += len(chunk)

    def join(self) -> bytes:
        """Returns the body."""
        return b"".join(self._chunks)


async def _copy_chunks(chunks: AsyncIterator[bytes], copy: _Copy | None) -> AsyncIterator[bytes]:
    """Yields the chunks, and keeps copies of them."""
    async for chunk in chunks:
        if copy:
            copy.add(chunk)
        yield chunk


def make_proxy_app(
    server: ServerAddress, log: RequestLog, find_signatures: FindSignatures
) -> ASGIApp:
    """Returns the application of a `LogProxy`."""
    proxy = LogProxy(server, log, find_signatures)
    app = Starlette(routes=[Route("/{path:path}", proxy.answer, methods=_METHODS)])

    async def cut_off_answers(scope: Scope, receive: Receive, send: Send) -> None:
        # an answer that the server does not finish is not finished here either, by which its client
        # notices; uvicorn logs a line
        with contextlib.suppress(httpx2.HTTPError):
            await app(scope, receive, send)

    return cut_off_answers
