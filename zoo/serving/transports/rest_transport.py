"""The transport over TF Serving's REST API."""

import base64
import http.client
import json
import time
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import requests

from zoo.errors import UserError, one_line
from zoo.serving.transports.transport import (
    ADVICE,
    MAX_CONCURRENCY,
    RetryableError,
    ServerTransport,
    parse_metadata,
    parse_states,
)

_RETRYABLE_STATUSES = (429, 502, 503, 504)
_CHUNK_SIZE = 1 << 16


class _Answer(NamedTuple):
    """The answer to a request; `location` is where it redirects to, or ""."""

    status: int
    location: str
    text: str


class RestTransport(ServerTransport):
    """TF Serving's REST API."""

    api = "REST"

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._session = requests.Session()
        self._session.headers.update(self.settings.headers)
        if "Authorization" in self.settings.headers:
            self._session.auth = lambda request: request  # keeps ~/.netrc from replacing it
        # as many connections are kept as there may be requests in flight
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=MAX_CONCURRENCY)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        # replaces the variable of the environment for this request
        self._proxies = {"no_proxy": self.server.host.strip("[]")} if self.server.is_local else None

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
        return parse_metadata(self._call("metadata", "/metadata")["signature_def"])

    def get_versions(self):
        """As `Transport.get_versions`."""
        return parse_states(self._call("model_version_status"))

    def get_served_version(self):
        """As `Transport.get_served_version`."""
        return int(self._call("model_spec", "/metadata")["version"])

    def _call(self, key: str, path: str = "", body: dict | None = None) -> Any:
        """Sends a request, and returns what the answer holds under a key.

        Args:
            key: Key of the answer.
            path: End of the URL; without one the request is about all versions.
            body: JSON to post; None for a GET request.
        """
        url = f"{self.server.url}/v1/models/{quote(self.model, safe='')}"
        if path and self.version is not None:
            url += f"/versions/{self.version}"
        elif path and self.label:
            url += f"/labels/{quote(self.label, safe='')}"
        data = json.dumps(body, default=_to_json) if body else None
        answer = self._retry(lambda timeout: self._send(url + path, data, timeout))
        if answer.location:
            raise UserError(
                f"{self.address} redirects to {one_line(answer.location)}: pass the address "
                "there, without /v1 and what follows it"
            )
        if answer.status != 200:
            raise self._make_error(str(answer.status), _read_error(answer.text))
        try:
            return json.loads(answer.text)[key]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.address} does not answer as TF Serving's REST API does{self.proxy}: "
                "correct HOST:PORT"
            ) from None

    def _send(self, url: str, data: str | None, timeout: float) -> "_Answer":
        """Sends a request once: POST with data, or else GET.

        Raises:
            RetryableError: if the next attempt may succeed.
            UserError: if it may not.
        """
        end = time.monotonic() + timeout
        options: dict[str, Any] = {"timeout": timeout, "proxies": self._proxies, "stream": True}
        method = "POST" if data else "GET"
        try:
            with self._session.request(
                method, url, data=data, allow_redirects=False, **options
            ) as answer:
                chunks = []
                for chunk in answer.iter_content(_CHUNK_SIZE):
                    chunks.append(chunk)
                    # the timeout of requests is for each part of the answer
                    if time.monotonic() > end:
                        raise requests.Timeout
        except requests.RequestException as error:
            cause = _find_cause(error)
            if isinstance(error, requests.Timeout) or isinstance(cause, TimeoutError):
                raise self._timeout_error(timeout) from None
            raise self._explain_failure(error, cause) from None
        text = b"".join(chunks).decode("utf-8", "replace")
        if answer.status_code in _RETRYABLE_STATUSES:
            reason = one_line(_read_error(text))
            raise RetryableError(
                f"answered {answer.status_code}{self.proxy}: {reason}: try again later"
            )
        location = answer.headers["location"] if answer.is_redirect else ""
        return _Answer(answer.status_code, location, text)

    def _explain_failure(self, error: requests.RequestException, cause: BaseException) -> Exception:
        """Returns what to raise for a request that got no answer."""
        reason = one_line(getattr(cause, "strerror", None) or cause)
        if isinstance(error, requests.exceptions.SSLError):
            return UserError(
                f"{self.address} does not speak https{self.proxy}, or its certificate is not "
                f"trusted: {reason}: use http://, or set REQUESTS_CA_BUNDLE to the certificate"
            )
        # the first frame of HTTP/2, a SETTINGS frame
        if isinstance(cause, http.client.BadStatusLine) and "\\x00\\x00" in repr(cause):
            return UserError(
                f"{self.address} is a gRPC port: pass it as grpc, and as server the port of the "
                "REST API, 8501 by default"
            )
        return RetryableError(f"cannot be reached{self.proxy}: {reason}: {ADVICE}")


def _find_cause(error: BaseException) -> BaseException:
    """Returns the first of the errors that led to this one."""
    while error.__context__:
        error = error.__context__
    return error


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
