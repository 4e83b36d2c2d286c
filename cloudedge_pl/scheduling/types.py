"""Input and output of a scheduler: a window of tasks and the state of the nodes in, a node for every task out.

A task is one sample. In training, the batch of a step is one window; in inference, a window is what the simulator has
collected when it calls the scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

_EMPTY = np.zeros(0)


@dataclass(frozen=True)
class TaskWindow:
    """The tasks of one sliding window, in order of arrival.

    A node runs one task at a time. Times are relative to the opening of the window.

    Args:
        times_seconds: [num_tasks, num_nodes] execution time of each task on each node (the paper's ET); ``inf``
            marks a node that cannot run the task. Equal tasks may be one broadcast row:
            ``np.broadcast_to(row, (num_tasks, num_nodes))`` is checked and scheduled without a copy.
        memory_bytes: [num_tasks] held by each task while it runs; zeros if memory does not matter.
        deadline_seconds: [num_tasks] relative to the opening; ``inf`` if left out.
        queue_holds_memory: whether a task holds its memory from its assignment to its end, because its input waits at
            the node. All tasks of a node must then fit at once; otherwise every task must fit alone.

    Raises:
        ValueError: if a shape or a value is not valid.
    """

    times_seconds: np.ndarray
    memory_bytes: np.ndarray = field(default_factory=lambda: _EMPTY)
    deadline_seconds: np.ndarray = field(default_factory=lambda: _EMPTY)
    queue_holds_memory: bool = False

    def __post_init__(self) -> None:
        times = np.asarray(self.times_seconds, dtype=np.float64)
        if times.ndim != 2 or times.shape[1] == 0:
            raise ValueError(
                f"times_seconds has shape {times.shape}; expected [num_tasks, num_nodes] with at least one node."
            )
        distinct = times[:1] if times.strides[0] == 0 else times
        if distinct.size and not distinct.min() >= 0:  # nan fails the comparison, too
            task, node = np.argwhere(~(distinct >= 0))[0]
            raise ValueError(
                f"times_seconds[{task}, {node}] is {times[task, node]}; times are seconds >= 0, or inf where "
                "a node cannot run the task."
            )
        object.__setattr__(self, "times_seconds", times)
        memory = _column("memory_bytes", self.memory_bytes, len(times), 0.0)
        _require("memory_bytes", memory, (memory >= 0) & (memory < np.inf), "bytes, finite and >= 0")
        deadline = _column("deadline_seconds", self.deadline_seconds, len(times), np.inf)
        _require("deadline_seconds", deadline, ~np.isnan(deadline), "seconds, or inf where there is none")
        object.__setattr__(self, "memory_bytes", memory)
        object.__setattr__(self, "deadline_seconds", deadline)

    @classmethod
    def from_work(
        cls, work_flops: np.ndarray, speed_flops_per_second: np.ndarray, **columns: Any
    ) -> TaskWindow:
        """Makes a window of tasks that differ only in their work, on nodes that differ only in their speed.

        Args:
            work_flops: [num_tasks].
            speed_flops_per_second: [num_nodes], above 0.
            **columns: further arguments of :class:`TaskWindow`.
        """
        work = np.asarray(work_flops, dtype=np.float64)
        speed = np.asarray(speed_flops_per_second, dtype=np.float64)
        _require("speed_flops_per_second", speed, speed > 0, "above 0")
        return cls(work[:, None] / speed[None, :], **columns)

    @property
    def num_tasks(self) -> int:
        return int(self.times_seconds.shape[0])

    @property
    def num_nodes(self) -> int:
        return int(self.times_seconds.shape[1])


@dataclass(frozen=True)
class NodeState:
    """State of the nodes at the opening of a window.

    Args:
        ready_seconds: [num_nodes] time until the node has finished its earlier tasks; 0 if it is idle.
        free_memory_bytes: [num_nodes] for tasks of this window.
        available: [num_nodes] bool; nodes that are switched off or absent get no task.
        names: unique labels by which a scheduler recognises a node in a later window, after others have joined or left.
            Without names, a node is identified by its position.

    Raises:
        ValueError: if a shape or a value is not valid, or names are not unique.
    """

    ready_seconds: np.ndarray
    free_memory_bytes: np.ndarray
    available: np.ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ready = np.asarray(self.ready_seconds, dtype=np.float64)
        if ready.ndim != 1:
            raise ValueError(f"ready_seconds has shape {ready.shape}; expected [num_nodes].")
        _require("ready_seconds", ready, (ready >= 0) & (ready < np.inf), "seconds, finite and >= 0")
        free = _column("free_memory_bytes", self.free_memory_bytes, len(ready), np.inf)
        _require("free_memory_bytes", free, free >= 0, "bytes, >= 0")
        available = np.asarray(self.available, dtype=bool)
        if available.shape != ready.shape:
            raise ValueError(
                f"available has shape {available.shape}; expected [{len(ready)}] as ready_seconds."
            )
        names = tuple(self.names) or tuple(map(str, range(len(ready))))
        if len(set(names)) != len(ready):
            raise ValueError(
                f"names must be {len(ready)} unique labels, one per node; got {len(set(names))}."
            )
        object.__setattr__(self, "ready_seconds", ready)
        object.__setattr__(self, "free_memory_bytes", free)
        object.__setattr__(self, "available", available)
        object.__setattr__(self, "names", names)

    @classmethod
    def idle(cls, num_nodes: int) -> NodeState:
        """Returns available, idle nodes with unlimited memory."""
        return cls(np.zeros(num_nodes), np.full(num_nodes, np.inf), np.ones(num_nodes, dtype=bool))

    @property
    def num_nodes(self) -> int:
        return len(self.ready_seconds)


@dataclass(frozen=True)
class Assignment:
    """Which node runs which task.

    Args:
        node: [num_tasks] int64.
        loads_seconds: [num_nodes] time at which each node finishes, including its backlog; the paper's td.
        lower_bound_seconds: no schedule has a smaller makespan.
        history_seconds: [num_evaluations] best makespan so far; one entry for a scheduler that builds one schedule.
        missed_deadlines: indices of the tasks that end after their deadline.
    """

    node: np.ndarray
    loads_seconds: np.ndarray
    lower_bound_seconds: float
    history_seconds: np.ndarray
    missed_deadlines: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def makespan_seconds(self) -> float:
        """Time at which the last node finishes."""
        return float(self.loads_seconds.max())

    @property
    def gap(self) -> float:
        """Largest excess of the makespan over the optimum, as a share of the lower bound; 0 is optimal."""
        if self.lower_bound_seconds == 0:
            return 0.0 if self.makespan_seconds == 0 else float("inf")
        return self.makespan_seconds / self.lower_bound_seconds - 1.0

    @property
    def tasks_per_node(self) -> np.ndarray:
        """[num_nodes] int64; the paper's U_i of this window."""
        return np.bincount(self.node, minlength=len(self.loads_seconds))


@runtime_checkable
class Scheduler(Protocol):
    """Assigns the tasks of a window to nodes. What it learns from window to window is its state."""

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if a task fits on no node.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for the next window: plain containers, numbers and strings only."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        ...


def _column(name: str, values: np.ndarray, length: int, default: float) -> np.ndarray:
    column = np.asarray(values, dtype=np.float64)
    if column.size == 0:
        return np.full(length, default)
    if column.shape != (length,):
        raise ValueError(f"{name} has shape {column.shape}; expected [{length}].")
    return column


def _require(name: str, values: np.ndarray, good: np.ndarray, what: str) -> None:
    if not good.all():
        first = int(np.argmin(good))
        raise ValueError(f"{name}[{first}] is {values[first]}; it must be {what}.")
