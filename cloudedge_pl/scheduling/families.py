"""Random matrices of execution times, by how tasks and nodes relate: for examples, figures and benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloudedge_pl.errors import lookup, require_range

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


FAMILIES: dict[str, Family] = {
    "identical": _identical,
    "uniform": _uniform,
    "correlated": _correlated,
    "unrelated": _unrelated,
}
"""identical: equal tasks, speeds of 1 to 5. uniform: tasks of 1 to 100, speeds of 1 to 5. correlated: as uniform, each
time off by up to 20%. unrelated: times of 1 to 100, whatever task and node. All drawn evenly."""


def generate(family: str, num_tasks: int, num_nodes: int, seed: int = 0) -> np.ndarray:
    """Returns execution times in seconds, float64 [num_tasks, num_nodes]; a broadcast row for identical tasks.

    Args:
        family: a name of :data:`FAMILIES`.
        num_tasks: a whole number, at least 1.
        num_nodes: likewise.
        seed: of the draws; a whole number, at least 0.

    Raises:
        ValueError: on an unknown family, or a number out of its range.
    """
    make = lookup(FAMILIES, family, "family of times")
    require_range("times", 1, np.inf, open_high=True, whole=True, num_tasks=num_tasks, num_nodes=num_nodes)
    require_range("times", 0, np.inf, open_high=True, whole=True, seed=seed)
    return make(np.random.default_rng(int(seed)), int(num_tasks), int(num_nodes))
