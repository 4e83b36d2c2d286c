"""TMOA: chooses where a network is cut by evaluating every split point.

There are a few dozen split points and the formulas cover all of them at once, so enumeration is exact and fast.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import constraints
from cloudedge_pl.offloading.goal import OffloadGoal, excluded_end
from cloudedge_pl.offloading.infeasible import explain
from cloudedge_pl.offloading.objectives import OBJECTIVES, best, candidates
from cloudedge_pl.offloading.picture import with_picture_bytes
from cloudedge_pl.offloading.plan import OffloadPlan
from cloudedge_pl.offloading.table import cost_table


def plan_offloading(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload | None = None,
    *,
    goal: OffloadGoal | None = None,
    formulas: CostFormulas | None = None,
    codec: CodecConfig | None = None,
) -> OffloadPlan:
    """Chooses the split point with the best objective among those that keep every limit.

    Args:
        profile: of the network, see :func:`cloudedge_pl.profile`.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and limits; None takes the defaults.
        goal: objective and choice of split points; None takes the defaults. A ``split_point`` in it is taken whether it
            is feasible or not; ``plan.is_feasible`` tells.
        formulas: by which costs are computed; None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud; None takes the default, int8.

    Raises:
        InfeasiblePlanError: if no split point keeps every limit. The message lists what is in the way at each, and what
            to change.
        ValueError: if the goal's split point is outside 0..N, or an end although ends are excluded, or
            excluding them leaves none; or if pictures are sent as JPEG and the workload has no
            ``picture_bytes``.

    Source: Xu 2020, Sec. 3.3 (P1 under C1 to C3); deviates: all split points are tried, whereas the paper looks for a
    stationary point of the Lagrangian in a whole number.
    """
    goal = goal or OffloadGoal()
    workload = with_picture_bytes(workload or Workload(), goal)
    formulas, codec = formulas or CostFormulas(), codec or CodecConfig()
    table = cost_table(profile, fleet, workload, formulas, codec)
    limits = constraints(table, fleet, workload, goal.memory_share)
    if goal.split_point is not None:
        chosen = profile.check_split_point(goal.split_point)
        if goal.exclude_ends and chosen in (0, table.num_points - 1):
            raise ValueError(excluded_end(chosen))
    else:
        allowed = candidates(goal.objective, table.num_points, exclude_ends=goal.exclude_ends)
        met = np.all([limit.met for limit in limits], axis=0)
        found = best(OBJECTIVES[goal.objective](table, goal.weights), allowed & met)
        if found is None:
            raise InfeasiblePlanError(explain(profile, workload, limits, allowed))
        chosen = found
    return OffloadPlan(chosen, profile, fleet, workload, goal, formulas, codec, table, limits)
