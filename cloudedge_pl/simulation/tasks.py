"""Tasks that a fleet runs: their classes, and a stream of them as columns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudedge_pl.errors import require_fields, require_positive, require_range

DTYPES: dict[str, Any] = {
    "arrival_seconds": np.float64,
    "kind": np.int32,
    "size": np.float64,
    "work": np.float64,
    "deadline_seconds": np.float64,
    "noise": np.float64,
    "slowdown": np.float64,
    "exits": np.uint8,
    "audited": np.uint8,
    "sample": np.int64,
}
"""The columns of :class:`Tasks` and their types."""


@dataclass(frozen=True, kw_only=True)
class TaskClass:
    """A kind of task.

    Args:
        name: unique among the classes of a workload.
        share: of all tasks, relative to the shares of the other classes; in [1e-9, 1e9], as size and work.
        size: multiplies the bytes of input and cut tensors.
        work: multiplies the seconds at node, exit head and cloud.
        deadline_seconds: longest delay from the arrival with which the answer is in time; infinite is none.

    Raises:
        ValueError: if a value is outside its range.
    """

    name: str = "task"
    share: float = 1.0
    size: float = 1.0
    work: float = 1.0
    deadline_seconds: float = math.inf

    def __post_init__(self) -> None:
        owner = f"task class {self.name!r}"
        require_fields(owner, self)
        require_range(owner, 1e-9, 1e9, share=self.share, size=self.size, work=self.work)
        require_positive(owner, allow_infinite=True, deadline_seconds=self.deadline_seconds)


@dataclass(frozen=True, kw_only=True)
class ServiceNoise:
    """How the time that a node takes for a task varies around its mean; the scheduler knows the mean only.

    Args:
        jitter: standard deviation of the logarithm of the time, which keeps its mean, in [0, 10]: one for all nodes, or
            one a node.
        straggler_probability: probability that a task takes longer, in [0, 1].
        straggler_slowdown: by this factor, in [1, 1e9].

    Raises:
        ValueError: if a value is outside its range.
    """

    jitter: float | tuple[float, ...] = 0.0
    straggler_probability: float = 0.0
    straggler_slowdown: float = 4.0

    def __post_init__(self) -> None:
        if isinstance(self.jitter, Sequence):
            object.__setattr__(self, "jitter", tuple(self.jitter))
        require_fields("service", self)
        each = self.jitter if isinstance(self.jitter, tuple) else (self.jitter,)
        for node, jitter in enumerate(each):
            values: dict[str, Any] = {f"jitter[{node}]": jitter}
            require_range("service", 0, 10, **values)
        require_range("service", 0, 1, straggler_probability=self.straggler_probability)
        require_range("service", 1, 1e9, straggler_slowdown=self.straggler_slowdown)

    def jitter_of(self, num_nodes: int) -> np.ndarray:
        """Returns the jitter of every node, float64 [num_nodes].

        Raises:
            ValueError: if there is another number of nodes.
        """
        if isinstance(self.jitter, tuple) and len(self.jitter) != num_nodes:
            raise ValueError(
                f"service: jitter has {len(self.jitter)} values and the fleet {num_nodes} nodes; give one value, or "
                "one for each node."
            )
        return np.broadcast_to(np.asarray(self.jitter, dtype=np.float64), (num_nodes,))


@dataclass(frozen=True, eq=False, kw_only=True)
class Tasks:
    """A stream of tasks, as columns [num_tasks] in order of arrival.

    Args:
        arrival_seconds: on the virtual clock, finite, ascending.
        kind: index of the task's class.
        size: multiplies the bytes of input and cut tensors.
        work: multiplies the seconds at node, exit head and cloud.
        deadline_seconds: longest delay from the arrival with which the answer is in time; inf for none.
        noise: standard normal value of the time at the node.
        slowdown: of the time at the node, at least 1; above 1 for a straggler.
        exits: whether the exit head is sure of this task, uint8.
        audited: whether the task goes to the cloud although it could exit, uint8.
        sample: row in a table of outcomes; -1 for none.

    Raises:
        ValueError: if a column has another length than the first, or arrivals are not finite and ascending.
    """

    arrival_seconds: np.ndarray
    kind: np.ndarray
    size: np.ndarray
    work: np.ndarray
    deadline_seconds: np.ndarray
    noise: np.ndarray
    slowdown: np.ndarray
    exits: np.ndarray
    audited: np.ndarray
    sample: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in DTYPES.items():
            column = np.asarray(getattr(self, name), dtype=dtype)
            if column.shape != (len(self.arrival_seconds),):
                raise ValueError(
                    f"tasks: {name} has shape {column.shape} and there are {len(self.arrival_seconds)} arrivals; give "
                    "one value for each."
                )
            object.__setattr__(self, name, column)
        arrivals = self.arrival_seconds
        good = np.isfinite(arrivals)
        good[1:] &= np.diff(arrivals) >= 0
        if not good.all():
            first = int(np.argmin(good))
            raise ValueError(
                f"tasks: arrival_seconds[{first}] is {arrivals[first]}; arrivals must be finite and ascending."
            )

    @classmethod
    def equal(cls, num_tasks: int, arrival_seconds: np.ndarray | float) -> Tasks:
        """Makes equal tasks of size and work 1.

        Args:
            num_tasks: number of tasks.
            arrival_seconds: [num_tasks], or one time for all.
        """
        ones, zeros = np.ones(num_tasks), np.zeros(num_tasks)
        return cls(
            arrival_seconds=np.broadcast_to(np.asarray(arrival_seconds, dtype=np.float64), (num_tasks,)),
            kind=zeros,
            size=ones,
            work=ones,
            deadline_seconds=np.full(num_tasks, math.inf),
            noise=zeros,
            slowdown=ones,
            exits=zeros,
            audited=zeros,
            sample=np.full(num_tasks, -1),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Tasks]) -> Tasks:
        """Joins streams, of which each begins where the one before ends."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES})

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    def __getitem__(self, which: slice) -> Tasks:
        return dataclasses.replace(self, **{name: getattr(self, name)[which] for name in DTYPES})
