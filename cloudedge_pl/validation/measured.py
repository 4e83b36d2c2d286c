"""What is measured of every part and link alone, before any of them works together."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudedge_pl.serving.client import ModelClient
from cloudedge_pl.serving.parts import zeros
from cloudedge_pl.serving.session import Run

WARM_CALLS = 3
"""Calls that are not counted; they open the connection and warm the session."""

_OVERHEAD = re.compile(r"^cloudedge_overhead_seconds_(sum|count) (\S+)$", re.MULTILINE)

FASTEST_LINK = 1e12
"""Rate in bit/s of a link on which more bytes take no more time."""


@dataclass(frozen=True, kw_only=True)
class ServerFigures:
    """A server behind its link, asked one call at a time.

    Args:
        service_seconds: that it takes for a sample itself, median.
        jitter: standard deviation of the logarithm of that.
        link_seconds: the rest of a call of one sample: both ways, and what HTTP costs at both ends.
        bits_per_second: rate of the link, from calls of more and fewer samples.
        sent_bytes: that a call of one sample sends, with the headers of HTTP.
        received_bytes: that its answer has.
    """

    service_seconds: float
    jitter: float
    link_seconds: float
    bits_per_second: float
    sent_bytes: float
    received_bytes: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that the simulator is told.

    Args:
        nodes: edge parts behind their links.
        cloud: cloud part behind its link.
        exit_seconds: of the exit head for a sample, on the master.
        master_seconds: of the master's own for a request, and of HTTP between it and its client.
    """

    nodes: tuple[ServerFigures, ...]
    cloud: ServerFigures
    exit_seconds: float
    master_seconds: float = 0.0

    @property
    def capacity(self) -> float:
        """Samples a second that all nodes together can compute."""
        return sum(1 / node.service_seconds for node in self.nodes)


async def measure_server(
    client: ModelClient,
    carried: Callable[[], tuple[int, int]],
    *,
    calls: int = 20,
    samples: Sequence[int] = (1, 4),
    timeout_seconds: float = 30.0,
) -> ServerFigures:
    """Asks a server one call after the other.

    Args:
        client: of its model.
        carried: bytes that its link has carried so far, to the server and back.
        calls: of one sample; a third as many of more.
        samples: of a call; the first is 1.
        timeout_seconds: of a call.

    Raises:
        CallError: if the server does not answer.
    """
    links, service, size = [], np.zeros(0), (0.0, 0.0)
    for number in samples:
        counted = calls if number == 1 else max(calls // 3, 3)
        given = zeros(client.inputs, number)
        for _ in range(WARM_CALLS if number == 1 else 1):
            await client.call(given, timeout_seconds)
        before, taken = carried(), []
        for _ in range(counted):
            sent = time.perf_counter()
            reply = await client.call(given, timeout_seconds)
            taken.append((time.perf_counter() - sent, reply.server_seconds))
        after, both = carried(), np.array(taken)
        links.append(float(np.median(both[:, 0] - both[:, 1])))
        if number == 1:
            service = both[:, 1]
            size = ((after[0] - before[0]) / calls, (after[1] - before[1]) / calls)
    moved = sum(spec.sample_bytes for spec in (*client.inputs, *client.outputs))
    return ServerFigures(
        service_seconds=max(float(np.median(service)), 1e-6),
        jitter=float(np.log(np.maximum(service, 1e-6)).std()),
        link_seconds=links[0],
        bits_per_second=rate_of(samples, links, moved),
        sent_bytes=size[0],
        received_bytes=size[1],
    )


def overhead(metrics: str) -> tuple[float, float]:
    """Sum of the master's own seconds, and number of the requests that took them, of what its ``/metrics`` say."""
    said = dict(_OVERHEAD.findall(metrics))
    return float(said.get("sum", 0)), float(said.get("count", 0))


def mean_overhead(metrics: str) -> float:
    """The master's own mean time for a request, of what its ``/metrics`` say; 0 before the first.

    >>> mean_overhead("cloudedge_overhead_seconds_count 4.0\\ncloudedge_overhead_seconds_sum 0.02\\n")
    0.005
    """
    total, count = overhead(metrics)
    return total / count if count else 0.0


def rate_of(samples: Sequence[int], seconds: Sequence[float], sample_bytes: float) -> float:
    """The rate in bit/s of a link on which calls of so many samples took so long; FASTEST_LINK if all took the same.

    Args:
        samples: of each call.
        seconds: of each call.
        sample_bytes: that a sample adds to a call, both ways together.
    """
    if len(samples) < 2:
        return FASTEST_LINK
    slope = float(np.polyfit(samples, seconds, 1)[0])
    return min(8 * sample_bytes / slope, FASTEST_LINK) if slope > 0 else FASTEST_LINK


def measure_run(run: Run, inputs: dict[str, Any], *, calls: int = 20) -> float:
    """Median seconds of a computation in this process."""
    taken = []
    for _ in range(WARM_CALLS + calls):
        started = time.perf_counter()
        run(inputs)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[WARM_CALLS:])) if calls else math.nan
