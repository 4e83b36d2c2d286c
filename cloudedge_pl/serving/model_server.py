"""A server of the Open Inference Protocol (v2 over HTTP) for one model: metadata, health, inference and metrics.

Nodes and cloud are such servers over a part of a network; the master is one over the whole network. What a model
computes is none of its business: see :class:`ServedModel`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cloudedge_pl.serving.compression import expanded
from cloudedge_pl.serving.failures import Overloaded, ServingError, retry_after
from cloudedge_pl.serving.metrics import ServerMetrics
from cloudedge_pl.serving.parts import TensorSpec
from cloudedge_pl.serving.protocol import (
    BINARY_EXTENSION,
    HEADER_LENGTH,
    MANIFEST_HEADER,
    TIMING_HEADER,
    VERSION,
    Inference,
    ProtocolError,
    decode_request,
    encode_answer,
)
from cloudedge_pl.serving.settings import ServerSettings

LONG_JSON_BYTES = 65_536
"""A longer JSON object is read in a thread, so that other requests do not wait for it."""

MOST_LISTS = 500_000
"""Lists and objects that a JSON object may have. Python reads it in one go, in which nothing else runs, and these take
longest."""

Infer = Callable[[dict[str, np.ndarray], float], Awaitable[dict[str, np.ndarray]]]
"""Takes the inputs by name, and the seconds that the client gives; returns the outputs by name."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedModel:
    """A model as the server sees it.

    Args:
        name: in the paths of the protocol.
        inputs: what it takes.
        outputs: what it returns.
        infer: computes; the inputs fit ``inputs``. A :class:`~cloudedge_pl.serving.failures.ServingError` or
            :class:`~cloudedge_pl.serving.protocol.ProtocolError` that it raises becomes the answer's status.
        manifest_id: the export that it belongs to; "" for none.
        parameters: further metadata.
        ready: whether it can answer now.
        platform: name of what computes.
    """

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    infer: Infer
    manifest_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    platform: str = "onnxruntime_onnx"

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol has it, and ``parameters``, which has the manifest's id."""
        named = {"manifest": self.manifest_id} if self.manifest_id else {}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": self.platform,
            "inputs": [_described(spec) for spec in self.inputs],
            "outputs": [_described(spec) for spec in self.outputs],
            "parameters": {**named, **self.parameters},
        }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


class ModelServer:
    """The HTTP side of one model. :mod:`cloudedge_pl.serving.listening` gives it an address.

    Args:
        model: what is served.
        settings: token, sizes and times.
        metrics: what ``/metrics`` shows.

    Attributes:
        draining: set when the server is ending; requests for inference get 503 from then on.
        heard: connections on which a request has come.
    """

    def __init__(
        self, model: ServedModel, settings: ServerSettings, metrics: ServerMetrics | None = None
    ) -> None:
        self.model, self.settings = model, settings
        self.metrics = metrics or ServerMetrics()
        self.draining = False
        self.heard: set[object] = set()
        self._held_bytes = 0
        self._authorization = f"Bearer {settings.token}".encode() if settings.token else None

    def application(self) -> web.Application:
        """The routes of the protocol, as an aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=self.settings.max_body_bytes)
        app.router.add_get("/v2", self._server)
        app.router.add_get("/v2/health/live", self._live)
        app.router.add_get("/v2/health/ready", self._ready)
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            app.router.add_get(path, self._metadata)
            app.router.add_get(f"{path}/ready", self._model_ready)
            app.router.add_post(f"{path}/infer", self._infer)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Asks for the token, and turns every error into the protocol's."""
        self.heard.add(request.protocol)
        if self._authorization is not None and not request.path.startswith("/v2/health/"):
            given = request.headers.get("Authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, self._authorization):
                headers = {"WWW-Authenticate": "Bearer"}
                return _error(
                    401, "the token is missing or wrong; send Authorization: Bearer TOKEN.", headers
                )
        try:
            return await handler(request)
        except ProtocolError as error:
            return self._refused(error.status, str(error))
        except ServingError as error:
            seconds = error.retry_after_seconds
            headers = {} if seconds is None else {"Retry-After": retry_after(seconds)}
            return self._refused(error.status, str(error), headers)
        except web.HTTPException as error:
            return _error(error.status, f"{request.method} {request.path}: {error.reason}.")
        except asyncio.CancelledError:
            self.metrics.refused("gone")
            raise
        except Exception as error:
            log.exception("%s %s failed.", request.method, request.path)
            return self._refused(500, f"the server failed: {error!r}")

    def _refused(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self.metrics.refused(status)
        return _error(status, message, headers)

    async def _server(self, request: web.Request) -> web.Response:
        from_package = {"name": "cloudedge_pl", "version": VERSION, "extensions": [BINARY_EXTENSION]}
        return web.json_response({**from_package, "models": [self.model.name]})

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, request: web.Request) -> web.Response:
        return self._readiness({})

    async def _model_ready(self, request: web.Request) -> web.Response:
        self._find(request)
        return self._readiness({"name": self.model.name})

    def _readiness(self, named: dict[str, Any]) -> web.Response:
        ready = not self.draining and self.model.ready()
        return web.json_response({**named, "ready": ready}, status=200 if ready else 503)

    async def _metadata(self, request: web.Request) -> web.Response:
        self._find(request)
        return web.json_response(self.model.metadata())

    async def _metrics(self, request: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _infer(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        if self.draining:
            raise Overloaded("the server is ending; ask another one.", self.settings.drain_seconds)
        self._find(request)
        asked, size, received = await self._asked(request)
        tensors = await self.model.infer(asked.tensors, asked.timeout_seconds)
        answer, length = encode_answer(self.model.name, tensors, self.model.outputs, asked)
        headers = {"Content-Type": "application/json" if length is None else "application/octet-stream"}
        if length is not None:
            headers[HEADER_LENGTH] = str(length)
        if self.model.manifest_id:
            headers[MANIFEST_HEADER] = self.model.manifest_id
        done = time.perf_counter()
        headers[TIMING_HEADER] = f"total;dur={1e3 * (done - received):.3f}"
        self.metrics.answered(done - started, size, len(answer))
        return web.Response(body=answer, headers=headers)

    def _find(self, request: web.Request) -> None:
        name, version = request.match_info["model"], request.match_info.get("version", VERSION)
        if name != self.model.name or version != VERSION:
            raise ProtocolError(
                f"there is no model {name!r} of version {version!r}; this server has {self.model.name!r} of "
                f"version {VERSION}.",
                status=404,
            )

    async def _asked(self, request: web.Request) -> tuple[Inference, int, float]:
        """Receives and reads a request; returns it with the bytes of its body, and the time when these were there."""
        pieces: list[bytes] = []
        try:
            await self._receive(request, pieces)
            received = time.perf_counter()
            body = await self._plain(b"".join(pieces), request.headers.get("Content-Encoding", ""), pieces)
            return await self._decoded(body, request.headers.get(HEADER_LENGTH)), len(body), received
        finally:
            self._held_bytes -= sum(map(len, pieces))

    async def _receive(self, request: web.Request, pieces: list[bytes]) -> None:
        """Receives a body within the limits of size, time and memory.

        Only bytes that have come count as memory: who announces many and sends none keeps nobody out.
        """
        size, settings = 0, self.settings
        self._check_size(request.content_length or 0)
        try:
            async with asyncio.timeout(settings.read_seconds):
                async for piece in request.content.iter_any():
                    pieces.append(piece)
                    self._held_bytes += len(piece)
                    size += len(piece)
                    self._check_size(size)
                    if self._held_bytes > settings.max_reading_bytes:
                        raise Overloaded("too many bodies are being received at once.", 1.0)
        except TimeoutError as error:
            raise ProtocolError(
                f"the body did not arrive within read_seconds={settings.read_seconds:g}.", status=408
            ) from error
        except web.RequestPayloadError as error:
            raise ProtocolError(f"the body cannot be read as its headers say: {error}.") from error

    async def _plain(self, body: bytes, encoding: str, pieces: list[bytes]) -> bytes:
        """The body without its compression, which is undone in a thread, and counted as memory."""
        encoding = encoding.strip().lower()
        if encoding in ("", "identity"):
            return body
        loop, limit = asyncio.get_running_loop(), self.settings.max_body_bytes
        found = await loop.run_in_executor(None, expanded, body, encoding, limit)
        self._check_size(len(found))
        pieces.append(found)
        self._held_bytes += len(found)
        return found

    def _check_size(self, size: int) -> None:
        limit = self.settings.max_body_bytes
        if size > limit:
            raise ProtocolError(
                f"the body is larger than max_body_bytes={limit}; send fewer samples.", status=413
            )

    async def _decoded(self, body: bytes, header_length: str | None) -> Inference:
        model, limit = self.model, self.settings.max_json_bytes
        length = len(body) if header_length is None else min(int_or_zero(header_length[:16]), len(body))
        if length > limit:
            raise ProtocolError(
                f"the JSON object is larger than max_json_bytes={limit}; send binary tensors, or fewer samples.",
                status=413,
            )
        if length <= LONG_JSON_BYTES:
            return decode_request(body, header_length, model.inputs, model.outputs)
        if body.count(b"[", 0, length) + body.count(b"{", 0, length) > MOST_LISTS:
            raise ProtocolError(
                f"the JSON object has more than {MOST_LISTS} lists; send the data flat, or binary."
            )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            None, decode_request, body, header_length, model.inputs, model.outputs
        )


def int_or_zero(text: str) -> int:
    """A number that a header gives; 0 if it is none."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    text = json.dumps({"error": message})
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)
