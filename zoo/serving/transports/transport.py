"""`Transport`: a way to call an exported model, and what the APIs of TF Serving share."""

import abc
import dataclasses
import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from zoo.errors import UserError, one_line
from zoo.exporting.validation import InputRefusedError
from zoo.serving.transports.addresses import describe_proxy, parse_address

# dtype and shape of a tensor, None for any size; the inputs and the outputs of a signature by name
TensorInfo = tuple[str, tuple[int | None, ...]]
SignatureInfo = tuple[dict[str, TensorInfo], dict[str, TensorInfo]]
Answer = TypeVar("Answer")

# seconds before the second attempt; each further pause is twice as long, and each is up to twice
# that, so that clients that were refused together do not ask again together
PAUSE = 0.1
MAX_CONCURRENCY = 64  # requests of one client at the same time; TF Serving has as many threads
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
ADVICE = "start TF Serving there, or correct HOST:PORT"


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
    def get_versions(self) -> dict[int, tuple[str, str]]:
        """Returns the state of each version, and why it could not be loaded, or "".

        Only "AVAILABLE" versions can predict.
        """

    @abc.abstractmethod
    def get_served_version(self) -> int:
        """Returns the number of the version that answers."""


class NotServedError(UserError):
    """The server does not serve this model, or not this version."""


class RetryableError(Exception):
    """A temporary error: the next attempt may succeed."""


@dataclasses.dataclass(frozen=True)
class ConnectionSettings:
    """How a server is asked.

    Attributes:
        timeout: Seconds to wait for the server, for each attempt.
        retries: Number of further attempts after a temporary error.
        deadline: Seconds for a call, all its attempts and pauses together; None for no limit.
        headers: HTTP headers, or metadata of gRPC, of each request.
    """

    timeout: float = 10.0
    retries: int = 3
    deadline: float | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, value in self.headers.items():
            is_valid = re.fullmatch(r"[A-Za-z0-9_.-]+", name) and re.fullmatch("[ -~]*", value)
            if not is_valid:
                shown = "token" if name.lower() == "authorization" else f"header {name!r}"
                raise UserError(f"{shown}: expected printable ASCII characters in one line")
        if self.timeout <= 0 or (self.deadline is not None and self.deadline <= 0):
            raise UserError(
                f"timeout={self.timeout}, deadline={self.deadline}: expected seconds above 0"
            )


class ServerTransport(Transport):
    """A server. Requests are repeated if it cannot be reached, is overloaded or times out.

    Args:
        address: HOST:PORT, or a URL.
        model: Name of the model.
        version: Number of the version, or None.
        label: Label of the version, or None.
        settings: How the server is asked.
    """

    api: str

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None,
        label: str | None,
        settings: ConnectionSettings,
    ):
        self.server = parse_address(address, self.api)
        self.address, self.model, self.version, self.label = address, model, version, label
        self.settings = settings
        self.proxy = describe_proxy(self.server, self.api)

    def _retry(self, attempt: Callable[[float], Answer]) -> Answer:
        """Calls `attempt` with its timeout, until it raises no `RetryableError`.

        Raises:
            UserError: if the last attempt fails, or the next one would exceed the deadline.
        """
        settings, problem, count = self.settings, "", 0
        deadline = float("inf") if settings.deadline is None else settings.deadline
        end = time.monotonic() + deadline
        for count in range(1, settings.retries + 2):
            try:
                return attempt(min(settings.timeout, end - time.monotonic()))
            except RetryableError as error:
                problem = str(error)
            pause = PAUSE * 2 ** (count - 1) * random.uniform(1, 2)
            if count > settings.retries or time.monotonic() + pause >= end:
                break
            time.sleep(pause)
        in_time = "" if settings.deadline is None else f", deadline of {settings.deadline:g} s"
        attempts = f" ({count} attempts{in_time})" if settings.retries else ""
        raise UserError(f"{self.address} {problem}{attempts}")

    def _timeout_error(self, timeout: float) -> RetryableError:
        return RetryableError(
            f"did not answer{self.proxy} in {timeout:.3g} s: raise the timeout, or send less at "
            "once"
        )

    def _make_error(self, code: str, reason: str) -> UserError:
        reason = one_line(reason)
        if code in ("400", "413", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return InputRefusedError(f"{self.address} refused the request: {reason}")
        if code in ("404", "NOT_FOUND"):
            version = "".join(f", {x}" for x in (self.version, self.label) if x is not None)
            return NotServedError(
                f"{self.address} does not serve {self.model}{version}: {reason}: check the models "
                "and versions in the server's configuration"
            )
        if code in ("401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"):
            return UserError(
                f"{self.address} answered {code}{self.proxy}: {reason}: set the variable "
                "ZOO_TOKEN to your token, or pass token or headers"
            )
        return UserError(
            f"{self.address} answered {code}{self.proxy}: {reason}: see the server's log"
        )


def parse_metadata(metadata: dict) -> dict[str, SignatureInfo]:
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


def parse_states(states: list[dict]) -> dict[int, tuple[str, str]]:
    """Reads TF Serving's states of versions in JSON, as in `Transport.get_versions`."""

    def read_error(state: dict) -> str:
        status = state.get("status", {})
        code = status.get("error_code", "OK")
        return "" if code == "OK" else status.get("error_message") or code

    return {int(state["version"]): (state["state"], read_error(state)) for state in states}


def check_concurrency(concurrency: int) -> None:
    """Checks a number of requests in flight.

    Raises:
        UserError: if it is below 1, or above what a client has connections for.
    """
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise UserError(f"concurrency={concurrency}: expected 1 to {MAX_CONCURRENCY}")
