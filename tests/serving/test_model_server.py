"""The server of one model: metadata, health and inference, and what it refuses without harm to others."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import shutil
import subprocess
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest

from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.listening import listening
from cloudedge_pl.serving.model_server import MOST_LISTS, ModelServer, ServedModel
from cloudedge_pl.serving.protocol import HEADER_LENGTH, MANIFEST_HEADER, decode_answer, encode_request
from cloudedge_pl.serving.session import Queue, served_part
from tests.serving.fleets import Network, images, local, part_server, run, write_bundle
from tests.serving.test_protocol import MALFORMED

INFER = "/v2/models/edge/infer"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Network]:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@contextlib.asynccontextmanager
async def edge(manifest: Manifest, **options: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A session, and the address of a node."""
    async with part_server(manifest, "edge", **options) as url, aiohttp.ClientSession() as session:
        yield session, url


def request(number: int = 1) -> tuple[bytes, dict[str, str]]:
    head = {"name": "image", "shape": [number, 3, 4, 4], "datatype": "FP32"}
    values = images(number)
    encoded = json.dumps(
        {
            "inputs": [{**head, "parameters": {"binary_data_size": values.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return encoded + values.tobytes(), {HEADER_LENGTH: str(len(encoded))}


def test_metadata_and_health(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest) as (session, url):
            found = {}
            paths = ("", "/health/live", "/health/ready", "/models/edge", "/models/edge/versions/1/ready")
            for path in paths:
                async with session.get(f"{url}/v2{path}") as response:
                    assert response.status == 200
                    found[path] = await response.json()
            assert "binary_tensor_data" in found[""]["extensions"]
            assert found["/health/live"] == {"live": True}
            assert found["/health/ready"] == {"ready": True}
            assert found["/models/edge/versions/1/ready"] == {"name": "edge", "ready": True}
            model = found["/models/edge"]
            assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 4, 4]}]
            assert model["outputs"] == [{"name": "cut_0", "datatype": "FP32", "shape": [-1, 6]}]
            assert model["parameters"]["manifest"] == manifest.id

    run(work())


@pytest.mark.parametrize("binary", [True, False])
def test_triton_s_client_is_understood(bundle: tuple[Manifest, Network], binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http")
    manifest, net = bundle

    def ask(url: str) -> np.ndarray:
        client = http.InferenceServerClient(url.removeprefix("http://"))
        assert client.is_server_live()
        assert client.is_model_ready("edge")
        assert client.get_model_metadata("edge")["name"] == "edge"
        given = http.InferInput("image", [3, 3, 4, 4], "FP32")
        given.set_data_from_numpy(images(3), binary_data=binary)
        wanted = [http.InferRequestedOutput("cut_0", binary_data=binary)]
        found = client.infer("edge", [given], outputs=wanted, request_id="7")
        assert found.get_response()["id"] == "7"
        client.close()
        return found.as_numpy("cut_0")

    async def work() -> None:
        async with part_server(manifest, "edge") as url:
            np.testing.assert_allclose(
                await asyncio.to_thread(ask, url), net.cut(images(3)), rtol=1e-4, atol=1e-5
            )

    run(work())


def test_answers_are_the_part_s_and_name_the_export(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with edge(manifest) as (session, url):
            body, headers = request(2)
            async with session.post(url + INFER, data=body, headers=headers) as response:
                answer = await response.read()
                assert response.headers[MANIFEST_HEADER] == manifest.id
                values = answer[int(response.headers[HEADER_LENGTH]) :]
            found = np.frombuffer(values, np.float32).reshape(2, -1)
            np.testing.assert_allclose(found, net.cut(images(2)), rtol=1e-4, atol=1e-5)

    run(work())


def hundred_malformed() -> list[tuple[str, bytes, dict[str, str]]]:
    """A hundred bodies and headers that are no request to the edge part."""
    body, headers = request()
    end = int(headers[HEADER_LENGTH])
    cases = [(INFER, json.dumps(each).encode(), {}) for each in MALFORMED.values()]
    cases += [(INFER, body[:size], headers) for size in range(0, len(body), 12)]
    cases += [(INFER, body, {HEADER_LENGTH: str(size)}) for size in range(0, end, 5)]
    cases += [(INFER, body + b"\0" * size, headers) for size in (1, 7, 192)]
    cases += [(INFER, b"\x1f\x8b" + body, {**headers, "Content-Encoding": "gzip"})]
    cases += [(INFER.replace("edge", name), body, headers) for name in ("cloud", "edge%2F", "..", "e" * 2000)]
    cases += [(INFER.replace("infer", "versions/2/infer"), body, headers)]
    return cases[:100]


def test_a_hundred_malformed_requests_get_4xx_while_good_ones_go_on(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle
    cases = hundred_malformed()
    assert len(cases) == 100

    async def work() -> None:
        async with edge(manifest) as (session, url):

            async def bad(path: str, body: bytes, headers: dict[str, str]) -> int:
                async with session.post(url + path, data=body, headers=headers) as response:
                    await response.read()
                    return response.status

            async def fine() -> int:
                body, headers = request()
                async with session.post(url + INFER, data=body, headers=headers) as response:
                    return response.status

            statuses = await asyncio.gather(*(call for case in cases for call in (bad(*case), fine())))
            assert set(statuses[1::2]) <= {200, 503}, "the queue may be full, but nothing else fails"
            assert all(400 <= status < 500 for status in statuses[0::2]), statuses[0::2]
            assert await fine() == 200

    run(work())


def test_large_and_slow_bodies_are_refused(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100

    async def work() -> None:
        async with edge(manifest, max_body_bytes=2000, read_seconds=0.5) as (session, url):
            for data, status in ((b" " * 2001, 413), (pieces(), 413), (slow(), 408)):
                with contextlib.suppress(aiohttp.ClientOSError):  # the server need not read to the end
                    async with session.post(url + INFER, data=data) as response:
                        assert response.status == status
                        assert "error" in await response.json()
            body, headers = request()
            async with session.post(url + INFER, data=body, headers=headers) as response:
                assert response.status == 200

    run(work())


def test_who_announces_much_and_sends_nothing_keeps_nobody_out(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle
    body, headers = request()

    async def work() -> None:
        limits = {"max_body_bytes": 1000, "max_reading_bytes": 1500}
        async with edge(manifest, **limits) as (session, url):
            parsed = urlsplit(url)
            idle = [await asyncio.open_connection(parsed.hostname, parsed.port) for _ in range(5)]
            for _, writer in idle:
                writer.write(f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".encode())
            await asyncio.sleep(0.05)
            async with session.post(url + INFER, data=body, headers=headers) as response:
                assert response.status == 200
            for _, writer in idle[:2]:
                writer.write(b" " * 700)
            await asyncio.sleep(0.05)
            async with session.post(url + INFER, data=body, headers=headers) as response:
                assert response.status == 503
            for _, writer in idle:
                writer.close()
            await asyncio.sleep(0.05)
            async with session.post(url + INFER, data=body, headers=headers) as response:
                assert response.status == 200

    run(work())


def test_compressed_bodies_are_read_within_the_largest_size(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle
    body, headers = request(2)
    large = b" " * 5000

    async def work() -> None:
        async with edge(manifest, max_body_bytes=4000) as (session, url):
            for data, encoding, status in (
                (gzip.compress(body), "gzip", 200),
                (zlib.compress(body), "Deflate", 200),
                (body, "identity", 200),
                (gzip.compress(large), "gzip", 413),
                (body, "gzip", 400),
                (gzip.compress(body)[:-9], "gzip", 400),
                (body, "br", 415),
            ):
                given = {**headers, "Content-Encoding": encoding}
                async with session.post(url + INFER, data=data, headers=given) as response:
                    assert response.status == status, encoding
                    answer = await response.read()
                    if status == 200:
                        found = decode_answer(
                            answer, response.headers[HEADER_LENGTH], manifest.parts["edge"].outputs
                        )
                        np.testing.assert_allclose(found.tensors["cut_0"], net.cut(images(2)), rtol=1e-5)

    run(work())


def test_json_that_would_keep_others_waiting_is_refused(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle
    lists = b'{"inputs":[' + b"[]," * (MOST_LISTS + 1) + b"[]]}"

    async def work() -> None:
        async with edge(manifest) as (session, url), session.post(url + INFER, data=lists) as response:
            assert response.status == 400
            assert "lists" in (await response.json())["error"]
        async with edge(manifest, max_json_bytes=500) as (session, url):
            for (data, headers), status in (((b" " * 501, {}), 413), (request(5), 200)):
                async with session.post(url + INFER, data=data, headers=headers) as response:
                    assert response.status == status

    run(work())


def test_who_says_nothing_is_hung_up_on(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest, read_seconds=0.05) as (_, url):
            parsed = urlsplit(url)
            for said in (b"", f"POST {INFER} HTTP/1.1\r\nHost".encode()):
                reader, writer = await asyncio.open_connection(parsed.hostname, parsed.port)
                writer.write(said)
                assert await asyncio.wait_for(reader.read(), 30) == b""
                writer.close()
            reader, writer = await asyncio.open_connection(parsed.hostname, parsed.port)
            for _ in range(2):  # whoever has asked may think before the next request
                writer.write(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b"200" in await reader.readline()
                await reader.readuntil(b"}")
                await asyncio.sleep(0.2)
            writer.close()

    run(work())


def test_clients_that_speak_no_http_leave_the_log_empty(
    bundle: tuple[Manifest, Network], caplog: pytest.LogCaptureFixture
) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest) as (_, url):
            parsed = urlsplit(url)
            for head in (b"GET", b"POST /v2 HTTP/1.1\r\nContent-Length: x", b"GET /v2 HTTP/1.1\r\nX : y"):
                reader, writer = await asyncio.open_connection(parsed.hostname, parsed.port)
                writer.write(head + b"\r\nHost: a\r\n\r\n")
                assert b" 400 " in await reader.read()
                writer.close()

    run(work())
    assert not caplog.records


def test_other_paths_and_methods_get_an_error_in_json(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest) as (session, url):
            for method, path, status in (
                ("GET", "/", 404),
                ("GET", INFER, 405),
                ("PUT", INFER, 405),
                ("GET", "/v2/models/cloud", 404),
                ("POST", "/v2/models/edge/versions/2/infer", 404),
            ):
                async with session.request(method, url + path) as response:
                    assert response.status == status
                    assert "error" in await response.json()

    run(work())


def test_the_token_is_asked_for_except_by_health_checks(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest, token="secret") as (session, url):
            for path, given, status in (
                ("/v2/models/edge", None, 401),
                ("/v2/models/edge", "Bearer other", 401),
                ("/v2/models/edge", "Bearer sécret", 401),
                ("/metrics", None, 401),
                ("/v2/health/live", None, 200),
                ("/v2/models/edge", "Bearer secret", 200),
            ):
                headers = {} if given is None else {"Authorization": given}
                async with session.get(url + path, headers=headers) as response:
                    assert response.status == status
            spec = manifest.parts["edge"]
            access = Access(token="secret").session()
            await ModelClient(url, "edge", spec.inputs, spec.outputs, access).hello(60)
            await access.close()

    run(work())


def held(manifest: Manifest, max_waiting: int) -> tuple[ServedModel, threading.Event, Queue]:
    """The edge part of a node that computes nothing until it is told to."""
    go = threading.Event()

    def compute(inputs: Any) -> dict[str, np.ndarray]:
        assert go.wait(120)
        return {"cut_0": np.zeros((len(inputs["image"]), 6), np.float32)}

    queue = Queue(compute, max_waiting=max_waiting)
    return served_part(manifest, "edge", queue), go, queue


def test_a_full_queue_refuses_with_retry_after(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        model, go, queue = held(manifest, 3)
        async with listening(ModelServer(model, local())) as url, aiohttp.ClientSession() as session:
            body, headers = request()

            async def ask() -> tuple[int, str | None]:
                async with session.post(url + INFER, data=body, headers=headers) as response:
                    return response.status, response.headers.get("Retry-After")

            first = [asyncio.create_task(ask()) for _ in range(3)]
            while queue.waiting < 3:
                await asyncio.sleep(0.001)
            assert await ask() == (503, "1")
            go.set()
            assert [status for status, _ in await asyncio.gather(*first)] == [200] * 3
            assert (await ask())[0] == 200
        queue.close()

    run(work())


def test_a_client_that_goes_away_leaves_the_queue(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        model, go, queue = held(manifest, 8)
        async with listening(ModelServer(model, local())) as url, aiohttp.ClientSession() as session:
            body, headers = request()
            asked = [
                asyncio.create_task(session.post(url + INFER, data=body, headers=headers)) for _ in range(4)
            ]
            while queue.waiting < 4:
                await asyncio.sleep(0.001)
            for task in asked:
                task.cancel()
            while queue.waiting > 1:  # one is being computed
                await asyncio.sleep(0.001)
            go.set()
            while queue.waiting:
                await asyncio.sleep(0.001)
        queue.close()

    run(work())


def test_requests_are_finished_when_the_server_ends(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        model, go, queue = held(manifest, 8)
        server = ModelServer(model, local(drain_seconds=60.0))
        async with aiohttp.ClientSession() as session:
            async with listening(server) as url:
                body, headers = request()
                asked = asyncio.create_task(session.post(url + INFER, data=body, headers=headers))
                while not queue.waiting:
                    await asyncio.sleep(0.001)
                asyncio.get_running_loop().call_later(0.2, go.set)
            assert (await asked).status == 200
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"{url}/v2/health/live")
        queue.close()

    run(work())


def test_a_timeout_of_the_request_is_kept(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        model, go, queue = held(manifest, 8)
        async with listening(ModelServer(model, local())) as url, aiohttp.ClientSession() as session:
            body, length = encode_request(
                {"image": images(1)}, manifest.parts["edge"].inputs, parameters={"timeout": 10_000}
            )
            async with session.post(url + INFER, data=body, headers={HEADER_LENGTH: str(length)}) as response:
                assert response.status == 504
            go.set()
        queue.close()

    run(work())


def test_the_client_sees_another_export_and_another_model(
    bundle: tuple[Manifest, Network], tmp_path: Path
) -> None:
    manifest, _ = bundle
    other, _ = write_bundle(tmp_path / "other", seed=1)
    spec = manifest.parts["edge"]

    async def work() -> None:
        async with edge(other) as (session, url):
            for named, parts, wrong in (
                (manifest.id, spec, "the export"),
                ("", manifest.parts["cloud"], "has the inputs"),
            ):
                client = ModelClient(url, "edge", parts.inputs, parts.outputs, session, manifest_id=named)
                with pytest.raises(CallError, match=wrong) as caught:
                    await client.hello(60)
                assert caught.value.kind == "rubbish"
            client = ModelClient(url, "edge", spec.inputs, spec.outputs, session, manifest_id=manifest.id)
            with pytest.raises(CallError, match="the export"):
                await client.infer({"image": images(1)}, 60)

    run(work())


def test_a_server_that_does_not_name_its_export_does_unless_it_must(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle
    spec = manifest.parts["edge"]

    async def compute(inputs: dict[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        return {"cut_0": net.cut(inputs["image"])}

    async def work() -> None:
        model = ServedModel(name="edge", inputs=spec.inputs, outputs=spec.outputs, infer=compute)
        async with listening(ModelServer(model, local())) as url, aiohttp.ClientSession() as session:
            for required in (False, True):
                client = ModelClient(
                    url,
                    "edge",
                    spec.inputs,
                    spec.outputs,
                    session,
                    manifest_id=manifest.id,
                    require_manifest=required,
                )
                if required:
                    with pytest.raises(CallError, match="the export None"):
                        await client.hello(60)
                else:
                    await client.hello(60)
                    found = await client.infer({"image": images(2)}, 60)
                    np.testing.assert_array_equal(found["cut_0"], net.cut(images(2)))

    run(work())


def test_metrics_count_what_happened(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with edge(manifest) as (session, url):
            body, headers = request()
            for _ in range(3):
                (await session.post(url + INFER, data=body, headers=headers)).close()
            (await session.post(url + INFER, data=b"{", headers=headers)).close()
            async with session.get(f"{url}/metrics") as response:
                lines = (await response.text()).splitlines()
            assert 'cloudedge_requests_total{status="200"} 3.0' in lines
            assert 'cloudedge_requests_total{status="400"} 1.0' in lines
            assert f"cloudedge_received_bytes_total {3.0 * len(body)}" in lines

    run(work())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate by openssl")
def test_tls_is_spoken_with_a_certificate(bundle: tuple[Manifest, Network], tmp_path: Path) -> None:
    manifest, net = bundle
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    ends = ["-keyout", key, "-out", certificate, "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make.split(), *ends], check=True, capture_output=True)
    spec = manifest.parts["edge"]

    async def work() -> None:
        async with part_server(manifest, "edge", certificate=certificate, certificate_key=key) as url:
            assert url.startswith("https://")
            for authority in (certificate, None):
                session = Access(authority=authority).session()
                client = ModelClient(url, "edge", spec.inputs, spec.outputs, session, manifest_id=manifest.id)
                if authority is None:
                    with pytest.raises(CallError, match="is not reached"):
                        await client.hello(60)
                else:
                    await client.hello(60)
                    found = await client.infer({"image": images(1)}, 60)
                    np.testing.assert_allclose(found["cut_0"], net.cut(images(1)), rtol=1e-4, atol=1e-5)
                await session.close()

    run(work())
