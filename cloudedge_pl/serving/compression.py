"""Compressed bodies of requests: undone within a size, so that a small body cannot become a large one."""

from __future__ import annotations

import zlib

from cloudedge_pl.serving.protocol import ProtocolError

ENCODINGS = ("gzip", "deflate")
"""Values of ``Content-Encoding`` that are understood; ``deflate`` is zlib's format."""

_EITHER_HEADER = 32 + zlib.MAX_WBITS


def expanded(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its compression. It lets other threads run meanwhile.

    Args:
        body: of the HTTP request.
        encoding: value of ``Content-Encoding``.
        limit: bytes that it may have; what is beyond by more than one is never made.

    Returns:
        The body; longer than ``limit`` if it is too large.

    Raises:
        ProtocolError: if the encoding is unknown, or the body is not of it.
    """
    if encoding not in ENCODINGS:
        raise ProtocolError(
            f"Content-Encoding is {encoding[:32]!r}; send {' or '.join(ENCODINGS)}, or no compression.",
            status=415,
        )
    machine = zlib.decompressobj(_EITHER_HEADER)
    try:
        found = machine.decompress(body, limit + 1)
    except zlib.error as error:
        raise ProtocolError(f"the body is not {encoding}, as its headers say: {error}.") from error
    if len(found) <= limit and not machine.eof:
        raise ProtocolError(f"the body is not {encoding}, as its headers say: its end is missing.")
    return found
