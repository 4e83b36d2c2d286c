"""A link of a given delay, rate and outages between two programs of this machine: a TCP proxy before a server.

Where the kernel has no netem, and no rights are needed, it takes the place of a slow network in tests and measurements.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cloudedge_pl.errors import require_fields, require_range

CHUNK_BYTES = 16_384
"""Bytes that leave together; connections take turns after so many."""

AHEAD_SECONDS = 0.02
"""A connection is read so long before its bytes can leave, so that a late timer costs the link no rate."""

MOST_FLYING = 1024
"""Chunks of a connection on their way at most; a longer and wider link is slower than it should be."""


@dataclass(frozen=True, kw_only=True)
class LinkShape:
    """Delay and rate of a link, the same in both directions.

    Args:
        delay_seconds: of each byte, one way.
        rate_bits_per_second: of each direction, shared by all connections.

    Raises:
        ValueError: if a value is out of range.
    """

    delay_seconds: float = 0.0
    rate_bits_per_second: float = math.inf

    def __post_init__(self) -> None:
        require_fields("link", self)
        require_range("link", 0, math.inf, open_high=True, delay_seconds=self.delay_seconds)
        rate = self.rate_bits_per_second
        require_range("link", 0, math.inf, open_low=True, rate_bits_per_second=rate)


class Direction:
    """One direction of a link: bytes of all connections leave one after another.

    Attributes:
        carried_bytes: that have been taken so far.
    """

    def __init__(self) -> None:
        self.carried_bytes = 0
        self._free_at = -math.inf

    def send(self, size: int, shape: LinkShape, now: float) -> float:
        """Takes bytes, and returns the time at which the last of them has left."""
        self.carried_bytes += size
        self._free_at = max(self._free_at, now) + 8 * size / shape.rate_bits_per_second
        return self._free_at


class LinkProxy:
    """Passes on what comes to an address of its own to a server, and back, as late as a link would.

    A new connection waits for a round trip first, as TCP's handshake does. During an outage nothing passes, and nothing
    is lost: as over TCP, it arrives afterwards. Delays are exact to about a millisecond. To be used in one event loop.

    Args:
        target: URL of the server, which need not run yet.
        shape: delay and rate at first.

    Attributes:
        shape: may be set at any time; what is under way keeps the old one.
        there: the direction to the server.
        back: the direction from it.

    Raises:
        ValueError: if the target is no URL with a port.
    """

    def __init__(self, target: str, shape: LinkShape | None = None) -> None:
        parsed = urlsplit(target)
        if not parsed.hostname or parsed.port is None:
            raise ValueError(f"link: the target {target!r} has no host or no port; write http://HOST:PORT.")
        self._scheme, self._host, self._port = parsed.scheme, parsed.hostname, parsed.port
        self.shape = shape or LinkShape()
        self.there, self.back = Direction(), Direction()
        self._passing = asyncio.Event()
        self._passing.set()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def up(self) -> bool:
        """Whether anything passes; may be set."""
        return self._passing.is_set()

    @up.setter
    def up(self, value: bool) -> None:
        if value:
            self._passing.set()
        else:
            self._passing.clear()

    def cut(self) -> None:
        """Breaks all connections; new ones may be made."""
        for connection in self._connections:
            connection.cancel()

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Runs the proxy within the block, and yields its URL.

        Args:
            host: the address to listen on.
            port: 0 takes a free one.
        """
        server = await asyncio.start_server(self._accept, host, port)
        try:
            yield f"{self._scheme}://{host}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        writers = [writer]
        try:
            opens_at = _now() + 2 * self.shape.delay_seconds
            from_server, to_server = await asyncio.open_connection(self._host, self._port)
            writers.append(to_server)
            async with asyncio.TaskGroup() as group:
                for taken, given, direction in (
                    (reader, to_server, self.there),
                    (from_server, writer, self.back),
                ):
                    flying = asyncio.Queue[tuple[float, bytes]](MOST_FLYING)
                    group.create_task(self._take(taken, flying, direction, opens_at))
                    group.create_task(self._give(given, flying))
        except* (OSError, asyncio.CancelledError):  # one side has broken, or the link was cut: so are both
            for each in writers:
                each.transport.abort()
        else:
            for each in writers:
                each.close()

    async def _take(
        self,
        reader: asyncio.StreamReader,
        flying: asyncio.Queue[tuple[float, bytes]],
        direction: Direction,
        opens_at: float,
    ) -> None:
        """Reads a side until it closes, and books when its bytes arrive."""
        await _sleep_until(opens_at)
        while True:
            data = await reader.read(CHUNK_BYTES)
            await self._passing.wait()
            left_at = direction.send(len(data), self.shape, _now())
            await flying.put((left_at + self.shape.delay_seconds, data))
            if not data:
                return
            await _sleep_until(left_at - AHEAD_SECONDS)

    async def _give(self, writer: asyncio.StreamWriter, flying: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Writes what has arrived to the other side."""
        while True:
            arrives_at, data = await flying.get()
            await _sleep_until(arrives_at)
            await self._passing.wait()
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _sleep_until(when: float) -> None:
    if (seconds := when - _now()) > 0:
        await asyncio.sleep(seconds)
