"""Random windows for examples, figures and benchmarks, by the relation of tasks and nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloudedge_pl.errors import lookup, require_range, require_seed
from cloudedge_pl.scheduling.types import NodeState, TaskWindow

Family = Callable[[np.random.Generator, int, int], np.ndarray]


def _identical(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    work, speed = random.uniform(1, 100), random.uniform(1, 5, num_nodes)
    return np.broadcast_to(work / speed, (num_tasks, num_nodes))


def _uniform(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    return random.uniform(1, 100, (num_tasks, 1)) / random.uniform(1, 5, num_nodes)


def _correlated(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    return _uniform(random, num_tasks, num_nodes) * random.uniform(0.8, 1.2, (num_tasks, num_nodes))


def _unrelated(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    return random.uniform(1, 100, (num_tasks, num_nodes))


def _two_types(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    work = random.uniform(1, 100, (num_tasks, 1))
    return np.where(np.arange(num_nodes) % 3 == 0, work / random.uniform(1, 10, (num_tasks, 1)), work)


def _few_kinds(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    times = random.uniform(1, 100, (3, 3))
    return times[random.integers(0, 3, num_tasks)][:, random.integers(0, 3, num_nodes)]


def _few_large(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    large = random.random((num_tasks, 1)) < 0.08
    work = np.where(large, random.uniform(50, 100, large.shape), random.uniform(1, 10, large.shape))
    return work / random.uniform(1, 5, num_nodes) * random.uniform(0.8, 1.2, (num_tasks, num_nodes))


def _heavy_tailed(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    work = 1 + random.pareto(1.5, (num_tasks, 1))
    return work / random.uniform(1, 5, num_nodes) * random.uniform(0.8, 1.2, (num_tasks, num_nodes))


def _restricted(random: np.random.Generator, num_tasks: int, num_nodes: int) -> np.ndarray:
    runs = random.random((num_tasks, num_nodes)) < 0.3
    runs[np.arange(num_tasks), random.integers(0, num_nodes, num_tasks)] = True
    return np.where(runs, random.uniform(1, 100, (num_tasks, 1)), np.inf)


FAMILIES: dict[str, Family] = {
    "identical": _identical,
    "uniform": _uniform,
    "correlated": _correlated,
    "unrelated": _unrelated,
    "two_types": _two_types,
    "few_kinds": _few_kinds,
    "few_large": _few_large,
    "heavy_tailed": _heavy_tailed,
    "restricted": _restricted,
    "memory_tight": _correlated,
    "memory_unrelated": _unrelated,
}
"""Families of execution times. All values are drawn uniformly unless stated otherwise.

- identical: equal tasks, speeds of 1 to 5.
- uniform: tasks of 1 to 100, speeds of 1 to 5.
- correlated: as uniform, with every time changed by up to 20%.
- unrelated: times of 1 to 100, independent of task and node.
- two_types: tasks of 1 to 100; every third node is 1 to 10 times as fast.
- few_kinds: 3 kinds of tasks and 3 of nodes, times of 1 to 100.
- few_large: as correlated, with 92% of the tasks of 1 to 10 and 8% of 50 to 100.
- heavy_tailed: as correlated, with tasks from a Pareto distribution of shape 1.5.
- restricted: tasks of 1 to 100, each of which can run on 30% of the nodes.
- memory_tight, memory_unrelated: as correlated and unrelated, with memory as in :func:`generate_window`.
"""


MEMORY_BINDS = ("memory_tight", "memory_unrelated")
"""Families in which the tasks of a node compete for its memory."""

MAX_PAIRS = 100_000_000
"""A matrix with more entries (0.8 GB) is treated as a mistake before memory is allocated."""


def generate(family: str, num_tasks: int, num_nodes: int, seed: int = 0) -> np.ndarray:
    """Returns execution times in seconds, float64 [num_tasks, num_nodes]; for identical tasks, a broadcast row.

    Args:
        family: a key of :data:`FAMILIES`.
        num_tasks: at least 1.
        num_nodes: at least 1.
        seed: of the random draws, at least 0.

    Raises:
        ValueError: if the family is unknown or a number is out of range.
    """
    make = lookup(FAMILIES, family, "family of times")
    require_range("times", 1, np.inf, open_high=True, whole=True, num_tasks=num_tasks, num_nodes=num_nodes)
    require_seed("times", seed=seed)
    require_range("times", 1, MAX_PAIRS, num_tasks_times_num_nodes=num_tasks * num_nodes)
    return make(np.random.default_rng(int(seed)), int(num_tasks), int(num_nodes))


def generate_window(
    family: str, num_tasks: int, num_nodes: int, seed: int = 0
) -> tuple[TaskWindow, NodeState]:
    """Returns a window with the times of :func:`generate`, and idle nodes.

    Memory matters only in the families of :data:`MEMORY_BINDS`: tasks hold 1 to 10 bytes while they queue. The nodes
    have unequal shares of 8% more memory than all tasks need, and each has room for the largest task.
    """
    times = generate(family, num_tasks, num_nodes, seed)
    if family not in MEMORY_BINDS:
        return TaskWindow(times), NodeState.idle(num_nodes)
    random = np.random.default_rng([int(seed), 1])
    memory, share = random.uniform(1, 10, num_tasks), random.dirichlet(np.full(num_nodes, 5.0))
    room = np.maximum(1.08 * share * memory.sum(), 10.0)
    window = TaskWindow(times, memory, queue_holds_memory=True)
    return window, NodeState(np.zeros(num_nodes), room, np.ones(num_nodes, dtype=bool))
