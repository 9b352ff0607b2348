"""The client of TF Serving, and the files that TF Serving reads.

The public names are imported when they are first used: most commands need no client.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.serving.async_client import AsyncClient
    from zoo.serving.client import Client
    from zoo.serving.request_log import RequestLog

_PUBLIC = {
    "AsyncClient": "zoo.serving.async_client",
    "Client": "zoo.serving.client",
    "RequestLog": "zoo.serving.request_log",
}

__all__ = ["AsyncClient", "Client", "RequestLog"]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
