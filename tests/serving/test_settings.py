"""Settings of a server: who may reach it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.settings import ServerSettings, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert ServerSettings(host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_other_addresses_need_a_token_unless_told_so(host: str) -> None:
    with pytest.raises(ValueError, match="insecure=true"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, token="secret").token == "secret"
    assert ServerSettings(host=host, insecure=True).insecure


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70_000}, "port is 70000"),
        ({"certificate": "a.pem"}, "belong together"),
        ({"token": ""}, "token"),
        ({"token": "a\nb"}, "token"),
        ({"token": "\u00e9"}, "token"),
        ({"token": "a "}, "token"),
        ({"certificate_key": 3}, "certificate_key is 3"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"max_reading_bytes": 10}, "max_reading_bytes"),
        ({"read_seconds": 0.0}, "read_seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerSettings(**options)


def test_files_of_tls_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ValueError, match=r"none\.pem"):
        ServerSettings(certificate="none.pem", certificate_key="none.pem").ssl_context()


@pytest.mark.parametrize(
    "options",
    [
        {"max_tasks": 0},
        {"batch_size": 1.5},
        {"deadline_seconds": 0.0},
        {"patience": 0.5},
        {"smoothing": 0.0},
        {"retry_seconds": 1.0, "max_retry_seconds": 0.5},
        {"audit_share": 1.5},
        {"window_seconds": -1.0},
        {"seed": -1},
    ],
)
def test_settings_of_the_master_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(options))):
        MasterSettings(**options)
