"""Dispatches tasks one by one, each at its arrival, by the state of the queues at that moment.

The scheduler decides on windows of one task. Most schedulers then choose the node that finishes first, which needs no
call: :data:`FINISHES_FIRST` names them, and a whole window takes less than a millisecond. The others are called for
every task, which takes some tenths of a millisecond each.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling import Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.registry import SCHEDULERS

FINISHES_FIRST = frozenset(
    SCHEDULERS[name] for name in ("atsa", "exact", "lpt", "max_min", "min_completion", "min_min", "sufferage")
)
"""Classes that give a window of one task to the node that finishes it first."""


def dispatch(
    scheduler: Scheduler,
    arrivals: np.ndarray,
    task_seconds: np.ndarray,
    task_memory_bytes: float,
    free_at: np.ndarray,
    memory_bytes: np.ndarray,
) -> Assignment:
    """Assigns tasks of equal cost to nodes, each at its arrival, without knowledge of later ones.

    Args:
        scheduler: decides on windows of one task.
        arrivals: [num_tasks], ascending, in seconds of the clock.
        task_seconds: [num_nodes], of one task.
        task_memory_bytes: of one task.
        free_at: [num_nodes], when each node has finished its earlier work, on the clock.
        memory_bytes: [num_nodes], of each node.

    Returns:
        The assignment; its times count from the first arrival.

    Raises:
        ValueError: if a task fits no node.
    """
    at_once = type(scheduler) in FINISHES_FIRST and bool((task_memory_bytes <= memory_bytes).any())
    seconds = np.where(task_memory_bytes <= memory_bytes, task_seconds, np.inf) if at_once else task_seconds
    window = TaskWindow(task_seconds[None], np.array([task_memory_bytes]))
    available = np.ones(len(task_seconds), dtype=bool)
    free, node = free_at.copy(), np.empty(len(arrivals), dtype=np.int64)
    for task, arrival in enumerate(arrivals.tolist()):
        done = np.maximum(free, arrival) + seconds
        if at_once:
            chosen = int(done.argmin())
        else:
            state = NodeState(np.maximum(free - arrival, 0.0), memory_bytes, available)
            chosen = int(scheduler.assign(window, state).node[0])
        node[task], free[chosen] = chosen, done[chosen]
    loads = np.maximum(free - arrivals[0], 0.0)
    bound = max(float(np.max(free_at - arrivals[0])), float(arrivals[-1] - arrivals[0] + task_seconds.min()))
    return Assignment(node, loads, bound, np.array([loads.max()]))
