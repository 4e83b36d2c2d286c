"""The makespan problem as a mixed-integer program for HiGHS. It imports SciPy's optimizer, so import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance

MAKESPAN, CAPACITY = 1024.0, 1024.0
"""Makespan and memory of every node in the units of the program."""

FEASIBLE, REDUCED = 1e-6, 1e-7
"""Tolerances of HiGHS in these units: of a row, and of a reduced cost below zero."""


class IntegerProgram:
    """The mixed-integer program of an instance, in units in which the solver's absolute tolerances are negligible.

    Times are scaled so that the makespan is about :data:`MAKESPAN`, memory so that every node holds :data:`CAPACITY`.
    Excess memory within the solver's tolerance is detected in bytes and excluded by a cut.

    Args:
        instance: the problem.
        most: makespan of a known schedule in seconds; ``inf`` if there is none.
    """

    def __init__(self, instance: Instance, most: float) -> None:
        tasks, nodes = np.nonzero(instance.times_seconds < np.inf)
        keep = instance.ready_seconds[nodes] + instance.times_seconds[tasks, nodes] <= most
        self.tasks, self.nodes = tasks[keep], nodes[keep]  # no better schedule uses a longer pair
        self.num_tasks, self.num_nodes = instance.num_tasks, instance.num_nodes
        scale = most if most < np.inf else lower_bound(instance)
        self.unit = scale / MAKESPAN if scale > 0 else 1.0
        self.most = most / self.unit
        seconds = instance.times_seconds[self.tasks, self.nodes] / self.unit
        self.rows = [
            LinearConstraint(self._matrix(self.tasks, 1.0, self.num_tasks), 1.0, 1.0),
            LinearConstraint(
                self._matrix(self.nodes, seconds, self.num_nodes, makespan=-1.0),
                -np.inf,
                -instance.ready_seconds / self.unit,
            ),
        ]
        if instance.memory_binds:
            room = np.maximum(instance.capacity_bytes, np.finfo(float).tiny)
            share = instance.memory_bytes[self.tasks] / room[self.nodes]  # 0 of a node without limit
            held = self._matrix(self.nodes, share * CAPACITY, self.num_nodes)
            self.rows.append(LinearConstraint(held, -np.inf, CAPACITY))

    def solve(self, seconds: float, gap: float) -> Any:
        """Runs HiGHS for at most ``seconds``."""
        pairs = len(self.tasks)
        return milp(
            np.append(np.zeros(pairs), 1.0),
            constraints=self.rows,
            integrality=np.append(np.ones(pairs), 0.0),
            bounds=Bounds(0.0, np.append(np.ones(pairs), self.most * (1 + 1e-9))),
            options={"time_limit": seconds, "mip_rel_gap": gap},
        )

    def bound(self, solution: Any) -> float:
        """Returns the lower bound of HiGHS in seconds, less its tolerances.

        A schedule can lie below the solver's bound by the tolerance of a row and, by weak duality, by the negative
        reduced costs that it may use: one per task, and the makespan's.
        """
        if solution.mip_dual_bound is None or not np.isfinite(solution.mip_dual_bound):
            return 0.0
        bound = float(solution.mip_dual_bound)
        return max(bound - FEASIBLE - REDUCED * (self.num_tasks + bound), 0.0) * self.unit

    def schedule(self, x: np.ndarray) -> np.ndarray:
        """Returns the node of each task in a solution, int64 [num_tasks]."""
        node = np.empty(self.num_tasks, dtype=np.int64)
        used = x[:-1] > 0.5
        node[self.tasks[used]] = self.nodes[used]
        return node

    def forbid(self, node: np.ndarray, over: np.ndarray) -> None:
        """Adds a cut: the nodes ``over`` must not hold all the tasks that they hold in ``node``."""
        for at in over:
            together = (self.nodes == at) & (node[self.tasks] == at)
            cover = self._matrix(np.zeros(len(self.tasks), dtype=np.int64), together.astype(float), 1)
            self.rows.append(LinearConstraint(cover, -np.inf, together.sum() - 1.0))

    def _matrix(
        self, rows: np.ndarray, values: np.ndarray | float, num_rows: int, makespan: float = 0.0
    ) -> Any:
        """Builds a sparse [num_rows, pairs + 1]: ``values`` in the pairs' rows, ``makespan`` in the last column."""
        pairs = len(rows)
        last = np.full(num_rows, makespan)
        return csr_array(
            (
                np.append(np.broadcast_to(values, pairs), last),
                (np.append(rows, np.arange(num_rows)), np.append(np.arange(pairs), np.full(num_rows, pairs))),
            ),
            shape=(num_rows, pairs + 1),
        )
