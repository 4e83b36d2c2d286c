"""What the model is of, and the words for what happens in it."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.fleet import Fleet

JOIN, LEAVE, FAIL = 0, 1, 2
CLOUD, EXIT_ASLEEP, EARLY_EXIT, EDGE, EXIT_OVERLOAD, REJECTED, IN_FLIGHT = 0, 1, 2, 3, 4, -1, -2

Walk = Generator[simpy.Event, Any, Any]
"""A process that goes from station to station."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the model is of.

    Args:
        costs: seconds and bytes of one task of size and work 1.
        fleet: rates and powers of nodes and master.
        link_starts: [k] ascending, when each segment of the link starts; the last lasts for ever.
        link_rates: [k] bit/s; 0 is an outage.
        link_propagation: [k] seconds.
        link_mean: bit/s; what the master expects of the link in an outage.
        training: gradients return, and every awake task goes both ways. Tasks that arrive at the same time are one
            window, and so are those that a node loses by a failure.
        window_tasks: number of tasks scheduled together; None opens windows by time.
        window_seconds: windows open at multiples of this, if a task waits.
        jitter: [num_nodes] sigma of the service times.
        churn: (seconds, node, kind) in order of time; kinds are JOIN, LEAVE and FAIL.
        absent: nodes that are away at the start.
        policy: of full queues: "block", "reject" or "exit".
        node_capacity: tasks that wait at a node or are on their way to it.
        radio_capacity: jobs that wait for a node's radio.
        cloud_capacity: tasks that wait at the cloud or are on their way to it.
        cloud_servers: of the cloud.
        backhaul_bits_per_second: of the shared way to the cloud.
        exits: whether the exit head answers what it is sure of while the cloud is awake.
        dormancy: None keeps the cloud awake.
    """

    costs: SplitCosts
    fleet: Fleet
    link_starts: Sequence[float] = (0.0,)
    link_rates: Sequence[float]
    link_propagation: Sequence[float]
    link_mean: float
    training: bool = False
    window_tasks: int | None = 1
    window_seconds: float = math.nan
    jitter: Sequence[float] | None = None
    churn: Sequence[tuple[float, int, int]] = ()
    absent: Sequence[int] = ()
    policy: str = "block"
    node_capacity: float = math.inf
    radio_capacity: float = math.inf
    cloud_capacity: float = math.inf
    cloud_servers: float = math.inf
    backhaul_bits_per_second: float = math.inf
    exits: bool = False
    dormancy: DormancyRule | None = None
