"""Addresses of servers: HOST:PORT or a URL, and the proxies on the way to them."""

import dataclasses
import ipaddress
import os
import re
from urllib.parse import urlsplit

import requests

from zoo.errors import UserError

_PATTERN = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[\da-fA-F:.]+\]|[^/\s:?#@\[\]]+)"
    r"(?::(?P<port>\d{1,5}))?(?P<prefix>/[^\s?#]*)?"
)
# those that gRPC reads, in this order
_GRPC_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


@dataclasses.dataclass(frozen=True)
class ServerAddress:
    """The address of a server.

    Attributes:
        text: The address as the user wrote it.
        is_secure: Whether the connection is encrypted with TLS.
        host: Name or number of the machine.
        port: Number of the port.
        prefix: Path of the URL in front of that of the API, such as "/models"; may be empty.
    """

    text: str
    is_secure: bool
    host: str
    port: int
    prefix: str

    @property
    def target(self) -> str:
        """The host and the port."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in front of the paths of the API."""
        return f"{'https' if self.is_secure else 'http'}://{self.target}{self.prefix}"

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, where no proxy leads to."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def parse_address(text: str, api: str) -> ServerAddress:
    """Reads HOST:PORT, or a URL of http or https, whose port may be left out.

    Args:
        text: The address.
        api: "REST", whose URL may have a path, or "gRPC".

    Raises:
        UserError: if it is not an address, or has the path of a model.
    """
    match = _PATTERN.fullmatch(text)
    port = match and (match["port"] or {"http": 80, "https": 443}.get(match["scheme"]))
    if not (match and port and 0 < int(port) < 65536):
        example = "localhost:8501" if api == "REST" else "localhost:8500"
        raise UserError(
            f"{text!r} is not an address: expected HOST:PORT, such as {example}, or a URL, such as "
            "https://models.example.org"
        )
    prefix = (match["prefix"] or "").rstrip("/")
    if prefix and api == "gRPC":
        raise UserError(f"{text!r}: gRPC has no paths: expected HOST:PORT, such as localhost:8500")
    if re.search(r"/v1(/|$)", prefix):
        raise UserError(f"{text!r}: expected the address without /v1 and what follows it")
    return ServerAddress(text, match["scheme"] == "https", match["host"], int(port), prefix)


def describe_proxy(address: ServerAddress, api: str) -> str:
    """Describes the proxy on the way to a server, for error messages; empty if there is none.

    The variables of the environment, such as http_proxy and NO_PROXY, tell which it is.
    """
    if address.is_local or requests.utils.should_bypass_proxies(address.url, None):
        return ""
    if api == "gRPC":
        proxy = next((value for name in _GRPC_PROXIES if (value := os.environ.get(name))), None)
    else:
        proxies = requests.utils.get_environ_proxies(address.url)
        proxy = requests.utils.select_proxy(address.url, proxies)
    if not proxy:
        return ""
    # without the password that it may have
    name = urlsplit(proxy).hostname or urlsplit(f"//{proxy}").hostname or "of the environment"
    return f" through the proxy {name} (NO_PROXY={address.host.strip('[]')} goes without it)"
