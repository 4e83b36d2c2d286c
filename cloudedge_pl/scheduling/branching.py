"""Compiled branch and bound for windows of few tasks: depth first, with the bound of the prices."""

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
    """Searches for the best schedule, large tasks first, each on its cheapest node first.

    A branch ends when memory runs out, or when a load or the reduced costs exclude a better schedule.

    Args:
        times, ready, memory, capacity, price, rent: as for :func:`cloudedge_pl.scheduling.colony.search`.
        enough: the search ends at this makespan.
        best_node: [num_tasks] a schedule that fits in memory; a better one overwrites it.
        most: largest number of pairs of task and node that are examined.

    Returns:
        Whether no schedule is better than ``best_node``, and the number of pairs examined.
    """
    num_tasks = len(times)
    reduced, dual = _reduced_costs(times, ready, memory, capacity, price, rent)
    choices, order = _preferences(times, memory, reduced)
    best = loads(times, ready, best_node).max()
    load, free, cost = ready.copy(), capacity.copy(), np.zeros(num_tasks + 1)
    node, tried = np.full(num_tasks, -1), np.zeros(num_tasks, dtype=np.int64)
    cost[0] = dual
    depth, work = 0, 0
    while depth >= 0:
        i = order[depth]
        if node[i] >= 0:
            load[node[i]] -= times[i, node[i]]
            free[node[i]] += memory[i]
        room, limit = (reduced[i], times[i], memory[i], load, free), best * (1.0 - 1e-12)
        node[i], tried[depth], examined = _next_node(choices[i], tried[depth], cost[depth], limit, room)
        work += examined
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
def _next_node(
    choices: np.ndarray, first: int, cost: float, limit: float, room: tuple[np.ndarray, ...]
) -> tuple[int, int, int]:
    """Returns the next node for a task, -1 if there is none; the next choice to try; and the number examined.

    Args:
        choices: [num_nodes] the task's nodes, cheapest first.
        first: index of the first choice to try.
        cost: of the tasks that are placed already.
        limit: the makespan must be smaller.
        room: reduced costs and times of the task, its memory, and load and free memory of the nodes.
    """
    reduced, times, memory, load, free = room
    for at in range(first, len(choices)):
        j = choices[at]
        if cost + reduced[j] >= limit:
            return -1, len(choices), at - first + 1
        if load[j] + times[j] < limit and memory <= free[j]:
            return j, at + 1, at - first + 1
    return -1, len(choices), len(choices) - first


@compiled
def _preferences(times: np.ndarray, memory: np.ndarray, reduced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nodes of each task, cheapest first [num_tasks, num_nodes], and the tasks, largest first."""
    choices = np.empty(times.shape, dtype=np.int64)
    for i in range(len(times)):
        choices[i] = np.argsort(reduced[i], kind="mergesort")
    return choices, np.argsort(-_sizes(times, memory), kind="mergesort")


@compiled
def _reduced_costs(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    price: np.ndarray,
    rent: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Returns the cost of each task beyond its cheapest node [num_tasks, num_nodes], and the bound without these."""
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
    """Returns the sum of each task's shares of the time on the fastest nodes and of memory [num_tasks]."""
    size = np.empty(len(times))
    for i in range(len(times)):
        size[i] = times[i].min()
    size /= max(size.sum(), 1e-300)
    if memory.sum() > 0.0:
        size += memory / memory.sum()
    return size
