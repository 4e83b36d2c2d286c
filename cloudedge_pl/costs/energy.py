"""How much energy a node draws for its tasks: static, computing, radio.

Per task and node, in joules; :mod:`cloudedge_pl.offloading` sums them over a window. Every argument broadcasts, and
nodes come first: [num_nodes, N + 1].
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.fleet import Fleet


def _column(fleet: Fleet, field: str) -> np.ndarray:
    return fleet.array(field)[:, None]


def linear_compute_joules(fleet: Fleet, execution_seconds: np.ndarray) -> np.ndarray:
    """(busy - idle power) times the time that the node computes."""
    return (_column(fleet, "busy_watts") - _column(fleet, "idle_watts")) * execution_seconds


def omega_compute_joules(fleet: Fleet, flops: np.ndarray, omega: float | None = None) -> np.ndarray:
    """omega Z F, so that power grows with the square of the speed.

    Args:
        fleet: the nodes; F is the speed that they reach.
        flops: of one task, Z.
        omega: in J s / FLOP^2; None takes for each node the value at which full speed draws its busy power.

    Source: Xu 2020, Sec. 3.3 (E^c = omega Zt^j F).
    """
    speed = _column(fleet, "effective_flops_per_second")
    if omega is None:
        return (_column(fleet, "busy_watts") - _column(fleet, "idle_watts")) / speed * flops
    return omega * flops * speed


def radio_joules(fleet: Fleet, num_bytes: np.ndarray, bits_per_second: np.ndarray) -> np.ndarray:
    """Transmit power times sending time.

    Args:
        fleet: the nodes.
        num_bytes: that one task sends.
        bits_per_second: [num_nodes] rate at which each node sends.

    Source: the paper leaves the radio out (Xu 2020, Sec. 3.3).
    """
    return _column(fleet, "transmit_watts") * 8 * num_bytes / bits_per_second[:, None]


def static_joules(fleet: Fleet, seconds: np.ndarray) -> np.ndarray:
    """Idle power times ``seconds``.

    Source: Xu 2020, Sec. 3.3 (E^s = e times the execution time); which seconds count is the caller's choice.
    """
    watts = np.broadcast_to(_column(fleet, "idle_watts"), seconds.shape)
    return np.multiply(watts, seconds, out=np.zeros(seconds.shape), where=watts > 0)  # 0 W for ever is 0 J
