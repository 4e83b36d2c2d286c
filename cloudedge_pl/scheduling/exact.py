"""The schedule of least makespan, by branch and bound with a time limit."""

from __future__ import annotations

import math

import numpy as np

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.atsa import AdaptiveTaskScheduler
from cloudedge_pl.scheduling.base import SeededScheduler
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.identical import assign_identical
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class ExactScheduler(SeededScheduler):
    """Minimises the makespan as a mixed-integer program, by HiGHS through ``scipy.optimize.milp``.

    Variables are which pair of task and node is used, and the makespan. What HiGHS has when time is up is kept; the
    outcome then depends on the machine's speed.

    Args:
        seed: of the ATSA that makes the first schedule.
        time_limit_seconds: above 0; a window may take a little longer.
        gap: HiGHS stops once the makespan is proven to be above the optimum by this share at most, >= 0.
        start: whether ATSA's schedule is taken as a first one: it ends the search where it is optimal, limits what is
            searched, and is the answer where HiGHS finds none better.
    """

    def __init__(
        self, *, seed: int = 0, time_limit_seconds: float = 10.0, gap: float = 1e-6, start: bool = True
    ) -> None:
        super().__init__(seed=seed)
        require_positive("exact", time_limit_seconds=time_limit_seconds)
        require_range("exact", 0, math.inf, open_high=True, gap=gap)
        self.time_limit_seconds, self.gap, self.start = float(time_limit_seconds), float(gap), bool(start)

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere, or time was up too early."""
        instance = Instance.of(window, state)
        self.windows += 1
        if instance.identical:
            node = assign_identical(instance)
            return instance.assignment(node, float(instance.loads(node).max()))
        known = self._first(window, state) if self.start else None
        if known is not None and known.gap <= self.gap:
            return known
        node, bound = self._solve(instance, known)
        return instance.assignment(node, max(bound, lower_bound(instance)))

    def _first(self, window: TaskWindow, state: NodeState) -> Assignment | None:
        try:
            return AdaptiveTaskScheduler(seed=self.seed).assign(window, state)
        except ValueError:  # a packing that a rule of thumb does not find may exist all the same
            return None

    def _solve(self, instance: Instance, known: Assignment | None) -> tuple[np.ndarray, float]:
        from scipy.optimize import Bounds, LinearConstraint, milp

        tasks, nodes = np.nonzero(instance.times_seconds < np.inf)
        seconds = instance.times_seconds[tasks, nodes]
        most = np.inf if known is None else known.makespan_seconds * (1 + 1e-9)
        if most < np.inf:  # a pair that is longer than a known makespan is in no better schedule
            keep = instance.ready_seconds[nodes] + seconds <= most
            tasks, nodes, seconds = tasks[keep], nodes[keep], seconds[keep]
        pairs = len(tasks)
        rows = [
            LinearConstraint(_incidence(tasks, np.ones(pairs), instance.num_tasks, 0.0), 1.0, 1.0),
            LinearConstraint(
                _incidence(nodes, seconds, instance.num_nodes, -1.0), -np.inf, -instance.ready_seconds
            ),
        ]
        if instance.memory_binds:
            held = _incidence(nodes, instance.memory_bytes[tasks], instance.num_nodes, 0.0)
            rows.append(LinearConstraint(held, -np.inf, instance.capacity_bytes))
        solution = milp(
            np.append(np.zeros(pairs), 1.0),
            constraints=rows,
            integrality=np.append(np.ones(pairs), 0.0),
            bounds=Bounds(0.0, np.append(np.ones(pairs), most)),
            options={"time_limit": self.time_limit_seconds, "mip_rel_gap": self.gap},
        )
        bound = float(solution.mip_dual_bound) if solution.mip_dual_bound is not None else 0.0
        if solution.x is None:
            if known is not None:
                return known.node, bound
            if solution.status == 2:
                raise ValueError(
                    f"exact: the {instance.num_tasks} tasks do not fit the nodes' memory together: they need "
                    f"{instance.memory_bytes.sum():.6g} bytes of {instance.capacity_bytes.sum():.6g}. Make the "
                    "window smaller, or give the nodes more memory."
                )
            raise ValueError(
                f"exact: no schedule within {self.time_limit_seconds:g} s ({solution.message}); raise "
                "time_limit_seconds, or set start=True to fall back on ATSA's."
            )
        node = np.empty(instance.num_tasks, dtype=np.int64)
        used = solution.x[:-1] > 0.5
        node[tasks[used]] = nodes[used]
        if known is not None and instance.loads(node).max() > known.makespan_seconds:
            return known.node, bound
        return node, bound


def _incidence(rows: np.ndarray, values: np.ndarray, num_rows: int, makespan: float) -> object:
    """A sparse matrix [num_rows, pairs + 1]: ``values`` in the row of each pair, ``makespan`` in the last column."""
    from scipy.sparse import csr_array

    columns = np.arange(len(rows))
    if makespan == 0.0:
        return csr_array((values, (rows, columns)), shape=(num_rows, len(rows) + 1))
    return csr_array(
        (
            np.append(values, np.full(num_rows, makespan)),
            (np.append(rows, np.arange(num_rows)), np.append(columns, np.full(num_rows, len(rows)))),
        ),
        shape=(num_rows, len(rows) + 1),
    )
