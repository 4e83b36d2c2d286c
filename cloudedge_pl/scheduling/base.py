"""What most schedulers are: one pass over the tasks, and nothing to remember."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class OnePassScheduler:
    """Builds one schedule from the window and the nodes alone.

    A subclass defines :meth:`place`. Randomness, where there is any, comes from the seed and the number of windows
    so far, so that a resumed run draws what an uninterrupted one does.

    Args:
        seed: of the draws; deterministic schedulers have no use for it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = int(seed)
        self.windows = 0

    def place(self, instance: Instance) -> np.ndarray:
        """Returns the node of each task, int64 [num_tasks]."""
        raise NotImplementedError(f"{type(self).__name__} does not define place(instance)")

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""
        instance = Instance.of(window, state)
        node = self.place(instance)
        self.windows += 1
        return instance.assignment(node, lower_bound(instance))

    def random(self) -> np.random.Generator:
        """The generator of this window."""
        return np.random.default_rng([self.seed, self.windows])

    def state_dict(self) -> dict[str, Any]:
        """The number of windows so far."""
        return {"windows": self.windows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        self.windows = int(state["windows"])
