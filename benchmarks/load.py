"""Loads of a server: clients that wait for each answer (closed loop), and arrivals that do not (open loop)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cloudedge_pl.serving.failures import CallError

Ask = Callable[[int], Awaitable[object]]
"""Sends the request of a number, and waits for the answer."""

PERCENTILES = (50, 95, 99)


@dataclass(eq=False)
class Measured:
    """What became of the requests of one load.

    Attributes:
        seconds: latency of every answered request.
        failed: number of the others, by kind of :class:`~cloudedge_pl.serving.failures.CallError`.
        wall_seconds: from the first request to the last answer.
    """

    seconds: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    wall_seconds: float = 0.0

    @property
    def requests_per_second(self) -> float:
        """Answered requests per second."""
        return len(self.seconds) / self.wall_seconds

    def percentiles(self) -> list[float]:
        """Latencies of :data:`PERCENTILES`; nan if nothing was answered."""
        if not self.seconds:
            return [float("nan")] * len(PERCENTILES)
        found: list[float] = np.percentile(self.seconds, PERCENTILES).tolist()
        return found

    async def take(self, ask: Ask, number: int, begun: float) -> None:
        """Sends a request, and takes its latency since ``begun``."""
        try:
            await ask(number)
        except CallError as error:
            self.failed[error.kind] = self.failed.get(error.kind, 0) + 1
        else:
            self.seconds.append(time.perf_counter() - begun)


async def closed_loop(ask: Ask, clients: int, seconds: float) -> Measured:
    """Clients of which each sends its next request when the last is answered, for some time."""
    measured, start = Measured(), time.perf_counter()

    async def client(first: int) -> None:
        number = first
        while (begun := time.perf_counter()) < start + seconds:
            await measured.take(ask, number, begun)
            number += clients

    await asyncio.gather(*map(client, range(clients)))
    measured.wall_seconds = time.perf_counter() - start
    return measured


async def open_loop(ask: Ask, arrivals: Sequence[float]) -> Measured:
    """Requests at given seconds, whatever became of those before. A latency counts from the time of arrival."""
    measured, start, running = Measured(), time.perf_counter(), []
    for number, arrival in enumerate(arrivals):
        await asyncio.sleep(max(start + arrival - time.perf_counter(), 0.0))
        running.append(asyncio.create_task(measured.take(ask, number, start + arrival)))
    await asyncio.gather(*running)
    measured.wall_seconds = time.perf_counter() - start
    return measured


def poisson(rate: float, seconds: float, seed: Sequence[int]) -> list[float]:
    """Times of arrival within some time, at least one."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, 1 + int(rate * seconds))
    found: list[float] = gaps.cumsum().tolist()
    return [each for each in found if each <= seconds] or [0.0]
