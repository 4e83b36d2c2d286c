"""Mean wait of a task before a node takes it. An overloaded queue has an infinite wait, never a negative one.

In every function ``service_seconds`` is the time s of one task on its node, and utilisation is arrival rate times s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.costs.formulas import SharesFormula, WaitingFormula
from cloudedge_pl.costs.units import format_seconds, written_apart
from cloudedge_pl.errors import lookup


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
    """Mean wait in an M/D/1 queue: half of M/M/1's, because all tasks take the same time (Pollaczek-Khinchine)."""
    return mm1_waiting_seconds(arrival_rate, service_seconds) / 2


def paper_waiting_seconds(
    arrival_rate: np.ndarray, service_seconds: np.ndarray, flops: np.ndarray
) -> np.ndarray:
    """The form that the paper prints, a Z / (F (F - a Z)), read as seconds although its unit is s/FLOP.

    It is M/M/1's wait divided by the FLOP of the task, which is close to 0 in practice. F is Z over the service time.

    Source: Xu 2020, Sec. 3.2, as printed.
    """
    waiting = mm1_waiting_seconds(arrival_rate, service_seconds)
    return np.where(flops > 0, waiting / np.where(flops > 0, flops, 1.0), waiting)


def erlang_c(num_servers: int, offered_load: np.ndarray) -> np.ndarray:
    """Probability that a task finds all servers busy; 1 where they are overloaded.

    Erlang B is computed by its recursion over servers, which neither overflows nor cancels; C follows from B.

    Args:
        num_servers: nodes.
        offered_load: arrival rate times s, any shape.
    """
    load = np.asarray(offered_load, dtype=np.float64)
    blocked = np.ones_like(load)
    for server in range(1, num_servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return np.where(load < num_servers, num_servers * blocked / (num_servers - load * (1 - blocked)), 1.0)


def mmc_waiting_seconds(num_servers: int, arrival_rate: float, service_seconds: np.ndarray) -> np.ndarray:
    """Mean wait in an M/M/c queue: one queue for ``num_servers`` nodes of equal speed.

    Args:
        num_servers: nodes.
        arrival_rate: tasks per second over all nodes.
        service_seconds: of one task, any shape.

    Source: Erlang 1917. Xu 2020, Sec. 3.2 names M/M/N and prints something else.
    """
    service = np.asarray(service_seconds, dtype=np.float64)
    load = arrival_rate * service
    free = np.where(load < num_servers, num_servers - load, np.nan)
    return np.where(load < num_servers, erlang_c(num_servers, load) * service / free, np.inf)


def mdc_waiting_seconds(num_servers: int, arrival_rate: float, service_seconds: np.ndarray) -> np.ndarray:
    """Approximate mean wait in an M/D/c queue: one queue for ``num_servers`` nodes, with constant service times.

    For nodes of unequal speed, ``service_seconds`` is the harmonic mean of their service times, which gives the right
    load.

    Args:
        num_servers: nodes.
        arrival_rate: tasks per second over all nodes.
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


@dataclass(frozen=True, eq=False)
class Load:
    """Arrivals and service times of the nodes, at every split point.

    Args:
        arrival_rate: tasks per second over all nodes; the paper's a_k.
        shares: [num_nodes, N + 1] of the arrivals; they sum to 1 over the nodes.
        service_seconds: [num_nodes, N + 1], of one task on each node.
        flops: [N + 1], of one task.
    """

    arrival_rate: float
    shares: np.ndarray
    service_seconds: np.ndarray
    flops: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Tasks per second at each node [num_nodes, N + 1]."""
        return self.shares * self.arrival_rate

    @property
    def utilisation(self) -> np.ndarray:
        """Share of the time during which each node computes [num_nodes, N + 1]; 1 and more is overload."""
        return self.rates * self.service_seconds


def arrival_shares(
    service_seconds: np.ndarray, flops_per_second: np.ndarray, formula: SharesFormula = "speed"
) -> np.ndarray:
    """Share of the arrivals that each node gets [num_nodes, N + 1].

    Args:
        service_seconds: [num_nodes, N + 1], of one task.
        flops_per_second: [num_nodes], speed that each node reaches. It stands in for the service times at split points
            where nothing is computed.
        formula: "speed" divides in inverse proportion to the service time, "equal" gives every node the same share.
    """
    if formula == "equal":
        return np.full_like(service_seconds, 1 / len(service_seconds))
    idle = np.broadcast_to(1 / flops_per_second[:, None], service_seconds.shape)
    rates = 1 / np.where(service_seconds.max(axis=0) > 0, service_seconds, idle)
    return rates / rates.sum(axis=0)


def pooled_waiting_seconds(load: Load) -> np.ndarray:
    """Mean wait [N + 1] if each task goes to the node that finishes it first; approximate for unequal nodes."""
    service = load.service_seconds
    idle = service.max(axis=0) == 0
    mean = len(service) / (1 / np.where(idle, 1.0, service)).sum(axis=0)
    return mdc_waiting_seconds(len(service), load.arrival_rate, np.where(idle, 0.0, mean))


def _one_queue(load: Load) -> np.ndarray:
    quickest, slowest = load.service_seconds.min(axis=0), load.service_seconds.max(axis=0)
    if not np.allclose(quickest, slowest, rtol=1e-6, atol=0):
        least, most = written_apart(format_seconds, (quickest[-1], slowest[-1]))
        raise ValueError(
            f"waiting 'mmc' is one queue for nodes of equal speed; here a task takes {least} on the quickest node and "
            f"{most} on the slowest. Use waiting 'md1' or 'mm1', or equal nodes."
        )
    return mmc_waiting_seconds(len(load.service_seconds), load.arrival_rate, load.service_seconds[0])


WAITING: dict[str, Callable[[Load], np.ndarray]] = {
    "md1": lambda load: md1_waiting_seconds(load.rates, load.service_seconds),
    "mm1": lambda load: mm1_waiting_seconds(load.rates, load.service_seconds),
    "mmc": _one_queue,
    "pooled": pooled_waiting_seconds,
    "paper": lambda load: paper_waiting_seconds(load.rates, load.service_seconds, load.flops),
}
"""Mean wait by formula, [num_nodes, N + 1], or [N + 1] for one queue before all nodes."""


def waiting_seconds(load: Load, formula: WaitingFormula = "md1") -> np.ndarray:
    """Mean wait on each node [num_nodes, N + 1].

    Args:
        load: of the nodes.
        formula: a key of :data:`WAITING`; :class:`~cloudedge_pl.costs.CostFormulas` describes them.

    Raises:
        ValueError: if the formula is unknown, or is "mmc" with nodes of unequal speed.
    """
    wait = lookup(WAITING, formula, "waiting formula")(load)
    return np.broadcast_to(wait, load.service_seconds.shape)
