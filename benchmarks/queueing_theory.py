"""What queueing theory says about stations in front of which tasks wait, to compare a simulation with.

Closed forms give means in steady state; a recursion gives the wait of every task from its arrival and service time.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

TASKS_PER_BATCH = 20_000
"""Much longer than a busy period at utilisation 0.9, so that means of batches are nearly independent."""


def pollaczek_khinchine(arrival_rate: float, mean_seconds: float, mean_square: float) -> float:
    """Mean wait in M/G/1: tasks arrive at random, and one server takes a mean and a mean square of seconds."""
    return arrival_rate * mean_square / (2 * (1 - arrival_rate * mean_seconds))


def erlang_wait(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Mean wait in M/M/c, by Erlang's C formula."""
    load = arrival_rate / service_rate
    blocked = 1.0  # Erlang's B formula by its recursion, which does not overflow
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    waits = blocked / (1 - (load / servers) * (1 - blocked))
    return waits / (servers * service_rate - arrival_rate)


def waits_of(arrivals: np.ndarray, seconds: np.ndarray, servers: int = 1) -> np.ndarray:
    """The wait of every task, first come, first served; Lindley's recursion, and Kiefer and Wolfowitz's for servers.

    Args:
        arrivals: [num_tasks] ascending.
        seconds: [num_tasks] of service.
        servers: number of tasks that are served at once.
    """
    if servers == 1:
        steps = np.append(0.0, seconds[:-1] - np.diff(arrivals)).cumsum()
        return steps - np.minimum.accumulate(steps)
    free = [0.0] * servers
    waits = np.empty(len(arrivals))
    for task, (arrival, service) in enumerate(zip(arrivals.tolist(), seconds.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + service)
        waits[task] = start - arrival
    return waits


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    standard_error: float


def controlled_mean(
    waits: np.ndarray, gaps: np.ndarray, seconds: np.ndarray, moments: tuple[float, float, float]
) -> Estimate:
    """The mean wait over runs, with the luck of the draw removed as far as it is known.

    Waits are long where tasks happen to arrive fast or to take long. The means of the gaps between arrivals, of service
    times and of their squares are known, so a regression over batches of tasks takes out what their deviations explain
    (control variates, Lavenberg and Welch 1981).

    Args:
        waits: [runs, num_tasks].
        gaps: [runs, num_tasks] between arrivals.
        seconds: [runs, num_tasks] of service.
        moments: true means of gaps, of service times and of the square of service times.
    """
    batch = min(TASKS_PER_BATCH, waits.shape[1])
    used = waits.shape[1] // batch * batch

    def batches(values: np.ndarray) -> np.ndarray:
        return values[:, :used].reshape(-1, batch).mean(axis=1)

    averages = batches(waits)
    observed = (batches(gaps), batches(seconds), batches(seconds**2))
    varied = [
        values - true for values, true in zip(observed, moments, strict=True) if np.ptp(values) > 1e-9 * true
    ]
    design = np.column_stack([np.ones(len(averages)), *varied])
    if len(averages) <= 2 * design.shape[1]:
        return Estimate(float(averages.mean()), math.nan)
    solution, *_ = np.linalg.lstsq(design, averages, rcond=None)
    variance = np.sum((averages - design @ solution) ** 2) / (len(averages) - design.shape[1])
    error = math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    return Estimate(float(solution[0]), error)


def joint_distance(counts: np.ndarray, utilisations: tuple[float, float]) -> float:
    """Total variation between the joint distribution of two stations' numbers of tasks and Jackson's product form.

    Args:
        counts: [num_samples, 2] observed numbers of tasks at the stations.
        utilisations: of the stations, each with one server and exponential service times.
    """
    size = int(counts.max()) + 1
    observed = np.zeros((size, size))
    np.add.at(observed, (counts[:, 0], counts[:, 1]), 1 / len(counts))
    expected = np.outer(*[(1 - rho) * rho ** np.arange(size) for rho in utilisations])
    return float((np.abs(observed - expected).sum() + 1 - expected.sum()) / 2)
