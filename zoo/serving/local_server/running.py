"""Starts and stops the two APIs of `zoo serve`, and follows the folder of exports."""

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator

import grpc
import uvicorn

from zoo.errors import UserError
from zoo.serving.local_server.grpc_service import make_grpc_server
from zoo.serving.local_server.model_versions import ModelVersions
from zoo.serving.local_server.rest_app import make_app
from zoo.serving.rest_server import GRACE_PERIOD, TAKEN, make_rest_server


@contextlib.contextmanager
def follow_folder(models: ModelVersions, seconds: float) -> Iterator[None]:
    """Context manager that refreshes the models every few seconds, in a thread."""
    is_over = threading.Event()

    def refresh() -> None:
        while not is_over.wait(seconds):
            models.refresh()

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@dataclasses.dataclass(frozen=True)
class Servers:
    """The servers of the two APIs, whose ports are bound.

    Attributes:
        rest: The server of the REST API.
        listener: Its socket.
        grpc: The server of the gRPC API.
        grpc_port: Its port.
    """

    rest: uvicorn.Server
    listener: socket.socket
    grpc: grpc.Server
    grpc_port: int

    @property
    def rest_port(self) -> int:
        """The port of the REST API."""
        return self.listener.getsockname()[1]

    def listen(self) -> None:
        """Accepts connections; those of the REST API wait for `run`."""
        self.listener.listen()
        self.grpc.start()

    def run(self) -> None:
        """Answers requests until Ctrl-C or SIGTERM."""
        try:
            self.rest.run([self.listener])
        finally:
            self.grpc.stop(GRACE_PERIOD).wait()


def bind_servers(models: ModelVersions, host: str, port: int, grpc_port: int) -> Servers:
    """Returns servers for these models, which do not answer yet.

    Args:
        models: The models.
        host: Address to listen on.
        port: Port of the REST API; 0 is any free one.
        grpc_port: Port of the gRPC API; 0 is any free one.

    Raises:
        UserError: if a port cannot be used.
    """
    rest, listener = make_rest_server(make_app(models), host, port)
    try:
        address = f"[{host}]" if ":" in host else host
        grpc_server, bound = make_grpc_server(models, f"{address}:{grpc_port}")
    except RuntimeError as error:
        listener.close()
        raise UserError(TAKEN.format(f"{host}:{grpc_port}", "it is taken")) from error
    return Servers(rest, listener, grpc_server, bound)
