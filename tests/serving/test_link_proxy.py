"""The proxy that is a link: bytes arrive unchanged, not before delay and rate allow, and outages lose none."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.serving.link_proxy import Direction, LinkProxy, LinkShape
from tests.serving.fleets import run

SLACK = 0.002
"""Timers may fire so much too early."""


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """A server that sends back what it gets, and closes after the other side."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parsed = urlsplit(url)
    return await asyncio.open_connection(parsed.hostname, parsed.port)


async def linked(stack: AsyncExitStack, shape: LinkShape | None = None) -> tuple[LinkProxy, str]:
    proxy = LinkProxy(await stack.enter_async_context(echo()), shape)
    return proxy, await stack.enter_async_context(proxy.listening())


async def sent_back(url: str, data: bytes) -> bytes:
    """Sends everything on a connection of its own, closes it, and reads until the other side has closed."""
    reader, writer = await opened(url)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    _, found = await asyncio.gather(send(), reader.read())
    writer.close()
    return found


def test_bytes_arrive_unchanged_on_all_connections() -> None:
    bodies = [np.random.default_rng(seed).bytes(size) for seed, size in enumerate((0, 1, 70_000, 900_000))]

    async def work() -> None:
        async with AsyncExitStack() as stack:
            proxy, url = await linked(stack, LinkShape(delay_seconds=0.001, rate_bits_per_second=1e9))
            assert await asyncio.gather(*(sent_back(url, body) for body in bodies)) == bodies
            total = sum(map(len, bodies))
            assert proxy.there.carried_bytes == proxy.back.carried_bytes == total

    run(work())


def test_nothing_arrives_before_delay_and_rate_allow() -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            proxy, url = await linked(stack, LinkShape(delay_seconds=0.03))
            reader, writer = await opened(url)
            for least in (4 * 0.03, 2 * 0.03):  # the handshake comes before the first
                before = time.monotonic()
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                assert time.monotonic() - before > least - SLACK
            writer.close()
            proxy.shape = LinkShape(rate_bits_per_second=8e5)
            before = time.monotonic()
            await asyncio.gather(*(sent_back(url, b"x" * 10_000) for _ in range(2)))
            assert time.monotonic() - before > 0.2 - SLACK, "they share the link"

    run(work())


def test_an_outage_holds_everything_back_and_loses_nothing() -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            proxy, url = await linked(stack)
            reader, writer = await opened(url)
            proxy.up = False
            writer.write(b"abc")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.05)
            proxy.up = True
            assert await reader.readexactly(3) == b"abc"
            writer.close()

    run(work())


def test_connections_break_when_they_are_cut_or_the_server_is_away() -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            proxy, url = await linked(stack)
            reader, writer = await opened(url)
            writer.write(b"x")
            await reader.readexactly(1)
            proxy.cut()
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert await sent_back(url, b"anew") == b"anew"
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                away = LinkProxy(f"http://127.0.0.1:{free.getsockname()[1]}")
                reader, writer = await opened(await stack.enter_async_context(away.listening()))
                with suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()

    run(work())


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 10)), min_size=1),
    st.floats(1e3, 1e9),
)
def test_a_direction_is_a_line_of_one_server(sent: list[tuple[int, float]], rate: float) -> None:
    """Lindley's recursion: a chunk leaves its own time after it has come, or after the one before has left."""
    direction, now, free_at = Direction(), 0.0, -math.inf
    for size, gap in sent:
        now += gap
        free_at = max(now, free_at) + 8 * size / rate
        assert direction.send(size, LinkShape(rate_bits_per_second=rate), now) == pytest.approx(free_at)
    assert direction.carried_bytes == sum(size for size, _ in sent)


def test_what_makes_no_link_is_refused() -> None:
    with pytest.raises(ValueError, match="delay_seconds is -1"):
        LinkShape(delay_seconds=-1.0)
    with pytest.raises(ValueError, match="rate_bits_per_second is 0"):
        LinkShape(rate_bits_per_second=0.0)
    with pytest.raises(ValueError, match="no port"):
        LinkProxy("http://127.0.0.1")
