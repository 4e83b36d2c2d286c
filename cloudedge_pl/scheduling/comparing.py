"""Fair comparisons of schedulers: kernels are compiled first, slow schedulers are left out of large windows."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.scheduling.registry import schedule
from cloudedge_pl.scheduling.types import NodeState, Scheduler, TaskWindow

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
"""Largest number of pairs of task and node for which a comparison runs a scheduler. Beyond it, one window takes seconds
to hours."""


def suits(name: str, num_pairs: int) -> bool:
    """Returns whether a scheduler is fast enough to be compared on a window of ``num_pairs`` pairs of task and node."""
    return num_pairs <= MOST_PAIRS.get(name, num_pairs)


def warm_up(scheduler: str | Scheduler, window: TaskWindow, state: NodeState | None = None) -> None:
    """Runs a scheduler on a few tasks, so that later calls neither compile its kernels nor load them from disk.

    Unequal tasks use other kernels than equal ones. The window may hold either, and its first tasks may be equal while
    the others are not, so all three cases run.

    Args:
        scheduler: a key of :data:`~cloudedge_pl.scheduling.SCHEDULERS`, or a scheduler that is used for this only.
        window: the window that will be timed; its first tasks show its memory layout.
        state: of its nodes; None means idle nodes.
    """
    unlike = generate("unrelated", 6, 3)
    schedule(unlike, scheduler)
    schedule(np.broadcast_to(unlike[0], unlike.shape), scheduler)
    schedule(TaskWindow(window.times_seconds[:3]), scheduler, state=state)
