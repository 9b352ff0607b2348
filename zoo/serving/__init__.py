"""The client of TF Serving, and the files that TF Serving reads."""

from zoo.serving.async_client import AsyncClient
from zoo.serving.client import Client

__all__ = ["AsyncClient", "Client"]
