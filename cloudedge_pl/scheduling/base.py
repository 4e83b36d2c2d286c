"""Base classes of the schedulers: a seed, a count of windows, and no other state.

Derive from :class:`OnePassScheduler` and write ``place`` if the scheduler builds one schedule from the window and the
nodes alone, as the list rules do: its lower bound and the count of windows come with it. Derive from
:class:`SeededScheduler` and write ``assign`` if it searches, knows a bound of its own, or learns from window to window;
what it learns goes into ``state_dict`` and ``load_state_dict``. Then enter the class in registry.py, which lists the
steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class SeededScheduler(ABC):
    """A scheduler whose random draws depend on its seed and the number of windows so far.

    A resumed run therefore draws the same numbers as an uninterrupted one.

    Args:
        seed: of the random draws; deterministic schedulers ignore it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = int(seed)
        self.windows = 0

    @abstractmethod
    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if a task fits on no node.
        """

    def random(self) -> np.random.Generator:
        """Returns the random generator of this window."""
        return np.random.default_rng([self.seed, self.windows])

    def state_dict(self) -> dict[str, Any]:
        """Returns the number of windows so far."""
        return {"windows": self.windows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self.windows = int(state["windows"])


class OnePassScheduler(SeededScheduler):
    """A scheduler that builds one schedule; a subclass defines :meth:`place`."""

    @abstractmethod
    def place(self, instance: Instance) -> np.ndarray:
        """Returns the node of each task, int64 [num_tasks]."""

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if a task fits on no node.
        """
        instance = Instance.of(window, state)
        node = self.place(instance)
        self.windows += 1
        return instance.assignment(node, lower_bound(instance))
