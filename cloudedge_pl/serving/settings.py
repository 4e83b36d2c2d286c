"""What a user says about a server: frozen dataclasses that check themselves."""

from __future__ import annotations

import ipaddress
import math
import ssl
from dataclasses import dataclass

from cloudedge_pl.errors import require_fields, require_positive, require_range


def require_token(owner: str, token: str | None) -> None:
    """Checks that a token can be sent in a header of HTTP; None is none.

    Raises:
        ValueError: if it cannot; the message does not show it.
    """
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise ValueError(
            f"{owner}: token must be printable ASCII, not empty, without blanks around it; null is no token."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where a server listens, who may ask it, and how large a request may be.

    Args:
        host: the address to listen on; only this machine reaches the default.
        port: 0 takes a free one.
        token: clients must send it as ``Authorization: Bearer TOKEN``, except to the health checks; None asks for none.
        certificate: PEM file, for TLS; with ``certificate_key``.
        certificate_key: PEM file of the certificate's key.
        insecure: whether an address that other machines reach may go without a token.
        max_body_bytes: largest body of a request.
        max_json_bytes: largest JSON object of a request; what is read as JSON keeps everybody waiting, binary does not.
        max_reading_bytes: of the bodies that are being received and read, together; further requests get 503.
        read_seconds: time in which a body must have arrived; a connection without a request is closed after it as well.
        drain_seconds: time that requests have to finish after SIGTERM or Ctrl-C.

    Raises:
        ValueError: if a value is out of range, a half of the TLS files is missing, or the server would be open to other
            machines without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    insecure: bool = False
    max_body_bytes: int = 67_108_864
    max_json_bytes: int = 16_777_216
    max_reading_bytes: int = 268_435_456
    read_seconds: float = 10.0
    drain_seconds: float = 10.0

    def __post_init__(self) -> None:
        require_fields("server", self)
        require_range("server", 0, 65_535, whole=True, port=self.port)
        require_range("server", 1, math.inf, whole=True, open_high=True, max_body_bytes=self.max_body_bytes)
        require_range("server", 1, math.inf, whole=True, open_high=True, max_json_bytes=self.max_json_bytes)
        require_range(
            "server", self.max_body_bytes, math.inf, open_high=True, max_reading_bytes=self.max_reading_bytes
        )
        require_positive("server", read_seconds=self.read_seconds)
        require_range("server", 0, math.inf, open_high=True, drain_seconds=self.drain_seconds)
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError(
                "server: certificate and certificate_key belong together; give both, or neither."
            )
        require_token("server", self.token)
        if self.token is None and not is_loopback(self.host) and not self.insecure:
            raise ValueError(
                f"server: host is {self.host!r}, which other machines reach, and there is no token; give token=..., "
                "listen on 127.0.0.1, or write insecure=true if the network is to be trusted."
            )

    def ssl_context(self) -> ssl.SSLContext | None:
        """The server's side of TLS; None without a certificate.

        Raises:
            ValueError: if a file cannot be read.
        """
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # Without a password OpenSSL would ask for that of an encrypted key, and wait.
            context.load_cert_chain(self.certificate, self.certificate_key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                f"server: certificate {self.certificate} and certificate_key {self.certificate_key} cannot be used "
                f"({error}); give PEM files of a certificate and its key, without a password."
            ) from error
        return context
