"""Branch and bound for windows of few tasks: compiled, depth first, with the prices' bound."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.scheduling.local_search import loads


@compiled
def branch(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    price: np.ndarray,
    rent: np.ndarray,
    enough: float,
    best_node: np.ndarray,
    most: int,
) -> tuple[bool, int]:
    """Looks for the best schedule, the large tasks first, each on its cheapest node first.

    A branch ends where memory runs out, or where a load or the reduced costs of its tasks leave nothing better than
    the best schedule.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        price: [num_nodes] of a second, of sum 1.
        rent: [num_nodes] of a byte, in the same unit.
        enough: a makespan that needs no better one.
        best_node: [num_tasks] a schedule that memory allows; a better one is written over it.
        most: pairs of task and node that are looked at.

    Returns:
        Whether no schedule is better than the one in ``best_node``, and how many pairs were looked at.
    """
    num_tasks, num_nodes = times.shape
    reduced, dual = _reduced_costs(times, ready, memory, capacity, price, rent)
    choices = np.empty((num_tasks, num_nodes), dtype=np.int64)
    for i in range(num_tasks):
        choices[i] = np.argsort(reduced[i], kind="mergesort")
    order = np.argsort(-_sizes(times, memory), kind="mergesort")
    best = loads(times, ready, best_node).max()
    load, free = ready.copy(), capacity.copy()
    node, tried = np.full(num_tasks, -1), np.zeros(num_tasks, dtype=np.int64)
    cost = np.zeros(num_tasks + 1)
    cost[0] = dual
    depth, work = 0, 0
    while depth >= 0:
        i = order[depth]
        if node[i] >= 0:
            load[node[i]] -= times[i, node[i]]
            free[node[i]] += memory[i]
            node[i] = -1
        limit = best * (1.0 - 1e-12)
        while tried[depth] < num_nodes:
            j = choices[i, tried[depth]]
            tried[depth] += 1
            work += 1
            if cost[depth] + reduced[i, j] >= limit:
                tried[depth] = num_nodes
            elif load[j] + times[i, j] < limit and memory[i] <= free[j]:
                node[i] = j
                break
        if node[i] < 0:
            tried[depth] = 0
            depth -= 1
        else:
            load[node[i]] += times[i, node[i]]
            free[node[i]] -= memory[i]
            cost[depth + 1] = cost[depth] + reduced[i, node[i]]
            if depth + 1 < num_tasks:
                depth += 1
            else:
                found = loads(times, ready, node).max()
                if found < best:
                    best = found
                    best_node[:] = node
                    if best <= enough:
                        return True, work
        if work > most:
            return False, work
    return True, work


@compiled
def _reduced_costs(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    price: np.ndarray,
    rent: np.ndarray,
) -> tuple[np.ndarray, float]:
    """What each task costs beyond its cheapest node, [num_tasks, num_nodes], and the bound without these."""
    reduced, dual = np.empty(times.shape), 0.0
    for j in range(len(ready)):
        dual += price[j] * ready[j]
        if rent[j] > 0.0:
            dual -= rent[j] * capacity[j]
    for i in range(len(times)):
        for j in range(len(ready)):
            reduced[i, j] = times[i, j] * price[j] + memory[i] * rent[j]
        cheapest = reduced[i].min()
        reduced[i] -= cheapest
        dual += cheapest
    return reduced, dual


@compiled
def _sizes(times: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Each task's share of the time on the fastest nodes, and of memory, together; [num_tasks]."""
    size = np.empty(len(times))
    for i in range(len(times)):
        size[i] = times[i].min()
    size /= max(size.sum(), 1e-300)
    if memory.sum() > 0.0:
        size += memory / memory.sum()
    return size
