"""Schedules of minimum makespan, by branch and bound with a time limit."""

from __future__ import annotations

import time

import numpy as np

from cloudedge_pl.costs.units import format_bytes, written_apart
from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.atsa import AdaptiveTaskScheduler
from cloudedge_pl.scheduling.base import SeededScheduler
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.identical import assign_identical
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class ExactScheduler(SeededScheduler):
    """Minimises the makespan as a mixed-integer program, by HiGHS through ``scipy.optimize.milp``.

    The variables are the pairs of task and node that are used, and the makespan. When time is up, the best schedule so
    far is returned; the result then depends on the speed of the machine. Nodes whose backlog ends after the last task
    are left out, as in ATSA. The lower bound is that of HiGHS less its tolerances: 1e-7 of the makespan and 1e-10 per
    task.

    Args:
        seed: of ATSA, which makes the first schedule.
        time_limit_seconds: above 0; a window may take slightly longer.
        gap: HiGHS stops once the makespan is proven to exceed the optimum by at most this share, in [0, 1].
        start: whether the search starts from ATSA's schedule. It ends the search if it is optimal, limits the search
            space, and is returned if HiGHS finds no better one.
    """

    def __init__(
        self, *, seed: int = 0, time_limit_seconds: float = 10.0, gap: float = 1e-6, start: bool = True
    ) -> None:
        super().__init__(seed=seed)
        require_positive("exact", time_limit_seconds=time_limit_seconds)
        require_range("exact", 0, 1, gap=gap)
        self.time_limit_seconds, self.gap, self.start = float(time_limit_seconds), float(gap), bool(start)

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if a task fits on no node, or no schedule was found in time.
        """
        instance = Instance.of(window, state)
        self.windows += 1
        if instance.identical:
            node = assign_identical(instance)
            return instance.assignment(node, float(instance.loads(node).max()))
        known = self._first(window, state) if self.start else None
        ends = time.monotonic() + self.time_limit_seconds
        if known is None:
            node, bound = self._solve(instance, None, ends)
        else:
            node, bound = known.node, known.lower_bound_seconds
        if known is not None or instance.loads(node).max() > instance.last_done(node):
            node, bound = self._improve(instance, node, bound, ends)
        return instance.assignment(node, max(bound, lower_bound(instance)))

    def _first(self, window: TaskWindow, state: NodeState) -> Assignment | None:
        try:
            return AdaptiveTaskScheduler(seed=self.seed).assign(window, state)
        except ValueError:  # a packing may exist that the heuristic does not find
            return None

    def _improve(
        self, instance: Instance, node: np.ndarray, bound: float, ends: float
    ) -> tuple[np.ndarray, float]:
        """Solves for the useful nodes, until a task and not a backlog ends last."""
        while True:
            useful = np.flatnonzero(instance.useful(node))
            part, first = instance.on(useful), np.searchsorted(useful, node)
            whole = len(useful) == instance.num_nodes
            makespan, least = float(part.loads(first).max()), bound if whole else lower_bound(part)
            if makespan <= least * (1.0 + self.gap) or time.monotonic() >= ends:
                return node, bound
            found, proven = self._solve(part, first, ends)
            node, bound = useful[found], max(bound, proven)
            if whole or part.loads(found).max() <= part.last_done(found):
                return node, bound

    def _solve(self, instance: Instance, known: np.ndarray | None, ends: float) -> tuple[np.ndarray, float]:
        """Returns a schedule, no worse than ``known``, and a lower bound on the makespan."""
        from cloudedge_pl.scheduling.integer_program import IntegerProgram

        most = np.inf if known is None else float(instance.loads(known).max())
        program = IntegerProgram(instance, most)
        while True:
            left = max(ends - time.monotonic(), 0.0)
            solution = program.solve(left, self.gap)
            bound = program.bound(solution)
            if solution.x is None:
                break
            node = program.schedule(solution.x)
            over = instance.overfull(node)
            if not len(over):
                if known is not None and instance.loads(node).max() > most:
                    return known, bound
                return node, bound
            program.forbid(node, over)
            if time.monotonic() >= ends:
                break
        if known is not None:
            return known, bound
        if solution.status == 2:
            needed, there = written_apart(
                format_bytes, (instance.memory_bytes.sum(), instance.capacity_bytes.sum())
            )
            raise ValueError(
                f"exact: the {instance.num_tasks} tasks do not fit the nodes' memory together: they need "
                f"{needed} of {there}. Make the "
                "window smaller, or give the nodes more memory."
            )
        raise ValueError(
            f"exact: no schedule within {self.time_limit_seconds:g} s ({solution.message}); raise "
            "time_limit_seconds, or set start=True to fall back on ATSA's."
        )
