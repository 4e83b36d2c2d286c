"""The schedulers by name: :data:`SCHEDULERS` is the one table that commands, strategy and simulator choose from.

To add a scheduler:

1. Subclass :class:`~cloudedge_pl.scheduling.base.OnePassScheduler` and write ``place``, or
   :class:`~cloudedge_pl.scheduling.base.SeededScheduler` and write ``assign``; base.py says when which. A list rule
   goes into lists.py, a search into a file of its own.
2. Enter the class into :data:`SCHEDULERS` here, and export it from ``scheduling/__init__.py``.
3. Write ``conf/scheduler/NAME.yaml``: the class as ``_target_``, and every option under a comment.

Two further tables are optional: ``MOST_PAIRS`` of comparing.py, for a scheduler that is slow on large windows, and
``FINISHES_FIRST`` of simulation/engine.py, for one that gives a single task to the node that finishes it first. The
tests of tests/scheduling run over every entry.
"""

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
    """Makes a scheduler by name.

    Args:
        name: a key of :data:`SCHEDULERS`.
        seed: of its random draws, at least 0.
        **options: further arguments of the scheduler.

    Raises:
        ValueError: if the name or an option is unknown, or an option is out of range.
    """
    return make_scheduler(lookup(SCHEDULERS, name, "scheduler"), name, {"seed": seed, **options})


def make_scheduler(make: Callable[..., Scheduler], name: str, options: Mapping[str, Any]) -> Scheduler:
    """Makes a scheduler of a class and checks its options.

    Args:
        make: the class.
        name: of the scheduler, for messages.
        options: arguments of the class.

    Raises:
        ValueError: if an option is unknown, of the wrong type or out of range.
    """
    for option in options:
        lookup(inspect.signature(make).parameters, option, f"option of scheduler {name!r},")
    require_types(f"scheduler {name!r}", make, options)
    return make(**options)


def as_scheduler(scheduler: str | Mapping[str, Any] | Scheduler, *, seed: int = 0) -> Scheduler:
    """Returns the scheduler that is given, or makes the one that is described.

    Args:
        scheduler: a key of :data:`SCHEDULERS`, a mapping of ``name`` and options, or a scheduler.
        seed: of a scheduler that is made, unless the mapping has its own.

    Raises:
        ValueError: if a name or an option is unknown, a mapping has no name, or the object is not a scheduler.
    """
    if isinstance(scheduler, str):
        return create_scheduler(scheduler, seed=seed)
    if isinstance(scheduler, Mapping):
        if "name" not in scheduler:
            raise ValueError(
                f"scheduler {dict(scheduler)} has no name; choose one of: {', '.join(sorted(SCHEDULERS))}."
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
        times: seconds of each task on each node [num_tasks, num_nodes], ``inf`` where it cannot run; or a window.
        scheduler: a key of :data:`SCHEDULERS`, a mapping of ``name`` and options, or a scheduler, which may have seen
            earlier windows.
        state: state of the nodes; None means idle nodes with unlimited memory.
        seed: of a scheduler that is made.
        **options: of a scheduler that is made by name.

    Raises:
        ValueError: if a name or an option is unknown, or a task fits on no node.

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
            f"options {sorted(options)} belong to the name of a scheduler; this {type(scheduler).__name__} has its own."
        )
    return as_scheduler(scheduler, seed=seed).assign(window, state or NodeState.idle(window.num_nodes))
