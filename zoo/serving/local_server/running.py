"""Starts and stops the two APIs of `zoo serve`, and follows the folder of exports."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

from zoo.errors import UserError, one_line
from zoo.serving.local_server.grpc_service import start_grpc_server
from zoo.serving.local_server.model_versions import ModelVersions
from zoo.serving.local_server.rest_app import make_app

_MAX_CONNECTIONS = 256
_GRACE_PERIOD = 5  # seconds for the requests that are being answered when the server ends


def make_rest_server(app: Any, host: str, port: int) -> tuple[uvicorn.Server, socket.socket]:
    """Returns a server for an ASGI application, and its socket, which is bound.

    Args:
        app: The application.
        host: Address to listen on.
        port: Number of the port; 0 is any free one.

    Raises:
        UserError: if the port cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"{host}:{port} cannot be used: {one_line(error)}: choose another port, or end the "
            "program that has it"
        ) from error
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_PERIOD,
        lifespan="off",
    )
    return uvicorn.Server(config), listener


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


@contextlib.contextmanager
def open_servers(
    models: ModelVersions, host: str, port: int, grpc_port: int
) -> Iterator[tuple[uvicorn.Server, socket.socket, int]]:
    """Context manager that starts the gRPC API, and prepares the REST API.

    Args:
        models: The models.
        host: Address to listen on.
        port: Port of the REST API; 0 is any free one.
        grpc_port: Port of the gRPC API; 0 is any free one.

    Yields:
        The REST server, its socket, and the port of the gRPC API.

    Raises:
        UserError: if a port cannot be used.
    """
    server, listener = make_rest_server(make_app(models), host, port)
    with listener:
        try:
            address = f"[{host}]" if ":" in host else host
            grpc_server, grpc_port = start_grpc_server(models, f"{address}:{grpc_port}")
        except RuntimeError as error:
            raise UserError(
                f"--grpc_port={grpc_port} cannot be used: choose another port, or end the program "
                "that has it"
            ) from error
        try:
            yield server, listener, grpc_port
        finally:
            grpc_server.stop(_GRACE_PERIOD).wait()
