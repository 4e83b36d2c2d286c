"""The schedulers there are, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from cloudedge_pl.errors import lookup
from cloudedge_pl.scheduling.atsa import AdaptiveTaskScheduler
from cloudedge_pl.scheduling.exact import ExactScheduler
from cloudedge_pl.scheduling.lists import (
    FirstComeFirstServed,
    LongestProcessingTime,
    MaxMin,
    MinCompletion,
    MinMin,
    RandomScheduler,
    RoundRobin,
    Sufferage,
)
from cloudedge_pl.scheduling.swarms import AntSystem, ParticleSwarm, PrintedAdaptiveTaskScheduler
from cloudedge_pl.scheduling.types import Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.work_stealing import WorkStealing

SCHEDULERS: dict[str, Callable[..., Scheduler]] = {
    "aco": AntSystem,
    "atsa": AdaptiveTaskScheduler,
    "atsa_paper": PrintedAdaptiveTaskScheduler,
    "exact": ExactScheduler,
    "fcfs": FirstComeFirstServed,
    "lpt": LongestProcessingTime,
    "max_min": MaxMin,
    "min_completion": MinCompletion,
    "min_min": MinMin,
    "pso": ParticleSwarm,
    "random": RandomScheduler,
    "round_robin": RoundRobin,
    "sufferage": Sufferage,
    "work_stealing": WorkStealing,
}


def create_scheduler(name: str, *, seed: int = 0, **options: Any) -> Scheduler:
    """Makes a scheduler.

    Args:
        name: of :data:`SCHEDULERS`.
        seed: of its draws; at least 0.
        options: its own arguments.

    Raises:
        ValueError: on an unknown name or option, or an option out of its range.
    """
    make = lookup(SCHEDULERS, name, "scheduler")
    known = {option: option for option in inspect.signature(make).parameters}
    for option in options:
        lookup(known, option, f"option of scheduler {name!r},")
    if seed < 0:
        raise ValueError(f"scheduler {name!r}: seed is {seed}; it must be an integer >= 0.")
    return make(seed=seed, **options)


def schedule(
    times: np.ndarray | TaskWindow,
    scheduler: str | Scheduler = "atsa",
    *,
    state: NodeState | None = None,
    seed: int = 0,
    **options: Any,
) -> Assignment:
    """Assigns tasks to nodes.

    Args:
        times: seconds of each task on each node, [num_tasks, num_nodes], ``inf`` where it cannot run; or a window.
        scheduler: a name of :data:`SCHEDULERS`, or a scheduler that has learned already.
        state: the nodes; None takes every node idle, with memory without limit.
        seed: of the scheduler that is made by name.
        options: likewise.

    Raises:
        ValueError: on an unknown name or option, or where a task fits nowhere.

    Example:
        >>> import numpy as np
        >>> assignment = schedule(np.array([[2.0, 3.0], [2.0, 3.0], [2.0, 3.0]]))
        >>> assignment.node.tolist(), assignment.makespan_seconds, assignment.gap
        ([0, 1, 0], 4.0, 0.0)
    """
    window = times if isinstance(times, TaskWindow) else TaskWindow(times)
    if isinstance(scheduler, str):
        scheduler = create_scheduler(scheduler, seed=seed, **options)
    elif options:
        raise ValueError(
            f"options {sorted(options)} go with the name of a scheduler; a {type(scheduler).__name__} has its own."
        )
    return scheduler.assign(window, state or NodeState.idle(window.num_nodes))
