"""List schedulers: tasks in some order, each placed for good when its turn comes.

The rules themselves are compiled, in :mod:`cloudedge_pl.scheduling.rules`, which only a window that needs them imports.
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
    """Each task to any node that it fits, drawn evenly: what a scheduler must beat to be worth anything."""

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
    """Tasks in order of arrival to the nodes in turn; a node that a task does not fit is passed over.

    The turn goes on from window to window.
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
    """Tasks in order of arrival, each to the node that is free first, whatever its speed.

    Of nodes that are free at the same time the fastest is taken. Source: the baseline of Xu 2020, Fig. 7.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        if instance.identical and not instance.memory_binds and instance.num_tasks:
            return _first_free(instance)
        from cloudedge_pl.scheduling.rules import first_free

        ready, memory, capacity = instance.ready_seconds, instance.memory_bytes, instance.capacity_bytes
        return _complete(instance, *first_free(*_rows(instance), ready, memory, capacity))


class WorkStealing(OnePassScheduler):
    """What a pool of nodes reaches that balances itself, without anyone who knows the times.

    Tasks are dealt out in turn. A node that becomes idle takes the last task that it can run off the queue with the
    most waiting tasks; a task that runs is never taken. The outcome is what a run of the pool would give.

    Source: Zhao et al. 2018 (DeepThings) and Fernando et al. 2019 (Honeybee); deviates: stealing itself takes no time.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        from cloudedge_pl.scheduling.rules import stealing

        ready, memory, capacity = instance.ready_seconds, instance.memory_bytes, instance.capacity_bytes
        return _complete(instance, *stealing(*_rows(instance), ready, memory, capacity))


class MinCompletion(OnePassScheduler):
    """Tasks in order of arrival, each to the node that is done with it first (earliest finish time)."""

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _earliest_finish(instance, np.arange(instance.num_tasks))


class LongestProcessingTime(OnePassScheduler):
    """The longest task first, each to the node that is done with it first.

    A task is as long as on its fastest node. Source: Graham 1969, for identical machines.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        shortest = instance.times_seconds.min(axis=1)
        return _earliest_finish(instance, np.argsort(-shortest, kind="stable"))


class MinMin(OnePassScheduler):
    """Of all tasks, each at the node that would be done with it first, the one that is done first is placed; repeat.

    Source: Ibarra and Kim 1977.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, "MIN_MIN")


class MaxMin(OnePassScheduler):
    """As min-min, but the task that is done last is placed first, so that short ones fill the gaps.

    Source: Ibarra and Kim 1977.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, "MAX_MIN")


class Sufferage(OnePassScheduler):
    """The task goes first that would suffer most if its best node were taken: second-best minus best completion.

    Source: Maheswaran et al. 1999; deviates: completions are renewed after every task, not after every round.
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
    """Places the most urgent task at its earliest completion, again and again."""
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
    """The times that differ, and the row of each task in them: identical tasks share one, which is not copied."""
    row = (
        np.zeros(instance.num_tasks, dtype=np.int64) if instance.identical else np.arange(instance.num_tasks)
    )
    return np.ascontiguousarray(
        instance.times_seconds[:1] if instance.identical else instance.times_seconds
    ), row


def _complete(instance: Instance, node: np.ndarray, stuck: int) -> np.ndarray:
    """Returns the nodes; raises ValueError if a task found no room beside those that were placed."""
    if stuck < 0:
        return node
    placed = node >= 0
    held = np.bincount(node[placed], instance.memory_bytes[placed], minlength=instance.num_nodes)
    raise no_memory_left(instance, stuck, instance.capacity_bytes - held)


def _first_free(instance: Instance) -> np.ndarray:
    """:class:`FirstComeFirstServed` for identical tasks, by a heap."""
    seconds, ready = instance.times_seconds[0].tolist(), instance.ready_seconds.tolist()
    queue = [(ready[j], seconds[j], j) for j in range(len(seconds)) if seconds[j] < np.inf]
    heapq.heapify(queue)
    node = np.empty(instance.num_tasks, dtype=np.int64)
    for task in range(instance.num_tasks):
        free_at, duration, j = queue[0]
        node[task] = j
        heapq.heapreplace(queue, (free_at + duration, duration, j))
    return node
