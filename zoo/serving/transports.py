"""Transports to an exported model: the interface, and what the APIs of TF Serving share."""

import abc
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.errors import UserError, one_line
from zoo.exporting.validation import InputRefusedError
from zoo.serving.addresses import describe_proxy, parse_address

# dtype and shape of a tensor, None for any size; the inputs and the outputs of a signature by name
TensorInfo = tuple[str, tuple[int | None, ...]]
SignatureInfo = tuple[dict[str, TensorInfo], dict[str, TensorInfo]]

# seconds before the second attempt; each further pause is twice as long, and each is up to twice
# that, so that clients that were refused together do not ask again together
PAUSE = 0.1
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


class ServerTransport(Transport):
    """A server. Requests are repeated if it cannot be reached, is overloaded or times out."""

    api: str

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
        retries: int,
    ):
        self.server = parse_address(address, self.api)
        self.address, self.model, self.version, self.label = address, model, version, label
        self.timeout, self.retries = timeout, retries
        self.proxy = describe_proxy(self.server, self.api)

    def _retry(self, attempt: Callable[[], Any]) -> Any:
        problem = None
        for count in range(self.retries + 1):
            time.sleep(PAUSE * 2 ** (count - 1) * random.uniform(1, 2) if count else 0)
            try:
                return attempt()
            except RetryableError as error:
                problem = error
        attempts = f" ({self.retries + 1} attempts)" if self.retries else ""
        raise UserError(f"{self.address} {problem}{attempts}")

    def _timeout_error(self) -> RetryableError:
        return RetryableError(
            f"did not answer{self.proxy} in {self.timeout:g} s: raise the timeout, or send less at "
            "once"
        )

    def _make_error(self, code: str, reason: str) -> UserError:
        reason = one_line(reason)
        if code in ("400", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return InputRefusedError(f"{self.address} refused the request: {reason}")
        if code in ("404", "NOT_FOUND"):
            version = "".join(f", {x}" for x in (self.version, self.label) if x is not None)
            return NotServedError(
                f"{self.address} does not serve {self.model}{version}: {reason}: check the models "
                "and versions in the server's configuration"
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
