"""Requests at given times to a master, whether earlier ones are answered or not; and what happens meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

from cloudedge_pl.serving.client import ModelClient
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.validation.conditions import Span
from cloudedge_pl.validation.outcomes import Outcome, percentiles, shares

POLL_SECONDS = 0.1
"""Between two looks at whether the cloud sleeps."""

CLOUD_PATHS = (0, 3)
"""Paths of an answer of the master that are the cloud's: cloud and audited."""

_ASLEEP = re.compile(rb"^cloudedge_cloud_asleep ([0-9.]+)", re.MULTILINE)

Event = tuple[float, Callable[[], Any]]
"""Seconds after the start, and what is done then."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What became of each request.

    Args:
        delay_seconds: from the time at which it was due to its answer [n]; nan without one.
        node: index of the node [n].
        path: who answered [n], as the master says.
    """

    delay_seconds: np.ndarray
    node: np.ndarray
    path: np.ndarray


async def send(
    client: ModelClient,
    image: np.ndarray,
    arrivals: np.ndarray,
    *,
    events: Sequence[Event] = (),
    timeout_seconds: float = 30.0,
) -> Answered:
    """Sends a request of one sample at each time.

    Args:
        client: of the master.
        image: the sample [1, ...].
        arrivals: in seconds from now on [n].
        events: what happens meanwhile.
        timeout_seconds: of a request.
    """
    loop, number = asyncio.get_running_loop(), len(arrivals)
    found = Answered(np.full(number, np.nan), np.full(number, -1), np.full(number, -1))
    started = loop.time() + 0.05

    async def ask(at: int) -> None:
        due = started + float(arrivals[at])
        await asyncio.sleep(due - loop.time())
        try:
            answer = await client.infer({client.inputs[0].name: image}, timeout_seconds)
        except CallError:
            return
        found.delay_seconds[at] = loop.time() - due
        found.node[at], found.path[at] = int(answer["node"][0]), int(answer["path"][0])

    handles = [loop.call_at(started + seconds, work) for seconds, work in events]
    try:
        async with asyncio.TaskGroup() as group:
            for at in range(number):
                group.create_task(ask(at))
    finally:
        for handle in handles:
            handle.cancel()
    return found


async def watch_sleep(session: aiohttp.ClientSession, url: str, span: Span) -> float:
    """Share of the measured time in which the cloud of a master sleeps; looked at again and again from now on."""
    loop = asyncio.get_running_loop()
    started, looks, asleep = loop.time() + 0.05, 0, 0
    at = span.warmup_seconds
    while at < span.end_seconds:
        await asyncio.sleep(started + at - loop.time())
        async with session.get(f"{url}/metrics") as response:
            said = _ASLEEP.search(await response.read())
        looks += 1
        asleep += said is not None and float(said[1]) > 0
        at += POLL_SECONDS
    return asleep / max(looks, 1)


async def both(sending: Coroutine[Any, Any, Answered], watching: Coroutine[Any, Any, float]) -> Any:
    """Runs the requests and the look at the cloud's sleep together."""
    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(sending), group.create_task(watching)
    return tasks[0].result(), tasks[1].result()


def real_outcome(
    answered: Answered,
    arrivals: np.ndarray,
    span: Span,
    *,
    share_asleep: float,
    uploaded_bytes: float,
    nodes: Sequence[str],
) -> Outcome:
    """The figures that are compared, of a real run.

    Args:
        answered: what became of each request.
        arrivals: in seconds [n].
        span: which requests are compared.
        share_asleep: of the measured time.
        uploaded_bytes: that the cloud's link has carried to it, in all.
        nodes: names, by index.
    """
    counted = arrivals >= span.warmup_seconds
    good = counted & ~np.isnan(answered.delay_seconds)
    median, high = percentiles(answered.delay_seconds[good])
    return Outcome(
        requests=int(counted.sum()),
        failed=int(counted.sum() - good.sum()),
        median_seconds=median,
        p95_seconds=high,
        uploaded_bytes=uploaded_bytes / max(len(arrivals), 1),
        share_asleep=share_asleep,
        by_node=shares([nodes[node] for node in answered.node[good].tolist()]),
        by_path=shares(["cloud" if path in CLOUD_PATHS else "exit" for path in answered.path[good].tolist()]),
    )
