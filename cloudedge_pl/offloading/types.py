"""What a planner gives back: the chosen split point with all that it was weighed against, and its costs per task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import Constraint, reasons
from cloudedge_pl.offloading.options import OffloadOptions
from cloudedge_pl.offloading.table import CostTable


@dataclass(frozen=True, eq=False)
class SplitCosts:
    """Seconds and bytes of one task at one split point: what planning and simulation share.

    Args:
        execution_seconds: [num_nodes] of the edge part.
        exit_seconds: of the exit head on the master; 0 where there is none.
        cloud_seconds: of the cloud part.
        upload_bytes: from node to cloud.
        download_bytes: from cloud to node; the gradient in training, else 0.
        exit_upload_bytes: from node to the exit head on the master, which gets the cut tensors as they are, whatever
            the codec; 0 where there is no exit head.
        exit_download_bytes: from master to node; the exit head's gradient in training, else 0.
        terminal_seconds: from the terminal to its node; the paper's T_te.
        input_bytes: of the raw input.
        task_memory_bytes: that a task holds on a node while it runs.
    """

    execution_seconds: np.ndarray
    exit_seconds: float
    cloud_seconds: float
    upload_bytes: float
    download_bytes: float
    exit_upload_bytes: float
    exit_download_bytes: float
    terminal_seconds: float
    input_bytes: float
    task_memory_bytes: float


@dataclass(frozen=True, eq=False, repr=False)
class OffloadPlan:
    """Where the network is cut, and what every other cut would have cost.

    Args:
        split_point: 0..N: that many segments run at the edge.
        forced: the split point was given, not chosen; it may be infeasible then.
        profile: of the network.
        fleet: it was planned for.
        workload: it was planned for.
        options: objective and formulas.
        costs: of every split point.
        constraints: the limits at every split point.
    """

    split_point: int
    forced: bool
    profile: CostProfile
    fleet: Fleet
    workload: Workload
    options: OffloadOptions
    costs: CostTable
    constraints: tuple[Constraint, ...]

    def __repr__(self) -> str:
        found = f"{self.profile.model!r}, split_point={self.split_point}, name={self.name!r}"
        return f"OffloadPlan({found}, objective={self.objective!r}, feasible={self.is_feasible})"

    @property
    def name(self) -> str:
        """Of the split point: the last weighted layer at the edge."""
        return self.profile.names[self.split_point]

    @property
    def uncut(self) -> str:
        """What a split point of 0 or N means, in a sentence; empty where the network is cut."""
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
    def objective(self) -> str:
        """What was looked for; "forced" where the split point was given."""
        return "forced" if self.forced else self.options.objective

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
        """The constraint of that name: "memory", "master_memory", "load", "delay" or "energy"."""
        return next(limit for limit in self.constraints if limit.name == name)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values; docs/plan.md describes every key."""
        from cloudedge_pl.offloading.report import (
            plan_dict,
        )  # which needs the planner, and it needs this module

        return plan_dict(self)
