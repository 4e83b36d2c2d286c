"""The conditions under which simulator and servers are compared, and the arrivals that both get."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.errors import require_fields, require_positive, require_range, require_seed


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What happens to a fleet while it serves. Shares of time are of the time that is measured.

    Args:
        about: in a few words.
        load: arrivals, as a share of what all nodes together can take, in (0, 1).
        link_load: share of its time that the cloud's link is to be busy with uploads, which gives its rate; None leaves
            the link as it is.
        slow_from: share of the time at which the cloud's link gets a longer delay; None for never.
        slow_until: share of the time at which it has its own delay again.
        slow_factor: of the delay, at least 1.
        outage_from: share of the time at which nothing passes the cloud's link any more; None for never.
        outage_until: share of the time at which it passes again.
        dies_at: share of the time at which a node is killed; None for never. It is the second fastest one.

    Raises:
        ValueError: if a value is out of range.
    """

    about: str
    load: float
    link_load: float | None = None
    slow_from: float | None = None
    slow_until: float = 1.0
    slow_factor: float = 3.0
    outage_from: float | None = None
    outage_until: float = 1.0
    dies_at: float | None = None

    def __post_init__(self) -> None:
        require_fields("condition", self)
        require_range("condition", 0, 1, open_low=True, open_high=True, load=self.load)
        if self.link_load is not None:
            require_range("condition", 0, 1, open_low=True, open_high=True, link_load=self.link_load)
        require_range("condition", 1, math.inf, open_high=True, slow_factor=self.slow_factor)
        if self.slow_from is not None:
            require_range("condition", 0, self.slow_until, open_high=True, slow_from=self.slow_from)
        if self.outage_from is not None:
            require_range("condition", 0, self.outage_until, open_high=True, outage_from=self.outage_from)
        if self.dies_at is not None:
            require_range("condition", 0, 1, open_high=True, dies_at=self.dies_at)


CONDITIONS: dict[str, Condition] = {
    "idle": Condition(about="few requests", load=0.15),
    "busy": Condition(about="queues at the nodes", load=0.7),
    "slow_link": Condition(
        about="a thin link to the cloud, whose delay trebles for a while",
        load=0.4,
        link_load=0.5,
        slow_from=0.4,
        slow_until=0.65,
    ),
    "outage": Condition(
        about="the cloud is out of reach for a while", load=0.4, outage_from=0.4, outage_until=0.65
    ),
    "dead_node": Condition(about="the second fastest node is killed", load=0.45, dies_at=0.4),
}
"""Conditions by name."""


LONGEST_SECONDS = 3600.0
"""Of a condition; requests of longer ones would not fit into memory on a fast fleet."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """When requests arrive, and which of them are compared.

    Args:
        warmup_seconds: the first requests, during which connections and estimates settle, are served but not compared.
        seconds: the time that is measured, after that.

    Raises:
        ValueError: if a value is out of range.
    """

    warmup_seconds: float = 3.0
    seconds: float = 16.0

    def __post_init__(self) -> None:
        require_fields("validation", self)
        require_range("validation", 0, LONGEST_SECONDS, warmup_seconds=self.warmup_seconds)
        require_range("validation", 0, LONGEST_SECONDS, open_low=True, seconds=self.seconds)

    @property
    def end_seconds(self) -> float:
        """The last request arrives before this time."""
        return self.warmup_seconds + self.seconds

    def at(self, share: float) -> float:
        """Time from the first arrivals on at a share of the time that is measured."""
        return self.warmup_seconds + share * self.seconds


def poisson(rate: float, span: Span, seed: int) -> np.ndarray:
    """Times of arrival in seconds, float64 [n], ascending, at ``rate`` a second on average; one at least is measured.

    Raises:
        ValueError: if the rate is not positive, or the seed out of range.
    """
    require_positive("validation", rate=rate)
    require_seed("validation", seed=seed)
    draw = np.random.default_rng(seed)
    number = int(rate * span.end_seconds + 10 * math.sqrt(rate * span.end_seconds) + 20)
    times = np.cumsum(draw.exponential(1 / rate, number))
    times = times[times < span.end_seconds]
    if not (times >= span.warmup_seconds).any():
        times = np.append(times, span.at(0.5))
    return times
