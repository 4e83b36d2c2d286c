"""The schedulers there are, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cloudedge_pl.errors import lookup, require_types
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
    WorkStealing,
)
from cloudedge_pl.scheduling.swarms import AntSystem, ParticleSwarm, PrintedAdaptiveTaskScheduler
from cloudedge_pl.scheduling.types import Assignment, NodeState, Scheduler, TaskWindow

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
    require_types(f"scheduler {name!r}", make, {**options, "seed": seed})
    return make(seed=seed, **options)


def as_scheduler(scheduler: str | Mapping[str, Any] | Scheduler, *, seed: int = 0) -> Scheduler:
    """Returns a scheduler as it is, or makes one.

    Args:
        scheduler: a name of :data:`SCHEDULERS`, or a mapping of ``name`` and its options, or a scheduler.
        seed: of the one that is made, unless the mapping has its own.

    Raises:
        ValueError: on an unknown name or option, a mapping without a name, or what is no scheduler at all.
    """
    if isinstance(scheduler, str):
        return create_scheduler(scheduler, seed=seed)
    if isinstance(scheduler, Mapping):
        if "name" not in scheduler:
            raise ValueError(
                f"scheduler {dict(scheduler)} has no name; there are: {', '.join(sorted(SCHEDULERS))}."
            )
        return create_scheduler(**{"seed": seed, **scheduler})
    if not isinstance(scheduler, Scheduler):
        raise ValueError(
            f"scheduler is {scheduler!r}; it must be a name, a mapping of name and options, or a scheduler."
        )
    return scheduler


def schedule(
    times: np.ndarray | TaskWindow,
    scheduler: str | Mapping[str, Any] | Scheduler = "atsa",
    *,
    state: NodeState | None = None,
    seed: int = 0,
    **options: Any,
) -> Assignment:
    """Assigns tasks to nodes.

    Args:
        times: seconds of each task on each node, [num_tasks, num_nodes], ``inf`` where it cannot run; or a window.
        scheduler: a name of :data:`SCHEDULERS`, a mapping of it and its options, or a scheduler that has learned
            already.
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
        scheduler = {"name": scheduler, **options}
    elif options:
        raise ValueError(
            f"options {sorted(options)} go with the name of a scheduler; a {type(scheduler).__name__} has its own."
        )
    return as_scheduler(scheduler, seed=seed).assign(window, state or NodeState.idle(window.num_nodes))
