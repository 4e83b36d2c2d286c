"""A client of one model of a server of the Open Inference Protocol, ours or another's; every call has a deadline."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import numpy as np

from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.parts import TensorSpec
from cloudedge_pl.serving.protocol import (
    BINARY_EXTENSION,
    HEADER_LENGTH,
    MANIFEST_HEADER,
    TIMING_HEADER,
    ProtocolError,
    decode_answer,
    encode_request,
)
from cloudedge_pl.serving.settings import require_token

SPARE_BYTES = 65_536
"""An answer may be longer than its tensors by this, for the JSON object and an error's text."""

JSON_FACTOR = 8
"""A tensor in JSON has at most so many times the bytes of its values."""

LARGEST_METADATA_BYTES = 2**24
LARGE_BODY_BYTES = 2**20
"""A larger body is sent in pieces, so that the event loop is not held up."""

PORTS = {"http": 80, "https": 443}
"""Schemes of addresses, and their ports."""

_DURATION = re.compile(r"\bdur=([0-9]{1,12}(?:\.[0-9]{1,12})?)")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How servers are spoken to.

    Args:
        token: sent as ``Authorization: Bearer TOKEN``; None sends none.
        authority: PEM file of the authority that signed the servers' certificates; None takes the system's.

    Raises:
        ValueError: if the token cannot be sent in a header.
    """

    token: str | None = None
    authority: str | None = None

    def __post_init__(self) -> None:
        require_token("access", self.token)

    def session(self) -> aiohttp.ClientSession:
        """Opens a pool of connections; to be called in the event loop, and closed there.

        Raises:
            ValueError: if the authority's file cannot be read.
        """
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        try:
            context = ssl.create_default_context(cafile=self.authority) if self.authority else True
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"access: authority {self.authority} cannot be read: {error}.") from error
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=60.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )


@dataclass(frozen=True, eq=False)
class Reply:
    """What a server returned.

    Args:
        tensors: outputs by name [B, ...].
        server_seconds: that the server took for it, waiting and computing; 0 if it does not say.
    """

    tensors: dict[str, np.ndarray]
    server_seconds: float

    def joined(self, other: Reply) -> Reply:
        """This reply and one to the samples that come after it, as one."""
        tensors = {name: np.concatenate([array, other.tensors[name]]) for name, array in self.tensors.items()}
        return Reply(tensors, self.server_seconds + other.server_seconds)


class ModelClient:
    """Calls one model of one server.

    Args:
        url: of the server, without a path: ``http://host:port``.
        model: name of the model.
        inputs: what it takes.
        outputs: what it must return.
        session: of :meth:`Access.session`; it may be shared.
        manifest_id: the export that the model must belong to, if the server says; "" compares nothing.
        require_manifest: whether a server that does not say is refused.

    Raises:
        ValueError: if the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str,
        model: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        session: aiohttp.ClientSession,
        *,
        manifest_id: str = "",
        require_manifest: bool = False,
    ) -> None:
        self.url, self.model = url.rstrip("/"), model
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.sample_bytes = sum(spec.sample_bytes for spec in self.inputs)
        self._answer_bytes = sum(spec.sample_bytes for spec in self.outputs)
        self._session = session
        self._manifest_id, self._required = manifest_id, require_manifest
        self._model_url = model_url(self.url, model)
        self._infer_url = f"{self._model_url}/infer"
        self._server_url = self._model_url.rpartition("/models/")[0]
        self._binary = True
        self._warned = False
        self._most_samples: float = math.inf

    async def hello(self, timeout_seconds: float) -> None:
        """Asks for the model's metadata, and compares them with what is expected; and how tensors are sent.

        A server that does not list the binary tensor extension gets, and gives, tensors in JSON.

        Raises:
            CallError: if there is no answer, or it is another model or export.
        """
        said = await fetch(self._session, self._model_url, timeout_seconds)
        parameters = said.get("parameters")
        self._compare(parameters.get("manifest") if isinstance(parameters, dict) else None)
        for kind, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            listed = said.get(kind)
            if not listed:  # a server may describe nothing
                continue
            found = {each.get("name"): each.get("datatype") for each in listed if isinstance(each, dict)}
            expected = {spec.name: spec.datatype for spec in specs}
            if found != expected:
                raise CallError(
                    f"{self.url}: model {self.model!r} has the {kind} {found}, not {expected}", "rubbish"
                )
        self._binary = await self._takes_binary(timeout_seconds)

    async def _takes_binary(self, timeout_seconds: float) -> bool:
        try:
            extensions = (await fetch(self._session, self._server_url, timeout_seconds)).get("extensions")
        except CallError as error:
            if error.kind in ("slow", "away"):
                raise
            return True  # a server of one model may not describe itself
        return not isinstance(extensions, list) or BINARY_EXTENSION in extensions

    async def infer(self, tensors: Mapping[str, np.ndarray], timeout_seconds: float) -> dict[str, np.ndarray]:
        """Sends inputs [B, ...] by name, and returns the outputs [B, ...] by name; see :meth:`call`."""
        return (await self.call(tensors, timeout_seconds)).tensors

    async def call(self, tensors: Mapping[str, np.ndarray], timeout_seconds: float) -> Reply:
        """Sends inputs [B, ...] by name.

        A server that refuses several samples gets half as many at once; if it takes those, it gets no more later on.

        Raises:
            CallError: if there is no usable answer within the time.
        """
        batch = len(tensors[self.inputs[0].name])
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._divided(tensors, batch)
        except TimeoutError as error:
            raise CallError(f"{self.url} did not answer within {timeout_seconds:.3g} s", "slow") from error

    async def _divided(self, tensors: Mapping[str, np.ndarray], batch: int) -> Reply:
        """Sends a batch as the server takes it: at once, or in two halves, one after the other."""
        if batch <= self._most_samples:
            try:
                return await self._call(tensors, batch)
            except CallError as error:
                if error.kind != "refused" or batch == 1:
                    raise
                refused = error
        else:
            refused = None
        half = (batch + 1) // 2
        first = await self._divided({name: array[:half] for name, array in tensors.items()}, half)
        second = await self._divided({name: array[half:] for name, array in tensors.items()}, batch - half)
        if refused is not None and half < self._most_samples:
            self._most_samples = half
            log.warning("%s; it gets at most %d at once from now on.", refused, half)
        return first.joined(second)

    async def _call(self, tensors: Mapping[str, np.ndarray], batch: int) -> Reply:
        """Sends a batch in one request."""
        body, length = encode_request(tensors, self.inputs, binary=self._binary)
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {HEADER_LENGTH: str(length), "Content-Type": "application/octet-stream"}
        answer, said = await self._post(body, headers, batch)
        try:
            found = decode_answer(answer, said.get(HEADER_LENGTH), self.outputs, batch).tensors
        except ProtocolError as error:
            raise CallError(f"{self.url} answered what is no answer: {error}", "rubbish") from error
        return Reply(found, _server_seconds(said.get(TIMING_HEADER, "")))

    async def _post(
        self, body: bytes, headers: dict[str, str], batch: int
    ) -> tuple[bytes, Mapping[str, str]]:
        """Posts a body; once more if a connection that was kept open had been closed by the server."""
        for again in (True, False):
            try:
                data = body if len(body) < LARGE_BODY_BYTES else io.BytesIO(body)
                async with self._session.post(
                    self._infer_url, data=data, headers=headers, allow_redirects=False
                ) as response:
                    answer = await self._read(response, self._most_bytes(batch))
                    if response.status != 200:
                        raise CallError(
                            f"{self.url} answered {_reason(response, answer)}", _kind(response.status)
                        )
                    self._compare(response.headers.get(MANIFEST_HEADER))
                    return answer, response.headers
            except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
                if not again:
                    raise CallError(f"{self.url} closed the connection: {error}", "away") from error
            except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
                raise CallError(f"{self.url} does not speak HTTP: {error}", "rubbish") from error
            except (aiohttp.ClientError, OSError) as error:
                raise CallError(f"{self.url} is not reached: {error}", "away") from error
        raise AssertionError("unreachable")

    def _most_bytes(self, batch: int) -> int:
        """That an answer may have."""
        return SPARE_BYTES + (2 if self._binary else JSON_FACTOR) * batch * self._answer_bytes

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """Reads an answer that may have ``limit`` bytes."""
        size = response.content_length
        if size is not None and size <= limit:
            return await response.read()
        found = b""
        while size is None and len(found) <= limit and (more := await response.content.readany()):
            found += more
        if size is None and len(found) <= limit:
            return found
        response.close()
        raise CallError(f"{self.url} answered more than {limit} bytes", "rubbish")

    def _compare(self, found: str | None) -> None:
        if found == self._manifest_id or not self._manifest_id:
            return
        if found is not None or self._required:
            raise CallError(
                f"{self.url} serves the export {str(found)[:12]}, not {self._manifest_id[:12]}; give all servers the "
                "same bundle",
                "rubbish",
            )
        if not self._warned:
            self._warned = True
            log.warning(
                "%s does not say which export it serves; names and shapes are compared only.", self.url
            )


def _server_seconds(said: str) -> float:
    """The time that a Server-Timing header gives; 0 without one."""
    found = _DURATION.search(said)
    return float(found[1]) / 1e3 if found else 0.0


def model_url(url: str, model: str) -> str:
    """The address of a model's metadata.

    Raises:
        ValueError: if ``url`` is none of HTTP.
    """
    server_address(url)
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.netloc}/v2/models/{quote(model, safe='')}"


def server_address(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a server.

    Raises:
        ValueError: if ``url`` is none of HTTP, or has a path or a query.
    """
    wrong = ValueError(f"the address {url!r} is no URL of a server; write http://HOST:PORT.")
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname or "", parsed.port
        host.encode("idna")
    except ValueError as error:  # of the port, of brackets, of a host that no name server could know
        raise wrong from error
    rest = (parsed.path.strip("/"), parsed.query, parsed.fragment)
    if (
        parsed.scheme not in PORTS
        or not host
        or port == 0
        or any(rest)
        or " " in url
        or not url.isprintable()
    ):
        raise wrong
    return parsed.scheme, host, port or PORTS[parsed.scheme]


async def fetch(session: aiohttp.ClientSession, url: str, timeout_seconds: float) -> dict[str, Any]:
    """Gets a JSON object.

    Raises:
        CallError: if there is none within the time.
    """
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.get(url, allow_redirects=False) as response,
        ):
            body = b""
            while len(body) < LARGEST_METADATA_BYTES and (more := await response.content.readany()):
                body += more
            if response.status != 200:
                raise CallError(f"{url} answered {_reason(response, body)}", _kind(response.status))
            said = json.loads(body)
    except TimeoutError as error:
        raise CallError(f"{url} did not answer within {timeout_seconds:.3g} s", "slow") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CallError(f"{url} is not reached: {error}", "away") from error
    except (ValueError, RecursionError) as error:
        raise CallError(f"{url} answered no JSON: {error}", "rubbish") from error
    if not isinstance(said, dict):
        raise CallError(f"{url} answered no JSON object", "rubbish")
    return said


def _kind(status: int) -> str:
    if status in (429, 503):
        return "busy"
    if status in (400, 413, 422):
        return "refused"
    return "away" if status >= 500 else "rubbish"


def _reason(response: aiohttp.ClientResponse, body: bytes) -> str:
    """The status of an answer, and the error's text if there is one."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = response.reason
    return f"{response.status}: {str(said)[:300]}"
