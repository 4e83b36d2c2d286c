"""Energy in joules that machines draw: static, computing, and radio.

Powers are in watts, and every argument broadcasts. The planner passes one task on each node at every split point,
[num_nodes, N + 1]; the simulator passes one window of each machine, [num_nodes + 1].
"""

from __future__ import annotations

import numpy as np


def static_joules(idle_watts: np.ndarray, seconds: np.ndarray | float) -> np.ndarray:
    """Idle power times ``seconds``.

    Args:
        idle_watts: of each machine.
        seconds: time during which idle power counts; the caller chooses it. It may be infinite.

    Source: Xu 2020, Sec. 3.3 (E^s = e times the execution time).
    """
    joules = np.zeros(np.broadcast_shapes(idle_watts.shape, np.shape(seconds)))
    return np.multiply(
        idle_watts, seconds, out=joules, where=idle_watts > 0
    )  # 0 W for an infinite time is 0 J


def linear_compute_joules(
    idle_watts: np.ndarray, busy_watts: np.ndarray, busy_seconds: np.ndarray
) -> np.ndarray:
    """(busy - idle power) times the time during which a machine computes."""
    return (busy_watts - idle_watts) * busy_seconds


def omega_compute_joules(
    idle_watts: np.ndarray,
    busy_watts: np.ndarray,
    flops_per_second: np.ndarray,
    flops: np.ndarray,
    omega: float | None = None,
) -> np.ndarray:
    """omega Z F: power grows with the square of the speed.

    Args:
        idle_watts: of each machine.
        busy_watts: of each machine.
        flops_per_second: speed F that a machine reaches.
        flops: Z, of one task.
        omega: in J s / FLOP^2. None takes for each machine the value at which it draws its busy power at full speed.

    Source: Xu 2020, Sec. 3.3 (E^c = omega Zt^j F).
    """
    if omega is None:
        return (busy_watts - idle_watts) / flops_per_second * flops
    return omega * flops * flops_per_second


def radio_joules(transmit_watts: np.ndarray, sending_seconds: np.ndarray) -> np.ndarray:
    """Transmit power times the time during which a machine sends.

    Source: the paper leaves out the radio (Xu 2020, Sec. 3.3).
    """
    return transmit_watts * sending_seconds
