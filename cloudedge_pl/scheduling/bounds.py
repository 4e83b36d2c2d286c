"""Lower bounds on the makespan: what no schedule can beat."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.identical import counts_of_identical_tasks
from cloudedge_pl.scheduling.instance import Instance


def lower_bound(instance: Instance) -> float:
    """A bound from a few passes over the matrix; exact for identical tasks.

    The largest of: the latest ready node; the task that every node finishes late; and :func:`priced_bound` at even
    prices and at prices in proportion to speed (which is the LP relaxation on uniform, idle machines).
    """
    times, ready = instance.times_seconds, instance.ready_seconds
    latest = float(ready.max())
    if instance.num_tasks == 0:
        return latest
    if instance.identical:
        return max(latest, _identical_bound(instance))
    slowest = float((times + ready).min(axis=1).max())
    usable = np.isfinite(times)
    mean = np.where(usable, times, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    speed = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)
    even = np.where(usable.any(axis=0), 1.0, 0.0)
    return max(latest, slowest, priced_bound(instance, speed), priced_bound(instance, even))


def priced_bound(instance: Instance, prices: np.ndarray) -> float:
    """The dual bound: what the tasks cost at least if a second of node j is priced at ``prices[j]``.

    With prices u >= 0 of sum 1, every schedule has makespan >= sum_j u_j load_j >= sum_i min_j u_j et_ij + sum_j u_j
    ready_j; the best prices give the bound of the LP relaxation (weak duality).

    Args:
        instance: the problem.
        prices: [num_nodes], >= 0; scaled to sum 1 here.
    """
    total = prices.sum()
    if total <= 0:
        return 0.0
    prices = prices / total
    priced = np.where(np.isfinite(instance.times_seconds), instance.times_seconds * prices, np.inf)
    return float(priced.min(axis=1).sum() + prices @ instance.ready_seconds)


def _identical_bound(instance: Instance) -> float:
    row, memory = instance.times_seconds[0], float(instance.memory_bytes[0])
    counts = counts_of_identical_tasks(
        instance.num_tasks, row, instance.ready_seconds, tasks_that_fit(instance.capacity_bytes, memory)
    )
    used = counts > 0
    return float((instance.ready_seconds[used] + counts[used] * row[used]).max())


def tasks_that_fit(capacity_bytes: np.ndarray, task_bytes: float) -> np.ndarray:
    """Returns how many tasks of ``task_bytes`` fit each node at once, float64 [num_nodes]; ``inf`` for no limit."""
    if task_bytes == 0:
        return np.full(len(capacity_bytes), np.inf)
    return np.floor(capacity_bytes / task_bytes)
