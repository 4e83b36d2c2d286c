"""Servers that `cloudedge ask` meets: a small network that works, and others that answer nonsense; in a thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from cloudedge_pl.serving import Manifest
from tests.serving.fleets import CLASSES, SHAPE, whole

IMAGE = {"name": "image", "datatype": "FP32", "shape": [-1, *SHAPE]}
OUTPUTS = [
    {"name": "logits", "datatype": "FP32", "shape": [-1, CLASSES]},
    {"name": "class", "datatype": "INT64", "shape": [-1]},
    {"name": "path", "datatype": "UINT8", "shape": [-1]},
    {"name": "node", "datatype": "INT32", "shape": [-1]},
]
PREPROCESSING = {"input_shape": list(SHAPE), "mean": [0.5] * 3, "std": [0.5] * 3}
KNOWN = {
    "preprocessing": PREPROCESSING,
    "class_names": list("abcde"),
    "paths": ["cloud"],
    "nodes": ["node-0"],
}
GOOD = {"inputs": [IMAGE], "outputs": OUTPUTS, "parameters": KNOWN}
ANSWER = {
    "outputs": [
        {"name": "logits", "datatype": "FP32", "shape": [1, CLASSES], "data": [0.0] * CLASSES},
        {"name": "class", "datatype": "INT64", "shape": [1], "data": [0]},
        {"name": "path", "datatype": "UINT8", "shape": [1], "data": [0]},
        {"name": "node", "datatype": "INT32", "shape": [1], "data": [0]},
    ]
}


def known(**changes: Any) -> dict[str, Any]:
    """Metadata of a network with other parameters."""
    return {**GOOD, "parameters": {**KNOWN, **changes}}


def prepared(**changes: Any) -> dict[str, Any]:
    """Metadata of a network that prepares pictures otherwise."""
    return known(preprocessing={**PREPROCESSING, **changes})


def answered(name: str, value: int) -> dict[str, Any]:
    """An answer in which an output has another value."""
    outputs = [{**each, "data": [value]} if each["name"] == name else each for each in ANSWER["outputs"]]
    return {"outputs": outputs}


SAYS: dict[str, tuple[int, Any, Any]] = {
    "page": (200, b"<html>Welcome</html>", None),
    "silent": (200, b"", None),
    "array": (200, [1], None),
    "nothing": (200, {}, None),
    "deep": (200, b"[" * 100_000, None),
    "denies": (401, {"error": "no token"}, None),
    "lacks": (404, {"error": "no model"}, None),
    "fails": (500, b"oops", None),
    "inputs": (200, {**GOOD, "inputs": 3}, None),
    "no_inputs": (200, {**GOOD, "inputs": []}, None),
    "input_text": (200, {**GOOD, "inputs": ["image"]}, None),
    "input_type": (200, {**GOOD, "inputs": [{**IMAGE, "datatype": "FP99"}]}, None),
    "outputs": (200, {**GOOD, "outputs": OUTPUTS[:2]}, None),
    "parameters": (200, {**GOOD, "parameters": 3}, None),
    "no_pictures": (200, known(preprocessing=None), None),
    "preprocessing": (200, known(preprocessing=3), None),
    "std": (200, prepared(std=[0, 0, 0]), None),
    "gamma": (200, prepared(gamma=[2]), None),
    "sides": (200, prepared(input_shape=[3, 9, 9]), None),
    "vast": (200, prepared(input_shape=[3, 10**9, 10**9]), None),
    "giant": (
        200,
        {**prepared(input_shape=[3, 10**9, 10**9]), "inputs": [{**IMAGE, "shape": [-1, 3, 10**9, 10**9]}]},
        None,
    ),
    "no_names": (200, known(class_names=None), None),
    "names": (200, known(class_names=[3]), None),
    "no_nodes": (200, known(nodes=3), None),
    "answers_page": (200, GOOD, b"<html>"),
    "answers_nothing": (200, GOOD, {}),
    "answers_class": (200, GOOD, answered("class", 99)),
    "answers_below": (200, GOOD, answered("class", -1)),
    "answers_path": (200, GOOD, answered("path", 7)),
    "answers_node": (200, GOOD, answered("node", 7)),
}
"""Status and body of the metadata, and body of an answer, by name of the server."""


def _response(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


async def _listen(stack: AsyncExitStack, says: tuple[int, Any, Any] | None) -> str:
    """A server that says always the same; nothing at all if there is nothing to say."""

    async def handle(request: web.Request) -> web.Response:
        if says is None:
            await asyncio.sleep(600)
            return web.Response()
        status, metadata, answer = says
        return _response(200, answer) if request.method == "POST" else _response(status, metadata)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _run(bundle: Path, urls: dict[str, str], ready: threading.Event, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        for name, says in SAYS.items():
            urls[name] = await _listen(stack, says)
        urls["mute"] = await _listen(stack, None)
        _, urls["network"] = await stack.enter_async_context(whole(Manifest.read(bundle), num_nodes=1))
        urls["port"] = urls["network"].rpartition(":")[2]
        ready.set()
        await stop.wait()


@contextmanager
def serving(bundle: Path) -> Iterator[dict[str, str]]:
    """URLs by name: ``network`` works, ``nobody`` is not there, the others say :data:`SAYS`; ``port`` is taken."""
    urls: dict[str, str] = {}
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(_run(bundle, urls, ready, stop)), daemon=True
    )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        urls["nobody"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
        thread.start()
        assert ready.wait(120), "the servers did not start"
        try:
            yield urls
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(120)
            loop.close()
