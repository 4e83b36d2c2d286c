"""TMOA: where to cut a network, by trying every split point.

There are a few dozen split points and one formula for all of them at once, so enumeration is exact and quick.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from cloudedge_pl.costs import roofline, transmission
from cloudedge_pl.costs.memory import activation_bytes, resolve_memory_mode
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import InfeasiblePlanError, lookup
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import constraints
from cloudedge_pl.offloading.infeasible import explain
from cloudedge_pl.offloading.objectives import OBJECTIVES, best, candidates
from cloudedge_pl.offloading.options import OffloadOptions
from cloudedge_pl.offloading.table import cost_table
from cloudedge_pl.offloading.types import OffloadPlan, SplitCosts


def plan_offloading(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload | None = None,
    *,
    split_point: int | None = None,
    options: OffloadOptions | None = None,
    **keywords: Any,
) -> OffloadPlan:
    """Chooses the split point that serves the objective best among those that keep every limit.

    Args:
        profile: of the network, see :func:`cloudedge_pl.profile`.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and limits; None takes the defaults.
        split_point: takes this one instead, be it feasible or not; ``plan.is_feasible`` says which.
        options: objective and formulas; None takes the defaults.
        **keywords: fields of :class:`OffloadOptions`, e.g. ``objective="min_delay"``; they overrule ``options``.

    Raises:
        InfeasiblePlanError: where no split point keeps every limit; it says what is in the way at each, and what to
            change.
        ValueError: on an unknown name, or a split point outside 0..N.

    Source: Xu 2020, Sec. 3.3 (P1 under C1 to C3); deviates: all split points are tried, where the paper looks for a
    stationary point of the Lagrangian in a whole number.
    """
    options = make_options(options, **keywords)
    workload = workload if workload is not None else Workload()
    table = cost_table(profile, fleet, workload, options)
    limits = constraints(table, fleet, workload, options.memory_share)
    if split_point is not None:
        chosen = profile.check_split_point(split_point)
        return OffloadPlan(chosen, True, profile, fleet, workload, options, table, limits)

    allowed = candidates(options.objective, table.num_points, exclude_ends=options.exclude_ends)
    met = np.all([limit.met for limit in limits], axis=0)
    found = best(OBJECTIVES[options.objective](table, options.weights), allowed & met)
    if found is None:
        raise InfeasiblePlanError(explain(profile, workload, limits, allowed))
    return OffloadPlan(found, False, profile, fleet, workload, options, table, limits)


def make_options(options: OffloadOptions | None = None, **keywords: Any) -> OffloadOptions:
    """Returns ``options``, or the defaults, with some fields replaced.

    Raises:
        ValueError: on a keyword that is no field of :class:`OffloadOptions`.
    """
    known = {column.name: column.name for column in fields(OffloadOptions)}
    for keyword in keywords:
        lookup(known, keyword, "offloading option")
    return replace(options or OffloadOptions(), **keywords)


def split_costs(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    split_point: int,
    options: OffloadOptions | None = None,
) -> SplitCosts:
    """Seconds and bytes of one task at one split point, by the planner's own formulas.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: its phase and input size.
        split_point: 0..N.
        options: the plan's, so that both agree; None takes the defaults.

    Raises:
        ValueError: on a split point outside 0..N.
    """
    at = profile.check_split_point(split_point)
    options = options or OffloadOptions()
    phase, by_roofline = workload.phase, options.roofline
    num_bytes = transmission.input_bytes(profile, workload)
    codec = (options.codec, options.codec_ratio)
    return SplitCosts(
        execution_seconds=roofline.execution_seconds(profile, fleet, phase, roofline=by_roofline)[:, at],
        exit_seconds=float(
            roofline.exit_seconds(profile, fleet.coordinator, phase, roofline=by_roofline)[at]
        ),
        cloud_seconds=float(roofline.cloud_seconds(profile, fleet, phase, roofline=by_roofline)[at]),
        upload_bytes=float(transmission.upload_bytes(profile, workload, *codec)[at]),
        download_bytes=float(transmission.download_bytes(profile, workload, *codec)[at]),
        exit_upload_bytes=float(transmission.exit_bytes(profile)[at]),
        exit_download_bytes=float(transmission.exit_bytes(profile)[at]) * (phase == "training"),
        terminal_seconds=transmission.terminal_seconds(
            num_bytes, fleet.link.uplink_bits_per_second, options.uplink
        ),
        input_bytes=num_bytes,
        task_memory_bytes=float(activation_bytes(profile, resolve_memory_mode(options.memory, workload))[at]),
    )
