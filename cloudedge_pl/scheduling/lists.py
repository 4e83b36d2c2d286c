"""List schedulers: one task after the other, each placed for good."""

from __future__ import annotations

import heapq

import numpy as np
from typing_extensions import override

from cloudedge_pl.scheduling.base import OnePassScheduler
from cloudedge_pl.scheduling.instance import Instance, no_memory_left


class FirstComeFirstServed(OnePassScheduler):
    """Tasks in order of arrival, each to the node that is free first, whatever its speed.

    Nodes that are free at once are taken the faster first.
    Source: the baseline of Xu 2020, Fig. 7.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        if instance.identical and not instance.memory_binds and instance.num_tasks:
            return _first_free(instance)
        node = np.empty(instance.num_tasks, dtype=np.int64)
        ready, free = instance.ready_seconds.copy(), instance.capacity_bytes.copy()
        for task, seconds in enumerate(instance.times_seconds):
            open_nodes = np.flatnonzero((seconds < np.inf) & (instance.memory_bytes[task] <= free))
            if not len(open_nodes):
                raise no_memory_left(instance, task, free)
            first = open_nodes[np.lexsort((seconds[open_nodes], ready[open_nodes]))[0]]
            node[task] = first
            ready[first] += seconds[first]
            free[first] -= instance.memory_bytes[task]
        return node


def _first_free(instance: Instance) -> np.ndarray:
    seconds, ready = instance.times_seconds[0].tolist(), instance.ready_seconds.tolist()
    queue = [(ready[j], seconds[j], j) for j in range(len(seconds)) if seconds[j] < np.inf]
    heapq.heapify(queue)
    node = np.empty(instance.num_tasks, dtype=np.int64)
    for task in range(instance.num_tasks):
        free_at, duration, j = queue[0]
        node[task] = j
        heapq.heapreplace(queue, (free_at + duration, duration, j))
    return node
