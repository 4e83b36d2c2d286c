"""A server of a part that fails in whatever way a test says, written without the package's own server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
from aiohttp import web

from cloudedge_pl.serving import PartSpec

HEADER = "Inference-Header-Content-Length"
FAULTS = (
    "hangs",
    "closes",
    "errs",
    "busy",
    "another export",
    "no HTTP body",
    "another shape",
    "another dtype",
    "too few samples",
    "not finite",
    "endless",
)


class FaultyPart:
    """Answers as ``compute`` does while ``mode`` is "good", else with one of :data:`FAULTS`.

    Attributes:
        mode: what it does now.
        calls: requests for inference so far.
        delay_seconds: before every answer.
        most: calls that it had at once.
        says_its_time: whether an answer says how long that was.
    """

    def __init__(
        self, name: str, spec: PartSpec, compute: Callable[[np.ndarray], np.ndarray], manifest_id: str
    ) -> None:
        self.name, self.spec, self.compute, self.manifest_id = name, spec, compute, manifest_id
        self.mode, self.calls, self.delay_seconds = "good", 0, 0.0
        self.says_its_time = False
        self.now = self.most = 0

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        app = web.Application(client_max_size=2**26)
        app.router.add_get(f"/v2/models/{self.name}", self.metadata)
        app.router.add_post(f"/v2/models/{self.name}/infer", self.infer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def metadata(self, request: web.Request) -> web.Response:
        if self.mode == "hangs":
            await asyncio.sleep(60)
        named = {} if not self.manifest_id else {"parameters": {"manifest": self.manifest_id}}
        return web.json_response({"name": self.name, "inputs": [], "outputs": [], **named})

    async def infer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._infer(request)
        finally:
            self.now -= 1

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        body, length = await request.read(), int(request.headers[HEADER])
        (given,) = json.loads(body[:length])["inputs"]
        values = np.frombuffer(body[length:], np.float32).reshape(given["shape"])
        await asyncio.sleep(self.delay_seconds)
        if self.mode == "hangs":
            await asyncio.sleep(60)
        elif self.mode == "closes":
            assert request.transport is not None
            request.transport.abort()
        elif self.mode == "errs":
            return web.Response(status=500, text="a failure")
        elif self.mode == "busy":
            return web.json_response({"error": "full"}, status=503, headers={"Retry-After": "1"})
        elif self.mode == "no HTTP body":
            return web.Response(body=b"\0\1\2", headers={HEADER: "3"})
        elif self.mode == "endless":
            return await self._endless(request)
        return self._answer(self.compute(values))

    def _answer(self, found: np.ndarray) -> web.Response:
        datatype = "FP32"
        if self.mode == "another shape":
            found = found[:, :-1]
        elif self.mode == "another dtype":
            found, datatype = found.astype(np.float64), "FP64"
        elif self.mode == "too few samples":
            found = np.zeros((len(found) + 1, *found.shape[1:]), np.float32)
        elif self.mode == "not finite":
            found = np.full_like(found, np.nan)
        output = {
            "name": self.spec.outputs[0].name,
            "shape": list(found.shape),
            "datatype": datatype,
            "parameters": {"binary_data_size": found.nbytes},
        }
        head = json.dumps({"model_name": self.name, "outputs": [output]}).encode()
        export = "other" if self.mode == "another export" else self.manifest_id
        headers = {HEADER: str(len(head)), "Cloudedge-Manifest": export}
        if self.says_its_time:
            headers["Server-Timing"] = f"queue, total;dur={1e3 * self.delay_seconds}"
        return web.Response(body=head + found.tobytes(), headers=headers)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"0" * 10_000)
        return response
