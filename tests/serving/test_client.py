"""The client and servers that lack the binary tensor extension: tensors go as JSON, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.listening import listening
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.protocol import HEADER_LENGTH
from cloudedge_pl.serving.session import OnnxPart, Queue, served_part
from tests.serving.fleets import images, local, run, write_bundle


class Plain(ModelServer):
    """A server that lists these extensions, and notes the form of every request."""

    extensions: object = ()

    async def _server(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "other", "version": "1", "extensions": self.extensions})

    async def _infer(self, request: web.Request) -> web.Response:
        self.binary = HEADER_LENGTH in request.headers
        return await super()._infer(request)


@pytest.mark.parametrize(
    ("extensions", "binary"),
    [([], False), (["model_repository"], False), (["binary_tensor_data", "x"], True), (None, True)],
)
def test_tensors_go_as_json_where_the_server_knows_nothing_else(
    tmp_path: Path, extensions: object, binary: bool
) -> None:
    manifest, net = write_bundle(tmp_path)
    spec, batch = manifest.parts["edge"], images(300)

    async def work() -> None:
        queue = Queue(OnnxPart(manifest, "edge", threads=1))
        server = Plain(served_part(manifest, "edge", queue), local())
        server.extensions = extensions
        async with listening(server) as url, Access().session() as session:
            client = ModelClient(url, "edge", spec.inputs, spec.outputs, session, manifest_id=manifest.id)
            await client.hello(5)
            found = await client.infer({"image": batch}, 5)
        queue.close()
        assert server.binary is binary
        np.testing.assert_allclose(found["cut_0"], net.cut(batch), rtol=1e-5, atol=1e-5)

    run(work())
