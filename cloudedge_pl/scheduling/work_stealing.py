"""Work stealing: every node starts with a share of the tasks, and who runs out takes from the longest queue."""

from __future__ import annotations

import heapq
from collections import deque

import numpy as np
from typing_extensions import override

from cloudedge_pl.scheduling.base import OnePassScheduler
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.ledger import Ledger


class WorkStealing(OnePassScheduler):
    """What a pool of nodes reaches that balances itself, without anyone who knows the times.

    Tasks are dealt out in turn. A node that becomes idle takes the last task that it can run off the queue with the
    most waiting tasks; a task that runs is never taken. The outcome is what a run of the pool would give.

    Source: Zhao et al. 2018 (DeepThings) and Fernando et al. 2019 (Honeybee); deviates: stealing itself takes no time.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        ledger = Ledger(instance)
        queues: list[deque[int]] = [deque() for _ in range(instance.num_nodes)]
        turn = 0
        for task in range(instance.num_tasks):
            fits = np.flatnonzero(ledger.fits(task))
            at = int(fits[np.argmin((fits - turn) % instance.num_nodes)])
            turn = at + 1
            ledger.put(task, at)
            queues[at].append(task)
        return _run(instance, queues, ledger.free_bytes)


def _run(instance: Instance, queues: list[deque[int]], free_bytes: np.ndarray) -> np.ndarray:
    """Plays the pool through; returns the node on which each task ran."""
    times, memory = instance.times_seconds, instance.memory_bytes
    node = np.full(instance.num_tasks, -1, dtype=np.int64)
    idle = [(ready, j) for j, ready in enumerate(instance.ready_seconds.tolist())]
    heapq.heapify(idle)
    while idle:
        clock, thief = heapq.heappop(idle)
        task = queues[thief].popleft() if queues[thief] else None
        if task is None:
            # Longest first; of equal queues that of the lowest number.
            for victim in sorted(range(len(queues)), key=lambda j: -len(queues[j])):
                fitting = (
                    waiting
                    for waiting in reversed(queues[victim])
                    if times[waiting, thief] < np.inf and memory[waiting] <= free_bytes[thief]
                )
                task = next(fitting, None)
                if task is not None:
                    queues[victim].remove(task)
                    free_bytes[victim] += memory[task]
                    free_bytes[thief] -= memory[task]
                    break
        if task is not None:
            node[task] = thief
            heapq.heappush(idle, (clock + float(times[task, thief]), thief))
    return node
