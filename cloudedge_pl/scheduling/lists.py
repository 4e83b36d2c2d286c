"""List schedulers: tasks are placed one after the other and never moved.

The rules are compiled in :mod:`cloudedge_pl.scheduling.rules`, which is imported when a window needs it.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from typing_extensions import override

from cloudedge_pl.scheduling.base import OnePassScheduler
from cloudedge_pl.scheduling.identical import assign_identical
from cloudedge_pl.scheduling.instance import Instance, no_memory_left


class RandomScheduler(OnePassScheduler):
    """Each task goes to a random node with room for it: a baseline that every scheduler should beat."""

    @override
    def place(self, instance: Instance) -> np.ndarray:
        random, free = self.random(), instance.capacity_bytes.copy()
        node = np.full(instance.num_tasks, -1, dtype=np.int64)
        for task, needs in enumerate(instance.memory_bytes.tolist()):
            fits = np.flatnonzero((instance.times_seconds[task] < np.inf) & (needs <= free))
            if not len(fits):
                return _complete(instance, node, task)
            node[task] = random.choice(fits)
            free[node[task]] -= needs
        return node


class RoundRobin(OnePassScheduler):
    """Tasks go to the nodes in turn, in order of arrival; nodes without room for a task are skipped.

    The turn continues from window to window.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.turn = 0

    @override
    def place(self, instance: Instance) -> np.ndarray:
        from cloudedge_pl.scheduling.rules import in_turn

        memory, capacity = instance.memory_bytes, instance.capacity_bytes
        node = _complete(
            instance, *in_turn(*_rows(instance), memory, capacity, self.turn % instance.num_nodes)
        )
        if len(node):
            self.turn = int(node[-1] + 1) % instance.num_nodes
        return node

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "turn": self.turn}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.turn = int(state["turn"])


class FirstComeFirstServed(OnePassScheduler):
    """Tasks in order of arrival, each to the node that is free first, regardless of its speed.

    Of nodes that are free at the same time, the fastest is chosen. Source: the baseline of Xu 2020, Fig. 7.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        if instance.identical and not instance.memory_binds and instance.num_tasks:
            return _first_free(instance)
        from cloudedge_pl.scheduling.rules import first_free

        ready, memory, capacity = instance.ready_seconds, instance.memory_bytes, instance.capacity_bytes
        return _complete(instance, *first_free(*_rows(instance), ready, memory, capacity))


class WorkStealing(OnePassScheduler):
    """Nodes that balance their load by themselves, without knowledge of the execution times.

    Tasks are dealt out in turn. A node that becomes idle takes the last task that it can run from the longest queue.
    Running tasks are never moved. The result is that of a simulation of such nodes.

    Source: Zhao et al. 2018 (DeepThings) and Fernando et al. 2019 (Honeybee); deviates: stealing itself takes no time.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        from cloudedge_pl.scheduling.rules import stealing

        ready, memory, capacity = instance.ready_seconds, instance.memory_bytes, instance.capacity_bytes
        return _complete(instance, *stealing(*_rows(instance), ready, memory, capacity))


class MinCompletion(OnePassScheduler):
    """Tasks in order of arrival, each to the node that finishes it first (earliest finish time)."""

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _earliest_finish(instance, np.arange(instance.num_tasks))


class LongestProcessingTime(OnePassScheduler):
    """The longest task first, each to the node that finishes it first.

    The length of a task is its time on its fastest node. Source: Graham 1969, for identical machines.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        shortest = instance.times_seconds.min(axis=1)
        return _earliest_finish(instance, np.argsort(-shortest, kind="stable"))


class MinMin(OnePassScheduler):
    """The task that can be finished earliest is placed next, on the node that finishes it first.

    Source: Ibarra and Kim 1977.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, "MIN_MIN")


class MaxMin(OnePassScheduler):
    """As min-min, but the task whose earliest completion is latest is placed next, so that short tasks fill the gaps.

    Source: Ibarra and Kim 1977.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, "MAX_MIN")


class Sufferage(OnePassScheduler):
    """The task that loses most without its best node is placed next: second-best minus best completion.

    Source: Maheswaran et al. 1999; deviates: completions are updated after every task, not after every round.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, "SUFFERAGE")


def _earliest_finish(instance: Instance, order: np.ndarray) -> np.ndarray:
    if instance.identical:
        return assign_identical(instance)
    from cloudedge_pl.scheduling.rules import earliest_finish

    return _complete(
        instance,
        *earliest_finish(
            np.ascontiguousarray(instance.times_seconds),
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            order,
        ),
    )


def _most_urgent(instance: Instance, rule: str) -> np.ndarray:
    """Places the most urgent task at its earliest completion until all are placed."""
    if instance.num_tasks == 0:
        return np.zeros(0, dtype=np.int64)
    from cloudedge_pl.scheduling import rules

    return _complete(
        instance,
        *rules.most_urgent(
            np.ascontiguousarray(instance.times_seconds),
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            getattr(rules, rule),
            np.inf,
        ),
    )


def _rows(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct rows of times and the row of each task; identical tasks share one row."""
    row = (
        np.zeros(instance.num_tasks, dtype=np.int64) if instance.identical else np.arange(instance.num_tasks)
    )
    return np.ascontiguousarray(
        instance.times_seconds[:1] if instance.identical else instance.times_seconds
    ), row


def _complete(instance: Instance, node: np.ndarray, stuck: int) -> np.ndarray:
    """Returns the nodes; raises ValueError if there was no room for a task."""
    if stuck < 0:
        return node
    placed = node >= 0
    held = np.bincount(node[placed], instance.memory_bytes[placed], minlength=instance.num_nodes)
    raise no_memory_left(instance, stuck, instance.capacity_bytes - held)


def _first_free(instance: Instance) -> np.ndarray:
    """Computes :class:`FirstComeFirstServed` for identical tasks with a heap."""
    seconds, ready = instance.times_seconds[0].tolist(), instance.ready_seconds.tolist()
    queue = [(ready[j], seconds[j], j) for j in range(len(seconds)) if seconds[j] < np.inf]
    heapq.heapify(queue)
    node = np.empty(instance.num_tasks, dtype=np.int64)
    for task in range(instance.num_tasks):
        free_at, duration, j = queue[0]
        node[task] = j
        heapq.heapreplace(queue, (free_at + duration, duration, j))
    return node
