"""Cost of an aggregation: every node sends its weights to the master, and all nodes get the average back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.costs.energy import radio_joules, static_joules
from cloudedge_pl.costs.first_come import serve_at_one
from cloudedge_pl.costs.transmission import master_rate_bits_per_second, sending_seconds
from cloudedge_pl.fleet import Fleet


@dataclass(frozen=True)
class Exchange:
    """Cost of one aggregation.

    Args:
        seconds: until the master has all weights and all nodes have the average.
        joules: [num_nodes + 1], the senders' radio, including the master's multicast, and the idle power of all
            machines.
        num_bytes: [num_nodes + 1], both ways. The multicast counts once for each receiver.
    """

    seconds: float
    joules: np.ndarray
    num_bytes: np.ndarray


def collected_at(
    num_bytes: float, fleet: Fleet, ready_seconds: np.ndarray, present: np.ndarray | None = None
) -> float:
    """Returns when the master has the weights of every node that is present.

    The master receives on one link, in the order in which the nodes' last bytes arrive.

    Args:
        num_bytes: of one node's weights.
        fleet: nodes and master.
        ready_seconds: [num_nodes], when each node starts to send.
        present: which nodes take part, bool [num_nodes], at least one; None: all.
    """
    sent = (ready_seconds + sending_seconds(num_bytes, master_rate_bits_per_second(fleet)))[_all_or(present)]
    receiving = float(sending_seconds(num_bytes, fleet.coordinator.throughput_bits_per_second))
    return float(serve_at_one(sent - receiving, receiving, -math.inf).max())


def multicast_seconds(num_bytes: float, fleet: Fleet, present: np.ndarray | None = None) -> float:
    """Time in which the master sends the average to all present nodes at once, at the rate of the slowest."""
    return float(sending_seconds(num_bytes, master_rate_bits_per_second(fleet)[_all_or(present)].min()))


def exchange_costs(num_bytes: float, fleet: Fleet, present: np.ndarray | None = None) -> Exchange:
    """Computes the cost of an aggregation in an idle fleet.

    Args:
        num_bytes: of one node's weights.
        fleet: nodes and master.
        present: which nodes take part, bool [num_nodes], at least one; None: all. The others cost nothing.
    """
    there = np.ones(fleet.num_nodes, dtype=bool) if present is None else present
    multicast = multicast_seconds(num_bytes, fleet, there)
    seconds = collected_at(num_bytes, fleet, np.zeros(fleet.num_nodes), there) + multicast
    sending = np.append(sending_seconds(num_bytes, master_rate_bits_per_second(fleet)), multicast)
    idle = static_joules(fleet.array("idle_watts", with_master=True), seconds)
    radio = radio_joules(fleet.array("transmit_watts", with_master=True), sending)
    exchanged = np.append(np.where(there, 2 * num_bytes, 0.0), 0.0)
    return Exchange(seconds, (idle + radio) * np.append(there, True), exchanged)


def _all_or(present: np.ndarray | None) -> np.ndarray | slice:
    return slice(None) if present is None else present
