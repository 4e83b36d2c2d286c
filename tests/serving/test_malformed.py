"""A hundred things over sockets that are no requests: 4xx, or a closed connection where HTTP itself is broken.

Bodies that do not fit the model are in test_model_server.py; here the bytes are written by hand.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
import pytest

from cloudedge_pl.serving import Manifest
from tests.serving.fleets import Network, images, local, run, whole, write_bundle
from tests.serving.test_master import ask, close

PATH = "/v2/models/network/infer"
READ_SECONDS = 0.3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Network]:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def body_of(values: np.ndarray, **changes: object) -> tuple[bytes, int]:
    """A request with binary values, and the length of its JSON object."""
    tensor = {"name": "image", "shape": list(values.shape), "datatype": "FP32", **changes}
    tensor.setdefault("parameters", {"binary_data_size": values.nbytes})
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + values.tobytes(), len(head)


def http(
    body: bytes, *, method: str = "POST", path: str = PATH, version: str = "HTTP/1.1", **headers: object
) -> bytes:
    """The bytes of a request; a header that is None is left out."""
    given = {
        "Host": "here",
        "Content-Length": len(body),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    lines = [f"{method} {path} {version}", *(f"{k}: {v}" for k, v in given.items() if v is not None)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def as_json(data: object, shape: object = (1, 3, 4, 4), datatype: object = "FP32") -> bytes:
    return json.dumps(
        {"inputs": [{"name": "image", "shape": shape, "datatype": datatype, "data": data}]}
    ).encode()


def refused() -> list[bytes]:
    """Sound HTTP that is no request to the model: each gets 4xx."""
    body, length = body_of(images(1))
    flat = images(1).ravel().tolist()
    cases = [
        http(body, Inference_Header_Content_Length=wrong) for wrong in (0, 1, length - 1, length + 1, 10**9)
    ]
    cases += [
        http(body, Inference_Header_Content_Length=wrong)
        for wrong in ("-1", "1e2", "0x40", "²", " ", "9" * 40)
    ]
    cases += [
        http(
            body_of(images(1), **{name: value})[0],
            Inference_Header_Content_Length=body_of(images(1), **{name: value})[1],
        )
        for name, values in {
            "shape": (
                [2, 3, 4, 4],
                [0, 3, 4, 4],
                [-1, 3, 4, 4],
                [1, 48],
                [1.0, 3, 4, 4],
                [True, 3, 4, 4],
                [2**60, 3, 4, 4],
                "1",
                [],
            ),
            "datatype": ("FP64", "INT8", "BYTES", "fp32", 1, None),
            "name": ("images", "", None, ["image"], "cut_0"),
            "parameters": (
                {"binary_data_size": 0},
                {"binary_data_size": -1},
                {"binary_data_size": 191},
                {"binary_data_size": 2**40},
                {"binary_data_size": "192"},
                {"binary_data_size": 192.0},
                {},
                [],
                None,
            ),
        }.items()
        for value in values
    ]
    cases += [
        http(as_json(data))
        for data in (
            flat[:-1],
            [*flat, 0.0],
            ["0"] * 48,
            [None] * 48,
            [True] * 48,
            [[0.0]] * 48 + [[]],
            [float("nan")] * 48,
            [float("inf")] * 48,
            [10**400] * 48,
            [1e39] * 48,
            {},
            0,
            "x" * 48,
        )
    ]
    cases += [
        http(as_json([0.0] * 48, shape)) for shape in (None, {}, [1, 3, 4], [[1, 3, 4, 4]], [1, 3, 4, "4"])
    ]
    cases += [
        http(text)
        for text in (
            b"",
            b"{",
            b"null",
            b"[]",
            b"[" * 50_000,
            b'{"a":' * 50_000,
            b"\xff\xfe",
            b"\0" * 100,
            b"{}",
            b'{"inputs": []}',
        )
    ]
    cases += [
        http(body, path=PATH.replace("network", name)) for name in ("edge", "..", "%2e%2e", "%00", "n" * 3000)
    ]
    cases += [
        http(body, path=path)
        for path in (
            "/",
            "/v2/models",
            "/v1/models/network:predict",
            PATH + "/infer",
            "//",
            PATH + "/versions/2",
        )
    ]
    cases += [http(b"", method=method) for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW")]
    cases += [
        http(body, Inference_Header_Content_Length=length, Content_Encoding=coding)
        for coding in ("gzip", "deflate")
    ]
    cases += [http(b"", Content_Length=2**40), http(b"", Content_Length=2**70)]
    return cases


def broken() -> list[bytes]:
    """What is no HTTP: the server answers 4xx, or closes the connection."""
    body, length = body_of(images(1))
    whole_request = http(body, Inference_Header_Content_Length=length)
    cases = [
        whole_request[:size] for size in (1, 20, 60, len(whole_request) - len(body), len(whole_request) - 1)
    ]
    cases += [http(body, Content_Length=wrong) for wrong in ("-1", "1e3", "ten", "5, 6", "+5")]
    cases += [http(body, version=version) for version in ("HTTP/9.9", "HTP/1.1", "")]
    cases += [http(body, method=method) for method in ("", "PO ST", "P\0ST")]
    cases += [
        http(body, X=f"a{'b' * 100_000}"),
        http(body, path="/" + "a" * 100_000),
        http(body, **{"X\0": "a"}),
    ]
    cases += [http(b"zz\r\nabc", Content_Length=None, Transfer_Encoding="chunked")]
    cases += [http(b"5\r\nabc", Content_Length=None, Transfer_Encoding="chunked")]
    cases += [
        http(body, Transfer_Encoding="chunked"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 5000,
        b"\r\n" * 50,
    ]
    return cases


async def exchanged(url: str, data: bytes, *, ends: bool) -> int | None:
    """Sends bytes, and perhaps closes that direction; returns the status of the answer, None if there is none."""
    parsed = urlsplit(url)
    reader, writer = await asyncio.open_connection(parsed.hostname, parsed.port)
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if ends:
                writer.write_eof()
        with suppress(ConnectionError):
            found = re.match(rb"HTTP/1\.[01] (\d{3}) ", await reader.readline())
            return int(found[1]) if found else None
        return None
    finally:
        writer.close()


def test_a_hundred_things_that_are_no_requests_harm_nobody(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle
    cases = refused()
    assert len(cases) >= 75
    assert len(cases) + len(broken()) >= 100

    async def work() -> None:
        async with whole(manifest, server=local(read_seconds=READ_SECONDS)) as (master, url):

            async def good(seed: int) -> None:
                close((await ask(master, url, images(2, seed)))["logits"], net.cloud(images(2, seed)))

            for at in range(0, len(cases), 10):
                some = cases[at : at + 10]
                *statuses, _, _ = await asyncio.gather(
                    *(exchanged(url, each, ends=False) for each in some), good(at), good(at + 1)
                )
                for case, status in zip(some, statuses, strict=True):
                    assert status in range(400, 500), (status, case[:300])
            answers = [exchanged(url, each, ends=True) for each in broken()]
            *statuses, _, _ = await asyncio.gather(*answers, good(1000), good(1001))
            for case, status in zip(broken(), statuses, strict=True):
                assert status in (None, *range(400, 500)), (status, case[:300])
            assert master.unanswered == 0
            assert all(node.up for node in master.nodes)
            assert master.cloud.awake

    run(work())
