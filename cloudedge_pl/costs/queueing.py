"""How long a task waits before a node takes it; an overloaded queue waits for ever: ``inf``, never a negative time.

In every function ``service_seconds`` is the time s of one task on its node, and utilisation is arrival rate times s.
"""

from __future__ import annotations

import numpy as np


def mm1_waiting_seconds(arrival_rate: np.ndarray, service_seconds: np.ndarray) -> np.ndarray:
    """Mean wait in an M/M/1 queue, lam / (mu (mu - lam)) with mu = 1 / s; arguments broadcast.

    Source: Xu 2020, Sec. 3.2; deviates: the printed form lacks a factor Z, see :func:`paper_waiting_seconds`.

    >>> float(mm1_waiting_seconds(np.array(5.0), np.array(0.1)))
    0.1
    """
    utilisation = arrival_rate * service_seconds
    idle = np.where(utilisation < 1, 1 - utilisation, np.nan)
    return np.where(utilisation < 1, utilisation * service_seconds / idle, np.inf)


def md1_waiting_seconds(arrival_rate: np.ndarray, service_seconds: np.ndarray) -> np.ndarray:
    """Mean wait in an M/D/1 queue: half of M/M/1's, as all tasks take the same time (Pollaczek-Khinchine)."""
    return mm1_waiting_seconds(arrival_rate, service_seconds) / 2


def paper_waiting_seconds(
    arrival_rate: np.ndarray, service_seconds: np.ndarray, flops: np.ndarray
) -> np.ndarray:
    """The form that the paper prints, a Z / (F (F - a Z)), its number taken as seconds although its unit is s/FLOP.

    It is M/M/1's wait divided by the FLOP of the task, so nothing in practice. F is Z over the service time.

    Source: Xu 2020, Sec. 3.2, as printed.
    """
    waiting = mm1_waiting_seconds(arrival_rate, service_seconds)
    return np.where(flops > 0, waiting / np.where(flops > 0, flops, 1.0), waiting)


def erlang_c(num_servers: int, offered_load: np.ndarray) -> np.ndarray:
    """Probability that a task finds all servers busy; ``offered_load`` = arrival rate times s; 1 where overloaded.

    Erlang B by its recursion over servers, which neither overflows nor cancels, then C from B.
    """
    load = np.asarray(offered_load, dtype=np.float64)
    blocked = np.ones_like(load)
    for server in range(1, num_servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return np.where(load < num_servers, num_servers * blocked / (num_servers - load * (1 - blocked)), 1.0)


def mmc_waiting_seconds(num_servers: int, arrival_rate: float, service_seconds: np.ndarray) -> np.ndarray:
    """Mean wait in an M/M/c queue: one line of tasks before ``num_servers`` like nodes.

    Args:
        num_servers: nodes.
        arrival_rate: tasks per second over all of them.
        service_seconds: of one task, any shape.

    Source: Xu 2020, Sec. 3.2 names M/M/N and prints something else; Erlang 1917.
    """
    service = np.asarray(service_seconds, dtype=np.float64)
    load = arrival_rate * service
    free = np.where(load < num_servers, num_servers - load, np.nan)
    return np.where(load < num_servers, erlang_c(num_servers, load) * service / free, np.inf)


def mdc_waiting_seconds(num_servers: int, arrival_rate: float, service_seconds: np.ndarray) -> np.ndarray:
    """Mean wait in an M/D/c queue, approximately: one line of tasks before ``num_servers`` nodes, service times fixed.

    With unlike nodes ``service_seconds`` is the harmonic mean of theirs, so that the load is right.

    Args:
        num_servers: nodes.
        arrival_rate: tasks per second over all of them.
        service_seconds: of one task, any shape.

    Source: Cosmetatos 1975: half of M/M/c's wait, times 1 + (1 - u) (c - 1) (sqrt(4 + 5 c) - 2) / (16 u c), u being the
    utilisation; exact for one server.
    """
    utilisation = arrival_rate * np.asarray(service_seconds, dtype=np.float64) / num_servers
    busy = np.where((utilisation > 0) & (utilisation < 1), utilisation, 1.0)
    spread = (num_servers - 1) * (np.sqrt(4 + 5 * num_servers) - 2) / (16 * num_servers)
    return (
        mmc_waiting_seconds(num_servers, arrival_rate, service_seconds) / 2 * (1 + (1 - busy) / busy * spread)
    )
