"""Assignments that respect scarce memory, regardless of execution times."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.units import format_bytes, written_apart
from cloudedge_pl.scheduling.instance import Instance, no_memory_left

KICKS = 40
"""Number of restarts of the repair, each after moving some tasks at random."""

SMALL = 2000
"""Largest number of pairs of task and node for which the search for a packing is complete."""

SMALL_SECONDS = 5.0


def pack(instance: Instance) -> np.ndarray:
    """Returns a node for every task, int64 [num_tasks], within the memory of each node.

    First best fit, the largest task first; then moves and swaps that reduce the excess; then, for small windows, HiGHS.

    Raises:
        ValueError: if no packing is found; the message says whether none exists.
    """
    node = _best_fit(instance)
    proven = instance.memory_bytes.sum() > instance.capacity_bytes.sum()
    if not proven:
        random = np.random.default_rng(0)
        for _ in range(KICKS):
            if _repair(instance, node):
                return node
            _kick(instance, node, random)
        if (instance.times_seconds < np.inf).sum() <= SMALL:
            solved, proven = _solve(instance)
            if solved is not None:
                return solved
    if proven:
        raise _no_packing(instance)
    needed, there = written_apart(format_bytes, (instance.memory_bytes.sum(), instance.capacity_bytes.sum()))
    raise ValueError(
        f"found no packing of the {instance.num_tasks} tasks into the nodes' memory, though there may be one: they "
        f"need {needed} of {there}. "
        "Make the window smaller, or give the nodes more memory."
    )


def _over(instance: Instance, node: np.ndarray) -> np.ndarray:
    """Returns the bytes by which each node exceeds its memory; negative if memory is free."""
    return np.bincount(node, instance.memory_bytes, minlength=instance.num_nodes) - instance.capacity_bytes


def _best_fit(instance: Instance) -> np.ndarray:
    """Places the largest task first, where it leaves least memory free, or exceeds the memory least."""
    node = np.empty(instance.num_tasks, dtype=np.int64)
    free = instance.capacity_bytes.copy()
    for i in np.argsort(-instance.memory_bytes, kind="stable"):
        runs = instance.times_seconds[i] < np.inf
        left = np.where(runs, free - instance.memory_bytes[i], -np.inf)
        j = _tightest(left) if (left >= 0).any() else int(np.argmax(left))
        node[i] = j
        free[j] -= instance.memory_bytes[i]
    return node


def _tightest(left: np.ndarray) -> int:
    """Returns the node with least memory left among those with enough."""
    fits = np.flatnonzero(left >= 0)
    return int(fits[np.argmin(left[fits])])


def _repair(instance: Instance, node: np.ndarray) -> bool:
    """Repeats the move or swap that reduces the excess most; returns whether no excess is left."""
    runs, memory = instance.times_seconds < np.inf, instance.memory_bytes
    everyone = np.arange(instance.num_tasks)
    while True:
        over = _over(instance, node)
        if not (over > 0).any():
            return True
        excess = np.maximum(over, 0.0)
        most, change = 1e-12 * excess.sum(), None
        for i in np.flatnonzero(over[node] > 0):
            c = node[i]
            moved = excess[c] - np.maximum(over[c] - memory[i], 0.0) + excess
            moved = moved - np.maximum(over + memory[i], 0.0)
            moved[~runs[i]] = moved[c] = -np.inf
            j = int(np.argmax(moved))
            if moved[j] > most:
                most, change = moved[j], (i, j, -1)
            less = memory[i] - memory
            swapped = excess[c] + excess[node] - np.maximum(over[c] - less, 0.0)
            swapped = swapped - np.maximum(over[node] + less, 0.0)
            swapped[(node == c) | ~runs[i, node] | ~runs[everyone, c]] = -np.inf
            p = int(np.argmax(swapped))
            if swapped[p] > most:
                most, change = swapped[p], (i, int(node[p]), p)
        if change is None:
            return False
        i, j, p = change
        if p >= 0:
            node[p] = node[i]
        node[i] = j


def _kick(instance: Instance, node: np.ndarray, random: np.random.Generator) -> None:
    for i in random.choice(instance.num_tasks, min(3, instance.num_tasks), replace=False):
        node[i] = random.choice(np.flatnonzero(instance.times_seconds[i] < np.inf))


def _no_packing(instance: Instance) -> ValueError:
    """Makes the error for the first task for which best fit finds no room."""
    free = instance.capacity_bytes.copy()
    for i in np.argsort(-instance.memory_bytes, kind="stable"):
        left = np.where(instance.times_seconds[i] < np.inf, free - instance.memory_bytes[i], -1.0)
        if left.max() < 0:
            break
        j = _tightest(left)
        free[j] = left[j]
    return no_memory_left(instance, int(i), free)


def _solve(instance: Instance) -> tuple[np.ndarray | None, bool]:
    """Returns a packing by HiGHS or None, and whether none exists."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    tasks, nodes = np.nonzero(instance.times_seconds < np.inf)
    pairs = np.arange(len(tasks))
    once = coo_array((np.ones(len(pairs)), (tasks, pairs)), shape=(instance.num_tasks, len(pairs)))
    # In units of the largest need: the tolerances of HiGHS are absolute.
    unit = instance.memory_bytes.max() / 1e3
    held = coo_array(
        (instance.memory_bytes[tasks] / unit, (nodes, pairs)), shape=(instance.num_nodes, len(pairs))
    )
    solution = milp(
        np.zeros(len(pairs)),
        constraints=[
            LinearConstraint(once.tocsr(), 1.0, 1.0),
            LinearConstraint(held.tocsr(), -np.inf, instance.capacity_bytes / unit),
        ],
        integrality=np.ones(len(pairs)),
        bounds=Bounds(0.0, 1.0),
        options={"time_limit": SMALL_SECONDS},
    )
    if solution.x is None:
        return None, solution.status == 2
    node = np.empty(instance.num_tasks, dtype=np.int64)
    used = solution.x > 0.5
    node[tasks[used]] = nodes[used]
    return (None if (_over(instance, node) > 0).any() else node), False
