"""The model of what the engine is given: the same system in the model's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.simulation.scenario import Scenario

from .setup import Setup


def setup_of(
    costs: SplitCosts,
    fleet: Fleet,
    scenario: Scenario,
    until_seconds: float,
    *,
    seed: int = 0,
    churn: Sequence[tuple[float, int, int]] = (),
    **others: Any,
) -> Setup:
    """Describes a system whose link and limits are those of a scenario.

    Args:
        costs: of one task.
        fleet: the fleet.
        scenario: everything but its churn is taken over.
        until_seconds: a time by which nothing happens any more; the link is drawn up to it.
        seed: of the link.
        churn: the events.
        others: further fields of :class:`Setup`.
    """
    queues, process = scenario.queues, scenario.link.process(fleet.link, seed)
    blocks = [process.next()]
    while blocks[-1].end_seconds < until_seconds:
        blocks.append(process.next())
    link = {
        f"link_{name}": np.concatenate([getattr(block, column) for block in blocks]).tolist()
        for name, column in (
            ("starts", "start_seconds"),
            ("rates", "bits_per_second"),
            ("propagation", "propagation_seconds"),
        )
    }
    limits = (queues.node_tasks, queues.radio_transfers, queues.cloud_tasks)
    node, radio, cloud = (math.inf if limit is None else limit for limit in limits)
    by_time = scenario.window.seconds
    return Setup(
        costs=costs,
        fleet=fleet,
        link_mean=fleet.link.bandwidth_bits_per_second,
        window_tasks=scenario.window.tasks if by_time is None else None,
        window_seconds=math.nan if by_time is None else by_time,
        jitter=np.broadcast_to(np.asarray(scenario.service.jitter, float), (fleet.num_nodes,)).tolist(),
        churn=churn,
        policy=queues.policy,
        node_capacity=node,
        radio_capacity=radio,
        cloud_capacity=cloud,
        cloud_servers=scenario.cloud_servers,
        backhaul_bits_per_second=scenario.backhaul_bits_per_second,
        **link,
        **others,
    )
