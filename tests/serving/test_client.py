"""The client and servers that lack the binary tensor extension: tensors go as JSON, both ways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.listening import listening
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.protocol import HEADER_LENGTH, TIMING_HEADER, Inference, ProtocolError
from cloudedge_pl.serving.session import OnnxPart, Queue, served_part
from tests.serving.fleets import Network, images, local, run, write_bundle


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


class Small(Plain):
    """A server that takes so many samples at once, and notes how many it got; it refuses those that begin with a 9."""

    extensions = ("binary_tensor_data",)
    most = 3
    got: list[int]

    async def _asked(self, request: web.Request) -> tuple[Inference, int, float]:
        asked = await super()._asked(request)
        (given,) = asked[0].tensors.values()
        self.got.append(len(given))
        if len(given) > self.most or (given[:, 0, 0, 0] == 9).any():
            raise ProtocolError("it refuses this.")
        return asked

    async def _infer(self, request: web.Request) -> web.Response:
        response = await super()._infer(request)
        response.headers[TIMING_HEADER] = "total;dur=10"
        return response


@pytest.mark.parametrize(("most", "later"), [(8, [8]), (3, [2, 2, 2, 2]), (1, [1] * 8)])
def test_a_server_that_refuses_several_samples_gets_fewer(
    tmp_path: Path, most: int, later: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    batch = images(8)

    async def work(client: ModelClient, server: Small, net: Network) -> None:
        server.most = most
        for _ in range(2):
            server.got = []
            reply = await client.call({"image": batch}, 5)
            np.testing.assert_allclose(reply.tensors["cut_0"], net.cut(batch), rtol=1e-5, atol=1e-5)
            answered = [number for number in server.got if number <= most]
            assert sum(answered) == 8
            assert reply.server_seconds == pytest.approx(0.01 * len(answered))
        assert server.got == later
        said = [text for text in caplog.messages if f"at most {later[0]} at once" in text]
        assert len(said) == (most < 8)

    with_small(tmp_path, work)


def test_one_refused_sample_does_not_make_later_batches_small(tmp_path: Path) -> None:
    batch = images(8)
    strange = batch.copy()
    strange[5, 0, 0, 0] = 9

    async def work(client: ModelClient, server: Small, net: Network) -> None:
        server.most = 8
        with pytest.raises(CallError, match="400: it refuses this") as caught:
            await client.call({"image": strange}, 5)
        assert caught.value.kind == "refused"
        assert server.got == [8, 4, 4, 2, 1, 1]
        server.got = []
        await client.call({"image": batch}, 5)
        assert server.got == [8]

    with_small(tmp_path, work)


def with_small(folder: Path, work: Callable[[ModelClient, Small, Network], Awaitable[None]]) -> None:
    """Runs work with a client of a server of an edge part that takes few samples at once."""
    manifest, net = write_bundle(folder)
    spec = manifest.parts["edge"]

    async def serve() -> None:
        queue = Queue(OnnxPart(manifest, "edge", threads=1))
        server = Small(served_part(manifest, "edge", queue), local())
        server.got = []
        async with listening(server) as url, Access().session() as session:
            await work(ModelClient(url, "edge", spec.inputs, spec.outputs, session), server, net)
        queue.close()

    run(serve())
