"""Random windows of tasks for Figure 7, and what schedulers do on several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.scheduling import Assignment, TaskWindow, schedule

NUM_NODES = 10
NODE_RATIO = 5.0
"""The fastest node of a window is up to this many times as fast as the slowest: a Jetson Nano and a Raspberry Pi 4."""

TASK_RATIO = 10.0
"""A task has 1 to this many times the work of one picture."""

TOLERANCE = 0.01
"""A search is near a goal when its makespan stays within this share above it."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Random windows of tasks on ten uniform nodes: a time is the work of a task over the speed of a node.

    Speeds are the slowest node's times a factor from 1 to ``node_ratio`` (log-uniform), works a picture's times one
    from 1 to ``task_ratio`` (uniform). A larger window of the same seed starts with the tasks of a smaller one.

    Args:
        picture_flops: work of a task of one picture.
        slowest_flops_per_second: speed that the slowest node reaches.
        num_tasks: of each window.
        node_ratio: at least 1; 1 makes all nodes alike.
        task_ratio: at least 1; 1 makes all tasks equal.

    Source: Xu 2020, Sec. 2.2 (et_ij = Zt^j / F_i); deviates: tasks differ, which by that formula they do not.
    """

    picture_flops: float
    slowest_flops_per_second: float
    num_tasks: int
    node_ratio: float = NODE_RATIO
    task_ratio: float = TASK_RATIO

    def window(self, seed: int) -> TaskWindow:
        """Returns the window of a seed."""
        random = np.random.default_rng(seed)
        speed = self.slowest_flops_per_second * self.node_ratio ** random.random(NUM_NODES)
        factor = 1 + (self.task_ratio - 1) * random.random(self.num_tasks)
        return TaskWindow.from_work(self.picture_flops * factor, speed)


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """What a scheduler did on several windows.

    Args:
        makespan_seconds: [num_windows].
        bound_seconds: [num_windows], the highest known lower bound.
        histories_seconds: for each window the makespan by evaluation.
    """

    makespan_seconds: np.ndarray
    bound_seconds: np.ndarray
    histories_seconds: tuple[np.ndarray, ...]

    @property
    def above_bound(self) -> np.ndarray:
        """Excess of the makespan as a share of the lower bound, [num_windows]."""
        return self.makespan_seconds / self.bound_seconds - 1

    def converged(self) -> np.ndarray:
        """Returns after how many evaluations each search stays near its last makespan, [num_windows]."""
        return np.array([evaluations_to(history, history[-1]) for history in self.histories_seconds])

    def reached(self) -> np.ndarray:
        """Returns after how many evaluations each search is near the lower bound, [num_windows]; inf if it never is."""
        runs = zip(self.histories_seconds, self.bound_seconds, strict=True)
        return np.array([evaluations_to(history, bound) for history, bound in runs])

    def above_bound_at(self, evaluations: np.ndarray) -> np.ndarray:
        """Returns the excess over the lower bound after some evaluations, [num_windows, num_evaluations].

        Args:
            evaluations: at least 1 each; a search that ended earlier keeps its last makespan.
        """
        best = [history[np.minimum(evaluations, len(history)) - 1] for history in self.histories_seconds]
        return np.stack(best) / self.bound_seconds[:, None] - 1


def evaluations_to(history_seconds: np.ndarray, goal_seconds: float) -> float:
    """Returns from which evaluation on a makespan stays within :data:`TOLERANCE` of a goal; inf if it ends outside.

    Args:
        history_seconds: [num_evaluations].
        goal_seconds: the makespan to come near to.
    """
    outside = np.flatnonzero(history_seconds > (1 + TOLERANCE) * goal_seconds)
    if len(outside) == 0:
        return 1.0
    first_inside = int(outside[-1]) + 2
    return float(first_inside) if first_inside <= len(history_seconds) else np.inf


def run_schedulers(windows: Windows, names: Sequence[str], seeds: Sequence[int]) -> dict[str, Outcomes]:
    """Schedules one window for each seed with every scheduler.

    Args:
        windows: to draw from.
        names: keys of :data:`~cloudedge_pl.scheduling.SCHEDULERS`.
        seeds: of the windows, and of the schedulers.
    """
    found: dict[str, list[Assignment]] = {name: [] for name in names}
    for seed in seeds:
        window = windows.window(seed)
        for name in names:
            found[name].append(schedule(window, name, seed=seed))
    bounds = np.max([[each.lower_bound_seconds for each in runs] for runs in found.values()], axis=0)
    return {
        name: Outcomes(
            makespan_seconds=np.array([each.makespan_seconds for each in runs]),
            bound_seconds=bounds,
            histories_seconds=tuple(each.history_seconds for each in runs),
        )
        for name, runs in found.items()
    }
