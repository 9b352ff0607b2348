"""Addresses of servers."""

import pytest

from zoo.errors import UserError
from zoo.serving.transports.addresses import describe_proxy, parse_address


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:8501", "http://localhost:8501"),
        ("[::1]:8501", "http://[::1]:8501"),
        ("http://one:81/", "http://one:81"),
        ("https://models.example.org/team/a/", "https://models.example.org:443/team/a"),
        ("http://one", "http://one:80"),
        ("one:8501/prefix", "http://one:8501/prefix"),
    ],
)
def test_addresses(text, url):
    assert parse_address(text, "REST").url == url
    if not url.endswith(("a", "prefix")):
        assert parse_address(text, "gRPC").target == url.partition("://")[2]


@pytest.mark.parametrize(
    ("text", "api", "message"),
    [
        ("localhost", "REST", "is not an address: expected HOST:PORT, such as localhost:8501"),
        ("localhost:grpc", "gRPC", "is not an address: expected HOST:PORT, such as localhost:8500"),
        ("localhost:99999", "REST", "is not an address"),
        ("ftp://one:21", "REST", "is not an address"),
        ("http://user:password@one", "REST", "is not an address"),
        ("", "REST", "'' is not an address"),
        ("one:8500/models", "gRPC", "gRPC has no paths: expected HOST:PORT"),
        ("http://one:8501/v1/models/cnn:predict", "REST", "expected the address without /v1"),
    ],
)
def test_what_is_not_an_address(text, api, message):
    with pytest.raises(UserError, match=message):
        parse_address(text, api)


def test_a_proxy_is_named_where_it_is_used(monkeypatch):
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "grpc_proxy",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)

    def describe(text, api="REST"):
        return describe_proxy(parse_address(text, api), api)

    assert describe("one:8501") == ""
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", ".inside.example,two")
    assert describe("one:8501") == " through the proxy proxy (NO_PROXY=one goes without it)"
    assert describe("one:8500", "gRPC") == describe("one:8501")
    for text in ("localhost:8501", "127.0.0.2:8501", "[::1]:8501", "two:1", "a.inside.example:1"):
        assert describe(text) == "", text
    assert describe("https://one") == "", "its variable is https_proxy"
