"""Lower bounds on the makespan of any schedule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cloudedge_pl.scheduling.identical import identical_counts
from cloudedge_pl.scheduling.instance import Instance

_BLOCK = 1 << 16
"""Number of matrix entries that are processed together; they fit in the cache."""


def lower_bound(instance: Instance) -> float:
    """Computes a bound in a few passes over the matrix; it is exact for identical tasks.

    It is the largest of :func:`longest_task_bound` and :func:`priced_bound`, at equal prices and at prices in
    proportion to speed. The latter is the LP relaxation on uniform, idle machines.
    """
    if instance.num_tasks == 0:
        return float(instance.ready_seconds.max())
    if instance.identical:
        return max(float(instance.ready_seconds.max()), _identical_bound(instance))
    speed = 1.0 / mean_seconds(instance.times_seconds)
    return max(
        longest_task_bound(instance),
        priced_bound(instance, speed / speed.sum()),
        priced_bound(instance, np.full(instance.num_nodes, 1.0 / instance.num_nodes)),
    )


def longest_task_bound(instance: Instance) -> float:
    """Returns the latest ready time or the latest earliest completion of a task, whichever is later."""
    bound = float(instance.ready_seconds.max())
    for rows in _blocks(instance.times_seconds):
        bound = max(bound, float((rows + instance.ready_seconds).min(axis=1).max()))
    return bound


def priced_bound(instance: Instance, prices: np.ndarray) -> float:
    """Computes the dual bound: the least cost of all tasks if a second of node j costs ``prices[j]``.

    With prices u > 0 of sum 1, every schedule has makespan >= sum_j u_j load_j >= sum_i min_j u_j et_ij + sum_j u_j
    ready_j. The best prices give the bound of the LP relaxation (weak duality).

    Args:
        instance: the problem.
        prices: [num_nodes], > 0, of sum 1.
    """
    cost = sum(float((rows * prices).min(axis=1).sum()) for rows in _blocks(instance.times_seconds))
    return cost + float(prices @ instance.ready_seconds)


def mean_seconds(times_seconds: np.ndarray) -> np.ndarray:
    """Returns each node's mean time over the tasks that it can run, float64 [num_nodes], always above zero.

    A node that can run no task gets the mean of the other nodes.
    """
    total, count = np.zeros(times_seconds.shape[1]), np.zeros(times_seconds.shape[1])
    for rows in _blocks(times_seconds):
        runs = rows < np.inf
        total += np.where(runs, rows, 0.0).sum(axis=0)
        count += runs.sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    mean[count == 0] = np.nanmean(mean)
    return np.maximum(mean, max(mean.max() * 1e-12, 1e-300))


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(_BLOCK // matrix.shape[1], 1)
    for start in range(0, len(matrix), rows):
        yield matrix[start : start + rows]


def _identical_bound(instance: Instance) -> float:
    counts = identical_counts(instance)
    used = np.flatnonzero(counts)
    return float((instance.ready_seconds[used] + counts[used] * instance.times_seconds[0, used]).max())
