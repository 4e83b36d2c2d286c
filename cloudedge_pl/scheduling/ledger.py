"""Loads and free memory of the nodes while a schedule is built."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.instance import Instance, no_memory_left


class Ledger:
    """Where tasks are put, one after the other.

    Attributes:
        node: [num_tasks] int64, -1 where not placed yet.
        ready_seconds: [num_nodes] when each node is done.
        free_bytes: [num_nodes].
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.node = np.full(instance.num_tasks, -1, dtype=np.int64)
        self.ready_seconds = instance.ready_seconds.copy()
        self.free_bytes = instance.capacity_bytes.copy()

    def fits(self, task: int) -> np.ndarray:
        """Returns the nodes that can run the task and have memory left for it, bool [num_nodes].

        Raises:
            ValueError: if there is none.
        """
        runs = self.instance.times_seconds[task] < np.inf
        fits = runs & (self.instance.memory_bytes[task] <= self.free_bytes)
        if not fits.any():
            raise no_memory_left(self.instance, task, self.free_bytes)
        return fits

    def completions(self, tasks: np.ndarray) -> np.ndarray:
        """Returns when each node would be done with each task, float64 [len(tasks), num_nodes].

        ``inf`` stands where a task may not run.

        Raises:
            ValueError: if a task fits nowhere.
        """
        done = self.ready_seconds + self.instance.times_seconds[tasks]
        if self.instance.memory_binds:
            done[self.instance.memory_bytes[tasks][:, None] > self.free_bytes] = np.inf
            stuck = np.isinf(done).all(axis=1)
            if stuck.any():
                raise no_memory_left(self.instance, int(tasks[np.argmax(stuck)]), self.free_bytes)
        return done

    def put(self, task: int, node: int) -> None:
        """Places a task for good."""
        self.node[task] = node
        self.ready_seconds[node] += self.instance.times_seconds[task, node]
        self.free_bytes[node] -= self.instance.memory_bytes[task]
