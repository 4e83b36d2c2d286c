"""Links that follow a law: constant, lognormal, Gilbert-Elliott and diurnal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from cloudedge_pl.errors import require_range
from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.link_processes import LinkProcess, LinkSettings, Place
from cloudedge_pl.simulation.link_segments import LinkSegments

BLOCK = 1024
"""Number of intervals that are drawn at once; it is even, so that a link of two states begins each block alike."""

STREAM = 0x6C696E6B
"""Part of every seed here; it keeps a link's draws apart from others that are made from the same seed."""


def _require_length(owner: str, **seconds: float) -> None:
    """Checks lengths of time: shorter ones would vanish in a clock's rounding, longer ones never end."""
    for field, value in seconds.items():
        named: dict[str, Any] = {field: value}
        require_range(owner, 1e-3, 1e9, **named)


def _random(seed: int, block: int) -> np.random.Generator:
    return np.random.default_rng([seed, block, STREAM])


@dataclass(frozen=True, kw_only=True)
class ConstantLink(LinkSettings):
    """A link that always has its bandwidth and its propagation delay."""

    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        rate, delay = np.array([link.bandwidth_bits_per_second]), np.array([link.propagation_seconds])
        return LinkSegments(np.array([place.start_seconds]), rate, delay), 0.0


@dataclass(frozen=True, kw_only=True)
class LognormalLink(LinkSettings):
    """A link whose delay is multiplied by ``exp(variation * z)`` in each interval.

    z is a standard normal autoregressive series of order 1. The rate is divided by the factor and the propagation
    delay multiplied by it, so that the delay of a transfer of any size has the factor. Its median is 1.

    Args:
        variation: standard deviation of the factor's logarithm, in [0, 50]; None takes the link's.
        correlation: of that logarithm between neighbouring intervals, in [0, 1); None takes the link's.
        interval_seconds: length of an interval, in [0.001, 1e9].

    Raises:
        ValueError: if a value is outside its range.
    """

    variation: float | None = None
    correlation: float | None = None
    interval_seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_length(self._owner, interval_seconds=self.interval_seconds)
        if self.variation is not None:
            require_range(self._owner, 0, 50, variation=self.variation)
        if self.correlation is not None:
            require_range(self._owner, 0, 1, open_high=True, correlation=self.correlation)

    def process(self, link: Link, seed: int = 0) -> LinkProcess:
        require_range("link", 0, 50, variation=self._of(link)[0])
        return super().process(link, seed)

    def _of(self, link: Link) -> tuple[float, float]:
        """The variation and the correlation."""
        return (
            link.variation if self.variation is None else self.variation,
            link.correlation if self.correlation is None else self.correlation,
        )

    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        variation, correlation = self._of(link)
        draws = _random(seed, place.block).standard_normal(BLOCK).tolist()
        spread = math.sqrt(1 - correlation**2)

        def step(z: float, draw: float) -> float:
            return correlation * z + spread * draw

        # The first value of all has the stationary law.
        first = draws[0] if place.block == 0 else step(place.carried, draws[0])
        series = list(accumulate(draws[1:], step, initial=first))
        factor = np.exp(variation * np.array(series))
        edges = np.arange(place.block * BLOCK, (place.block + 1) * BLOCK + 1) * self.interval_seconds
        rates, delays = link.bandwidth_bits_per_second / factor, link.propagation_seconds * factor
        return LinkSegments.between(edges, rates, delays), series[-1]


@dataclass(frozen=True, kw_only=True)
class GilbertElliottLink(LinkSettings):
    """A link that is good or bad, for times that are drawn from exponential distributions.

    The link is a Markov chain of two states in continuous time, and starts in its stationary law: it is bad for
    ``bad_seconds / (good_seconds + bad_seconds)`` of the time. A good link has its bandwidth and propagation delay.

    Source: Gilbert 1960 and Elliott 1963, who give the loss of bits in each state; here a state has a rate and a delay.

    Args:
        good_seconds: mean length of a good time, in [0.001, 1e9].
        bad_seconds: mean length of a bad time, in [0.001, 1e9].
        bad_rate_share: share of the bandwidth that is left in a bad time, in [0, 1]; 0 makes it an outage.
        bad_propagation_factor: the propagation delay is multiplied by it in a bad time; at least 1.

    Raises:
        ValueError: if a value is outside its range.
    """

    good_seconds: float = 30.0
    bad_seconds: float = 5.0
    bad_rate_share: float = 0.1
    bad_propagation_factor: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_length(self._owner, good_seconds=self.good_seconds, bad_seconds=self.bad_seconds)
        require_range(self._owner, 0, 1, bad_rate_share=self.bad_rate_share)
        require_range(self._owner, 1, 1e9, bad_propagation_factor=self.bad_propagation_factor)

    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        share_bad = self.bad_seconds / (self.good_seconds + self.bad_seconds)
        first_is_bad = _random(seed, 0).random() < share_bad
        bad = (np.arange(BLOCK) % 2 == 0) == first_is_bad
        random = _random(seed, place.block)
        random.random()  # in block 0 this one chose the first state
        lengths = random.standard_exponential(BLOCK) * np.where(bad, self.bad_seconds, self.good_seconds)
        edges = place.start_seconds + np.append(0.0, np.cumsum(lengths))
        rates = link.bandwidth_bits_per_second * np.where(bad, self.bad_rate_share, 1.0)
        delays = link.propagation_seconds * np.where(bad, self.bad_propagation_factor, 1.0)
        return LinkSegments.between(edges, rates, delays), 0.0


@dataclass(frozen=True, kw_only=True)
class DiurnalLink(LinkSettings):
    """A link whose rate follows a cosine, such as that of a day; its propagation delay is constant.

    The rate is ``bandwidth * (1 + amplitude * cos(2 pi (t - peak_seconds) / period_seconds))``, and in each step the
    mean over that step. Its mean over a period is the bandwidth.

    Args:
        period_seconds: in [1, 1e9].
        amplitude: largest deviation from the bandwidth as a share of it, in [0, 1).
        peak_seconds: when the rate is highest, in [0, period_seconds].
        steps: number of steps in a period, in [4, 10000].

    Raises:
        ValueError: if a value is outside its range.
    """

    period_seconds: float = 86_400.0
    amplitude: float = 0.5
    peak_seconds: float = 0.0
    steps: int = 96

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self._owner, 1, 1e9, period_seconds=self.period_seconds)
        require_range(self._owner, 0, 1, open_high=True, amplitude=self.amplitude)
        require_range(self._owner, 0, self.period_seconds, peak_seconds=self.peak_seconds)
        require_range(self._owner, 4, 10_000, whole=True, steps=self.steps)

    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        angles = 2 * math.pi * np.arange(self.steps + 1) / self.steps
        peak = 2 * math.pi * self.peak_seconds / self.period_seconds
        cosines = np.diff(np.sin(angles - peak)) / np.diff(angles)  # means over the steps
        rates = link.bandwidth_bits_per_second * (1 + self.amplitude * cosines)
        steps = np.arange(place.block * self.steps, (place.block + 1) * self.steps + 1)
        delays = np.full(self.steps, link.propagation_seconds)
        return LinkSegments.between(steps * (self.period_seconds / self.steps), rates, delays), 0.0
