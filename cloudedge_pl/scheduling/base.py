"""What most schedulers share: a seed, a count of windows, and nothing else to remember."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class SeededScheduler(ABC):
    """Builds its schedule from the window and the nodes alone.

    Randomness, where there is any, comes from the seed and the number of windows so far, so that a resumed run draws
    what an uninterrupted one does.

    Args:
        seed: of the draws; deterministic schedulers have no use for it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = int(seed)
        self.windows = 0

    @abstractmethod
    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""

    def random(self) -> np.random.Generator:
        """The generator of this window."""
        return np.random.default_rng([self.seed, self.windows])

    def state_dict(self) -> dict[str, Any]:
        """The number of windows so far."""
        return {"windows": self.windows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        self.windows = int(state["windows"])


class OnePassScheduler(SeededScheduler):
    """Looks at every task once; a subclass defines :meth:`place`."""

    @abstractmethod
    def place(self, instance: Instance) -> np.ndarray:
        """Returns the node of each task, int64 [num_tasks]."""

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""
        instance = Instance.of(window, state)
        node = self.place(instance)
        self.windows += 1
        return instance.assignment(node, lower_bound(instance))
