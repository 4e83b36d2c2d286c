"""The result of planning: the chosen split point, and every other one with its costs and limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import Constraint, reasons
from cloudedge_pl.offloading.goal import OffloadGoal
from cloudedge_pl.offloading.table import CostTable


@dataclass(frozen=True, eq=False, repr=False)
class OffloadPlan:
    """Where the network is cut, and what every other cut would cost.

    Args:
        split_point: 0..N, the number of segments that run at the edge.
        profile: of the network.
        fleet: that it was planned for.
        workload: that it was planned for.
        goal: what was looked for.
        formulas: by which the costs were computed.
        codec: form in which the cut tensors are sent to the cloud.
        costs: of every split point.
        constraints: the limits at every split point.
    """

    split_point: int
    profile: CostProfile
    fleet: Fleet
    workload: Workload
    goal: OffloadGoal
    formulas: CostFormulas
    codec: CodecConfig
    costs: CostTable
    constraints: tuple[Constraint, ...]

    def __repr__(self) -> str:
        found = f"{self.profile.model!r}, split_point={self.split_point}, name={self.name!r}"
        return f"OffloadPlan({found}, objective={self.objective!r}, feasible={self.is_feasible})"

    @property
    def name(self) -> str:
        """Name of the split point: the last weighted layer at the edge."""
        return self.profile.names[self.split_point]

    @property
    def uncut(self) -> str:
        """A sentence that says what a split point of 0 or N means; empty if the network is cut."""
        last = self.costs.num_points - 1
        if 0 < self.split_point < last:
            return ""
        where = "in the cloud" if self.split_point == 0 else "at the edge"
        return (
            f"split point {self.split_point} of 0..{last} cuts nothing: the whole network runs {where}, without exit "
            "head and without dormancy. To cut it, change the limits or the objective, or leave out the ends with "
            "offloading.exclude_ends=true (CloudEdgeStrategy(offloading={'exclude_ends': True}))."
        )

    @property
    def forced(self) -> bool:
        """Whether the split point was given rather than chosen; it may be infeasible then."""
        return self.goal.split_point is not None

    @property
    def objective(self) -> str:
        """Name of the objective; "forced" if the split point was given."""
        return "forced" if self.forced else self.goal.objective

    @cached_property
    def feasible(self) -> np.ndarray:
        """Whether each split point keeps every limit [N + 1], bool."""
        return np.all([limit.met for limit in self.constraints], axis=0)

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why each split point is infeasible [N + 1]; empty where it is feasible."""
        return reasons(self.constraints)

    @property
    def is_feasible(self) -> bool:
        """Whether the chosen split point keeps every limit; only a forced one may not."""
        return bool(self.feasible[self.split_point])

    def constraint(self, name: str) -> Constraint:
        """Returns the constraint of that name: "memory", "master_memory", "load", "delay" or "energy"."""
        return next(limit for limit in self.constraints if limit.name == name)
