"""Serves an ASGI application on a port."""

import socket
from typing import Any

import uvicorn

from zoo.errors import UserError, one_line

TAKEN = "{} cannot be used: {}: choose another port, or end the program that has it"
GRACE_PERIOD = 5  # seconds for the requests that are being answered when a server ends


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
    # asyncio sends each part of an answer at once only for sockets that name TCP; else the second
    # part waits 40 ms for the acknowledgement of the first
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(TAKEN.format(f"{host}:{port}", one_line(error.strerror))) from error
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,  # that of uvicorn closes the handlers of others
        log_level="error",
        timeout_graceful_shutdown=GRACE_PERIOD,
        lifespan="off",
    )
    return uvicorn.Server(config), listener
