"""The message when no split point is feasible: what is in the way at each, by how much, and what to change."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.units import format_factor, written_apart
from cloudedge_pl.fleet import Workload
from cloudedge_pl.offloading.constraints import Constraint, broken, reasons, relaxations


def explain(
    profile: CostProfile, workload: Workload, limits: tuple[Constraint, ...], allowed: np.ndarray
) -> str:
    """Writes the message of an :class:`~cloudedge_pl.errors.InfeasiblePlanError`.

    Args:
        profile: of the network.
        workload: with the arrival rate.
        limits: every constraint at every split point.
        allowed: [N + 1] bool, the split points from which the objective may choose.
    """
    points = np.flatnonzero(allowed)
    width = max(len(profile.names[point]) for point in points)
    why = reasons(limits)
    rows = [f"  {point:3d} {profile.names[point]:<{width}}  {why[point]}" for point in points]
    remedies = [f"  - {remedy}" for remedy in what_to_change(profile, workload, limits, allowed)]
    return "\n".join(
        [
            f"no split point of {profile.model!r} is feasible on this fleet. In the way:",
            *rows,
            "What to change:",
            *remedies,
        ]
    )


def what_to_change(
    profile: CostProfile, workload: Workload, limits: tuple[Constraint, ...], allowed: np.ndarray
) -> list[str]:
    """Lists for every limit the smallest change that frees a split point while the other limits stay.

    If no single change does, lists the changes that the split point closest to feasible needs.
    """
    by_name = {limit.name: limit for limit in limits}
    single = relaxations(limits, allowed)
    if single:
        return [
            f"{_change(by_name[step.limit], step.split_point, workload)} "
            f"({'ends the overload at' if step.limit == 'load' else 'frees'} split point {step.split_point}, "
            f"{profile.names[step.split_point]})"
            for step in single
        ]
    excess = np.sum(
        [np.nan_to_num(np.maximum(limit.pressure - 1, 0), posinf=1e9) for limit in limits], axis=0
    )
    point = int(np.where(allowed, excess, np.inf).argmin())
    changes = [_change(limit, point, workload) for limit in broken(limits, point)]
    return [
        f"{' and '.join(changes)} (no single limit frees a split point; {point}, {profile.names[point]}, is closest)"
    ]


def _change(limit: Constraint, point: int, workload: Workload) -> str:
    value, now = float(limit.value[point]), float(limit.limit[point])
    if limit.name == "load":
        below, rate = written_apart(format_factor, (workload.arrival_rate / value, workload.arrival_rate))
        times = written_apart(format_factor, (value, 1.0))[0]
        return f"arrival_rate below {below} tasks/s (now {rate}), or {times} times the nodes"
    needed, most = written_apart(limit.write, (value, now))
    if limit.name in ("memory", "master_memory"):
        times = written_apart(format_factor, (value / now, 1.0))[0]
        return f"memory_bytes of {limit.where[point]} x {times} ({needed} must fit, {most} may be used)"
    return f"{limit.advice} at least {needed} (now {most})"
