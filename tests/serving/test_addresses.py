"""Addresses of nodes and cloud: what is a server's, what a file holds, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudedge_pl.serving.addresses import Addresses
from cloudedge_pl.serving.client import Access, model_url, server_address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://pi:8001", ("http", "pi", 8001)),
        ("https://PI/", ("https", "pi", 443)),
        ("http://[::1]:8001", ("http", "::1", 8001)),
        ("http://k\u00fcche:8001", ("http", "k\u00fcche", 8001)),
    ],
)
def test_an_address_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert server_address(url) == expected
    assert model_url(url, "a b").endswith("/v2/models/a%20b")


@pytest.mark.parametrize(
    "url",
    [
        "", "pi", "pi:8001", "ftp://pi:1", "http://", "http://:1", "http://pi:0", "http://pi:70000", "http://pi:x",
        "http://pi:1/v2", "http://pi:1?a=1", "http://pi:1#a", "http://[::1", "http://a b:1", "http://a..b:1",
        "http://pi:1\n",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no URL of a server; write http://HOST:PORT\.$"):
        server_address(url)


def test_two_nodes_at_one_address_are_one() -> None:
    with pytest.raises(ValueError, match="'a' and 'b' are both at 'http://PI/'"):
        Addresses(nodes={"a": "http://pi:80", "b": "http://PI/"}, cloud="http://pi:80")
    assert Addresses(nodes={"a": "http://pi:80", "b": "https://pi:80"}, cloud="http://pi:80").cloud


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no nodes"),
        (b"- http://a:1\n", "has no nodes"),
        (b"nodes: [", "f.yaml: it is not valid YAML"),
        (b"\xff\xfe", "f.yaml, line 1: byte 0 is not UTF-8"),
        (b"nodes: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"nodes: {a: 'http://a:1', a: 'http://b:1'}", "line 1: the key 'a' appears twice"),
        (b"nodes: {1: 'http://a:1'}", "name is 1; it must be text"),
        (b"nodes: ['http://a:1']\nspeed: 3\n", "unknown key of addresses, 'speed'"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else None,
)
def test_a_file_that_holds_no_addresses_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Addresses.of(tmp_path / "f.yaml")


@pytest.mark.parametrize("token", ["", "a\nb", "\u00e9", " a"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token must be printable ASCII") as caught:
        Access(token=token)
    assert repr(token) not in str(caught.value)
