"""The client of TF Serving, and the files that TF Serving reads."""

from zoo.serving.async_client import AsyncClient
from zoo.serving.client import Client
from zoo.serving.request_log import RequestLog

__all__ = ["AsyncClient", "Client", "RequestLog"]
