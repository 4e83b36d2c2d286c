"""List schedulers: tasks in some order, each placed for good when its turn comes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from typing_extensions import override

from cloudedge_pl.scheduling.base import OnePassScheduler
from cloudedge_pl.scheduling.identical import assign_identical
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.ledger import Ledger


class RandomScheduler(OnePassScheduler):
    """Each task to any node that it fits, drawn evenly: what a scheduler must beat to be worth anything."""

    @override
    def place(self, instance: Instance) -> np.ndarray:
        random, ledger = self.random(), Ledger(instance)
        for task in range(instance.num_tasks):
            ledger.put(task, int(random.choice(np.flatnonzero(ledger.fits(task)))))
        return ledger.node


class RoundRobin(OnePassScheduler):
    """Tasks in order of arrival to the nodes in turn; a node that a task does not fit is passed over.

    The turn goes on from window to window.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.turn = 0

    @override
    def place(self, instance: Instance) -> np.ndarray:
        ledger, nodes = Ledger(instance), instance.num_nodes
        for task in range(instance.num_tasks):
            fits = np.flatnonzero(ledger.fits(task))
            at = int(fits[np.argmin((fits - self.turn) % nodes)])
            ledger.put(task, at)
            self.turn = (at + 1) % nodes
        return ledger.node

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
        ledger = Ledger(instance)
        for task in range(instance.num_tasks):
            fits = np.flatnonzero(ledger.fits(task))
            free_first = np.lexsort((instance.times_seconds[task, fits], ledger.ready_seconds[fits]))[0]
            ledger.put(task, int(fits[free_first]))
        return ledger.node


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
        return _most_urgent(instance, lambda done: -done[:, 0])


class MaxMin(OnePassScheduler):
    """As min-min, but the task that is done last is placed first, so that short ones fill the gaps.

    Source: Ibarra and Kim 1977.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, lambda done: done[:, 0])


class Sufferage(OnePassScheduler):
    """The task goes first that would suffer most if its best node were taken: second-best minus best completion.

    Source: Maheswaran et al. 1999; deviates: completions are renewed after every task, not after every round.
    """

    @override
    def place(self, instance: Instance) -> np.ndarray:
        return _most_urgent(instance, lambda done: done[:, 1] - done[:, 0])


def _earliest_finish(instance: Instance, order: np.ndarray) -> np.ndarray:
    if instance.identical:
        return assign_identical(instance)
    ledger = Ledger(instance)
    for place, task in enumerate(order.tolist()):
        ledger.put(task, int(np.argmin(ledger.completions(order[place : place + 1])[0])))
    return ledger.node


def _most_urgent(instance: Instance, urgency: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Places the most urgent task at its earliest completion, again and again.

    Only the tasks that had the node just taken among their best two are looked at anew: nothing changed for others.

    Args:
        instance: the problem.
        urgency: of the best and second-best completion of each task, [num_tasks, 2].
    """
    ledger = Ledger(instance)
    waiting = np.ones(instance.num_tasks, dtype=bool)
    nodes, done = _best_two(ledger, np.arange(instance.num_tasks))
    for _ in range(instance.num_tasks):
        task = int(np.argmax(np.where(waiting, urgency(done), -np.inf)))
        taken = int(nodes[task, 0])
        ledger.put(task, taken)
        waiting[task] = False
        stale = np.flatnonzero(waiting & (nodes == taken).any(axis=1))
        if len(stale):
            nodes[stale], done[stale] = _best_two(ledger, stale)
    return ledger.node


def _best_two(ledger: Ledger, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and completions, [len(tasks), 2] each; the second completion is ``inf`` where there is one node only."""
    done = ledger.completions(tasks)
    if done.shape[1] == 1:
        return np.zeros((len(tasks), 2), dtype=np.int64), np.append(done, np.full_like(done, np.inf), axis=1)
    nodes = np.argpartition(done, 1, axis=1)[:, :2]
    return nodes, np.take_along_axis(done, nodes, axis=1)


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
