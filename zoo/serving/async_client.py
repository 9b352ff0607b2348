"""`AsyncClient`: the client for programs that use asyncio, such as web servers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from zoo.serving.client import Client
from zoo.serving.transports.transport import check_concurrency

Result = TypeVar("Result")


class AsyncClient:
    """Client whose methods are awaited, several at the same time if need be.

    The requests are sent by threads, over the connections of one client.

    Args:
        client: The client.
        concurrency: Number of requests in flight, at most 64; further ones wait.

    Raises:
        UserError: if `concurrency` is out of range. The methods raise what those of `Client` do.

    Examples:
        >>> import asyncio, numpy as np, zoo
        >>> from zoo.serving import AsyncClient, Client
        >>> model = zoo.load_pretrained("lenet5", "mnist")
        >>> version = zoo.export(model.model, "saved_models/digits", spec=model.spec)
        >>> async def ask():
        ...     image = {"image": np.zeros((1, 28, 28, 1), "uint8")}
        ...     async with AsyncClient(Client("digits"), concurrency=2) as client:
        ...         return await asyncio.gather(*(client.predict(image) for _ in range(3)))
        >>> len(asyncio.run(ask()))
        3
    """

    def __init__(self, client: Client, *, concurrency: int = 8):
        check_concurrency(concurrency)
        self._client = client
        self._threads = ThreadPoolExecutor(concurrency, "zoo-client")

    async def predict(
        self, inputs: dict[str, Any], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        return await self._run(self._client.predict, inputs, signature)

    async def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """As `Client.classify`."""
        return await self._run(self._client.classify, examples)

    async def regress(self, examples: list[dict[str, Any]]) -> np.ndarray:
        """As `Client.regress`."""
        return await self._run(self._client.regress, examples)

    async def versions(self) -> dict[int, str]:
        """As `Client.versions`."""
        return await self._run(self._client.versions)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, method: Callable[..., Result], *arguments: Any) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, method, *arguments)
