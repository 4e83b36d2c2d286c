"""What it takes to compare schedulers fairly: kernels that are compiled already, and windows that suit all of them."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.scheduling.registry import schedule
from cloudedge_pl.scheduling.types import NodeState, TaskWindow

MOST_PAIRS: dict[str, int] = {
    "aco": 10**5,
    "pso": 10**6,
    "atsa_paper": 10**5,
    "exact": 10**5,
    "min_min": 10**6,
    "max_min": 10**6,
    "sufferage": 10**6,
    "work_stealing": 10**7,
}
"""Pairs of task and node up to which a comparison runs a scheduler: beyond, one window takes seconds to hours."""


def suits(name: str, num_pairs: int) -> bool:
    """Whether a scheduler is quick enough to be compared on a window of so many pairs of task and node."""
    return num_pairs <= MOST_PAIRS.get(name, num_pairs)


def warm_up(name: str, window: TaskWindow, state: NodeState | None = None) -> None:
    """Runs a scheduler on a few tasks, so that no later call compiles its kernels or loads them from disk.

    Unlike tasks take other kernels than equal ones; those of the window may be either, and its first ones may be equal
    where the rest is not.

    Args:
        name: of :data:`~cloudedge_pl.scheduling.SCHEDULERS`.
        window: what will be timed; its first tasks show how it lies in memory.
        state: of its nodes; None takes every node idle.
    """
    unlike = generate("unrelated", 6, 3)
    schedule(unlike, name)
    schedule(np.broadcast_to(unlike[0], unlike.shape), name)
    schedule(TaskWindow(window.times_seconds[:3]), name, state=state)
