"""What a scheduler is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class TaskWindow:
    """The tasks of one sliding window, in order of arrival.

    Args:
        times_seconds: [num_tasks, num_nodes] execution time of each task on each node (the paper's ET); ``inf``
            marks a node that cannot run the task.
        memory_bytes: [num_tasks] that each task holds while it runs; zeros where memory does not matter.
    """

    times_seconds: np.ndarray
    memory_bytes: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        times = np.asarray(self.times_seconds, dtype=np.float64)
        if times.ndim != 2 or times.shape[1] == 0:
            raise ValueError(f"times_seconds has shape {times.shape}; expected [num_tasks, num_nodes], a node at least.")
        if np.isnan(times).any() or (times < 0).any():
            task, node = np.argwhere(np.isnan(times) | (times < 0))[0]
            raise ValueError(
                f"times_seconds[{task}, {node}] is {times[task, node]}; times are seconds >= 0, or inf where a node "
                "cannot run the task."
            )
        memory = np.asarray(self.memory_bytes, dtype=np.float64)
        memory = np.zeros(len(times)) if memory.size == 0 else memory
        if memory.shape != (len(times),) or not np.isfinite(memory).all() or (memory < 0).any():
            raise ValueError(f"memory_bytes must hold {len(times)} finite values >= 0; got shape {memory.shape}.")
        object.__setattr__(self, "times_seconds", times)
        object.__setattr__(self, "memory_bytes", memory)

    @property
    def num_tasks(self) -> int:
        return int(self.times_seconds.shape[0])

    @property
    def num_nodes(self) -> int:
        return int(self.times_seconds.shape[1])


@dataclass(frozen=True)
class NodeState:
    """The nodes as a window opens.

    Args:
        ready_seconds: [num_nodes] until the node has done what it was given before; 0 is idle.
        free_memory_bytes: [num_nodes].
        available: [num_nodes] bool; nodes that are switched off or gone get no task.
    """

    ready_seconds: np.ndarray
    free_memory_bytes: np.ndarray
    available: np.ndarray

    @classmethod
    def idle(cls, num_nodes: int) -> NodeState:
        """Every node available, idle, and with memory without limit."""
        return cls(np.zeros(num_nodes), np.full(num_nodes, np.inf), np.ones(num_nodes, dtype=bool))


@dataclass(frozen=True)
class Assignment:
    """Which node runs which task.

    Args:
        node: [num_tasks] int64.
        loads_seconds: [num_nodes] when each node is done, what it had before included; the paper's td.
        lower_bound_seconds: no schedule has a smaller makespan.
        history_seconds: [num_evaluations] best makespan so far; one entry for a scheduler that builds one schedule.
    """

    node: np.ndarray
    loads_seconds: np.ndarray
    lower_bound_seconds: float
    history_seconds: np.ndarray

    @property
    def makespan_seconds(self) -> float:
        """When the last node is done."""
        return float(self.loads_seconds.max())

    @property
    def gap(self) -> float:
        """How far the makespan may be above the best there is, as a share of the lower bound; 0 is optimal."""
        if self.lower_bound_seconds == 0:
            return 0.0 if self.makespan_seconds == 0 else float("inf")
        return self.makespan_seconds / self.lower_bound_seconds - 1.0

    @property
    def tasks_per_node(self) -> np.ndarray:
        """[num_nodes] int64; the paper's U_i of this window."""
        return np.bincount(self.node, minlength=len(self.loads_seconds))


@runtime_checkable
class Scheduler(Protocol):
    """Assigns the tasks of a window to nodes; keeps what it learns between windows in its state."""

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What must be kept for the next window: plain containers and torch-loadable values only."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        ...
