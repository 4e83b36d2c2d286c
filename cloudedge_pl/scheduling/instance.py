"""The scheduling problem of a window and the state of the nodes, checked once for all schedulers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cloudedge_pl.costs.units import format_bytes, written_apart
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


@dataclass(frozen=True)
class Instance:
    """The scheduling problem R||Cmax with ready times and memory.

    Args:
        times_seconds: [num_tasks, num_nodes]; ``inf`` where the node is unavailable, cannot run the task, or has too
            little memory for it. One broadcast row if the tasks are identical.
        ready_seconds: [num_nodes].
        memory_bytes: [num_tasks] taken from the capacity of the task's node; zeros if every task only has to fit alone.
        capacity_bytes: [num_nodes] for all tasks of a node together.
        identical: whether all tasks are equal.
        deadline_seconds: [num_tasks].
    """

    times_seconds: np.ndarray
    ready_seconds: np.ndarray
    memory_bytes: np.ndarray
    capacity_bytes: np.ndarray
    identical: bool
    deadline_seconds: np.ndarray

    @property
    def num_tasks(self) -> int:
        return int(self.times_seconds.shape[0])

    @property
    def num_nodes(self) -> int:
        return int(self.times_seconds.shape[1])

    @property
    def memory_binds(self) -> bool:
        """Whether the tasks of a node compete for its memory."""
        return bool(self.memory_bytes.any())

    @classmethod
    def of(cls, window: TaskWindow, state: NodeState) -> Instance:
        """Makes the problem: marks the pairs that are not possible and checks that every task fits on a node.

        Raises:
            ValueError: if window and state have different numbers of nodes, or a task fits on no node; the message
                names the task and what it lacks.
        """
        if window.num_nodes != state.num_nodes:
            raise ValueError(
                f"the window has times for {window.num_nodes} nodes, the state describes {state.num_nodes}; "
                "both must describe the same nodes."
            )
        times, memory = window.times_seconds, window.memory_bytes
        identical = _identical(times, memory)
        rows, needs = (times[:1], memory[:1]) if identical else (times, memory)
        closed = ~state.available | (needs[:, None] > state.free_memory_bytes)
        if closed.any():
            rows = np.where(closed, np.inf, rows)
        repeat = identical and len(times) > 0
        times = np.broadcast_to(rows, times.shape) if repeat else rows
        fits = (rows < np.inf).any(axis=1)
        if not fits.all():
            raise _fits_nowhere(int(np.argmin(fits)), window, state)
        holds = window.queue_holds_memory
        return cls(
            times,
            state.ready_seconds,
            memory if holds else np.zeros(len(times)),
            state.free_memory_bytes if holds else np.full(state.num_nodes, np.inf),
            identical,
            window.deadline_seconds,
        )

    def loads(self, node: np.ndarray) -> np.ndarray:
        """Returns the time at which each node finishes, float64 [num_nodes], if task i runs on ``node[i]``."""
        if self.identical and self.num_tasks:
            row, count = self.times_seconds[0], np.bincount(node, minlength=self.num_nodes)
            return self.ready_seconds + count * np.where(count > 0, row, 0.0)
        taken = self.times_seconds[np.arange(self.num_tasks), node]
        return self.ready_seconds + np.bincount(node, taken, minlength=self.num_nodes)

    def last_done(self, node: np.ndarray) -> float:
        """Returns the end of the last task: the makespan without the nodes that get no task."""
        return float(self.loads(node)[np.bincount(node, minlength=self.num_nodes) > 0].max(initial=0.0))

    def useful(self, node: np.ndarray) -> np.ndarray:
        """Returns which nodes are used by this schedule, or by any schedule whose last task ends earlier: [num_nodes].

        The other nodes have backlogs that no schedule changes. Without them, the tasks are still finished as early as
        possible, even if such a backlog determines the makespan.
        """
        used = np.bincount(node, minlength=self.num_nodes) > 0
        runs = (self.times_seconds < np.inf).any(axis=0)
        return used | (runs & (self.ready_seconds < self.last_done(node)))

    def on(self, nodes: np.ndarray) -> Instance:
        """Returns the problem on a subset of the nodes, by index."""
        return replace(
            self,
            times_seconds=self.times_seconds[:, nodes],
            ready_seconds=self.ready_seconds[nodes],
            capacity_bytes=self.capacity_bytes[nodes],
        )

    def assignment(
        self, node: np.ndarray, lower_bound_seconds: float, history_seconds: np.ndarray | None = None
    ) -> Assignment:
        """Makes the assignment; a scheduler that builds a single schedule gives no history.

        Raises:
            ValueError: if a node holds tasks beyond its memory.
        """
        node = node.astype(np.int64, copy=False)
        loads = self.loads(node)
        makespan = loads.max()
        assert makespan < np.inf, "a task was put on a node that cannot run it"
        self._check_memory(node)
        history = np.array([makespan]) if history_seconds is None else history_seconds
        missed = np.zeros(0, dtype=np.int64)
        if (self.deadline_seconds < np.inf).any():
            missed = np.flatnonzero(self.finish_seconds(node) > self.deadline_seconds)
        # A valid bound can exceed the makespan only by rounding.
        return Assignment(node, loads, min(float(lower_bound_seconds), float(makespan)), history, missed)

    def finish_seconds(self, node: np.ndarray) -> np.ndarray:
        """Returns the end of each task, float64 [num_tasks].

        A node runs the task with the earliest deadline first, and tasks of equal deadline in order of arrival. If any
        order meets every deadline, this one does (Jackson 1955).
        """
        order = np.lexsort((self.deadline_seconds, node))
        taken = self.times_seconds[order, node[order]]
        total = np.cumsum(taken)
        first = np.flatnonzero(np.diff(node[order], prepend=-1))
        before = np.repeat(total[first] - taken[first], np.diff(first, append=len(order)))
        finish = np.empty(self.num_tasks)
        finish[order] = self.ready_seconds[node[order]] + total - before
        return finish

    def _check_memory(self, node: np.ndarray) -> None:
        over = self.overfull(node)
        assert not len(over), f"node {over[0]} holds tasks beyond its memory"

    def overfull(self, node: np.ndarray) -> np.ndarray:
        """Returns the nodes whose tasks exceed their memory if task i runs on ``node[i]``."""
        if not self.memory_binds:
            return np.zeros(0, dtype=np.int64)
        held = np.bincount(node, self.memory_bytes, minlength=self.num_nodes)
        return np.flatnonzero(held > self.capacity_bytes * (1 + 1e-12))


def no_memory_left(instance: Instance, task: int, free_bytes: np.ndarray) -> ValueError:
    """Makes the error for a task that does not fit next to the tasks that are already placed."""
    runs = instance.times_seconds[task] < np.inf
    largest = int(np.argmax(np.where(runs, free_bytes, -1.0)))
    needs, free = written_apart(format_bytes, (instance.memory_bytes[task], free_bytes[largest]))
    return ValueError(
        f"task {task} fits no node: it needs {needs} and the largest free memory "
        f"among its nodes is {free}, of node {largest}, with the other tasks of the "
        "window in place. Make the window smaller, or give the nodes more memory."
    )


def _identical(times: np.ndarray, memory: np.ndarray) -> bool:
    if len(times) < 2:
        return True
    if memory.min() != memory.max():
        return False
    if times.strides[0] == 0:
        return True
    return bool((times[1] == times[0]).all() and (times == times[0]).all())


def _fits_nowhere(task: int, window: TaskWindow, state: NodeState) -> ValueError:
    runs = window.times_seconds[task] < np.inf
    if not state.available.any():
        return ValueError(f"task {task} fits no node: none of the {state.num_nodes} nodes is available.")
    if not (runs & state.available).any():
        return ValueError(
            f"task {task} fits no node: its times_seconds are inf on every one of the "
            f"{int(state.available.sum())} available nodes."
        )
    free = np.where(runs & state.available, state.free_memory_bytes, -1.0)
    largest = int(np.argmax(free))
    needs, most = written_apart(format_bytes, (window.memory_bytes[task], free[largest]))
    return ValueError(
        f"task {task} fits no node: it needs {needs} and the largest free memory is "
        f"{most}, of node {largest}. Give a node more memory, or the task less."
    )
