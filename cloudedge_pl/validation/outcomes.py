"""What a run gave, real or simulated, in the figures that are compared; and the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MEDIAN_AIM, P95_AIM = 0.10, 0.20
"""Deviations that the simulator should keep, as shares of what was measured."""

SHARE_DIFFERENCE = 0.05
"""Shares of nodes or paths that differ by more are named as a reason."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run in figures.

    Args:
        requests: that were compared.
        failed: requests without an answer.
        median_seconds: from arrival to answer.
        p95_seconds: 95% were faster.
        uploaded_bytes: to the cloud for a request, over the whole run, probes included.
        share_asleep: of the time that is measured.
        by_node: share of the answers by node.
        by_path: share of the answers by path; ``exit`` is the exit head, for whatever reason.
    """

    requests: int
    failed: int
    median_seconds: float
    p95_seconds: float
    uploaded_bytes: float
    share_asleep: float
    by_node: Mapping[str, float]
    by_path: Mapping[str, float]


def percentiles(delays: np.ndarray) -> tuple[float, float]:
    """Median and 95% percentile of delays [n]; nan if there are none."""
    if not len(delays):
        return math.nan, math.nan
    median, high = np.percentile(delays, [50, 95])
    return float(median), float(high)


def shares(keys: list[str]) -> dict[str, float]:
    """The share of each key in a list."""
    return {key: keys.count(key) / len(keys) for key in sorted(set(keys))}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One condition, real and simulated.

    Args:
        condition: its name.
        arrival_rate: requests a second.
        real: what was measured.
        simulated: what the simulator gave for the same arrivals.
    """

    condition: str
    arrival_rate: float
    real: Outcome
    simulated: Outcome

    @property
    def median_deviation(self) -> float:
        """Of the simulated median from the real one, as a share of it."""
        return self.simulated.median_seconds / self.real.median_seconds - 1

    @property
    def p95_deviation(self) -> float:
        """Of the simulated 95% percentile from the real one, as a share of it."""
        return self.simulated.p95_seconds / self.real.p95_seconds - 1

    @property
    def within_aim(self) -> bool:
        """Whether both keep what is aimed at."""
        return abs(self.median_deviation) <= MEDIAN_AIM and abs(self.p95_deviation) <= P95_AIM

    def reasons(self) -> list[str]:
        """The assumptions of the simulator that explain what is left, by what else differs."""
        found = []
        if _largest_difference(self.real.by_node, self.simulated.by_node) > SHARE_DIFFERENCE:
            found.append(
                "Nodes get other shares of the requests: the master expects of a node an average that includes its "
                "link and falls while it is idle; the simulator's scheduler knows the time of each task."
            )
        if _largest_difference(self.real.by_path, self.simulated.by_path) > SHARE_DIFFERENCE:
            found.append(
                "Exit head and cloud answer other shares: the master measures the delay when a call returns and "
                "chooses the path when the node has answered; the simulator does both when the request arrives."
            )
        if not found and not self.within_aim:
            found.append(
                "Who answers is the same: what is left are the processes that share this machine's cores, HTTP and the "
                "master's own time under load, which the simulator takes to be what they are when idle."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "condition": self.condition,
            "arrival_rate": self.arrival_rate,
            "real": asdict(self.real),
            "simulated": asdict(self.simulated),
            "median_deviation": self.median_deviation,
            "p95_deviation": self.p95_deviation,
            "within_aim": self.within_aim,
            "reasons": self.reasons(),
        }

    def row(self) -> dict[str, Any]:
        """The figures that are compared, as a row of a table."""
        names = ("median_seconds", "p95_seconds", "uploaded_bytes", "share_asleep")
        sides = {"real": self.real, "simulated": self.simulated}
        values = {
            f"{side}_{name}": getattr(outcome, name) for name in names for side, outcome in sides.items()
        }
        return {
            "condition": self.condition,
            "arrival_rate": self.arrival_rate,
            "requests": self.real.requests,
            "failed": self.real.failed,
            **values,
            "median_deviation": self.median_deviation,
            "p95_deviation": self.p95_deviation,
        }


def _largest_difference(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return max((abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}), default=0.0)
