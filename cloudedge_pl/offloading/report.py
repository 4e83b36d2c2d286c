"""The content of ``plan.json``: a plan as plain values. docs/plan.md describes every key."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.files import json_values
from cloudedge_pl.offloading.lagrangian import lagrangian_dual
from cloudedge_pl.offloading.pareto import pareto_front
from cloudedge_pl.offloading.picture import picture_baseline
from cloudedge_pl.offloading.plan import OffloadPlan
from cloudedge_pl.offloading.sensitivity import binding, bottlenecks, next_steps


def plan_dict(plan: OffloadPlan) -> dict[str, Any]:
    """Returns everything that a plan knows; numbers that are not finite are None."""
    slowest = bottlenecks(plan)
    content = {
        "model": plan.profile.model,
        "input_shape": list(plan.profile.input_shape),
        "num_nodes": plan.fleet.num_nodes,
        "objective": plan.objective,
        "split_point": plan.split_point,
        "split_name": plan.name,
        "feasible": plan.is_feasible,
        "binding": list(binding(plan)),
        "next_steps": [asdict(step) for step in next_steps(plan)],
        "pareto_front": pareto_front(plan.costs, plan.feasible).tolist(),
        "lagrangian": _lagrangian(plan),
        "workload": asdict(plan.workload),
        "goal": asdict(plan.goal),
        "formulas": asdict(plan.formulas),
        "codec": asdict(plan.codec),
        "picture": _picture(plan),
        "split_points": [
            _point(plan, index) | {"bottleneck": slowest[index]} for index in range(plan.costs.num_points)
        ],
    }
    return json_values(content)


def _lagrangian(plan: OffloadPlan) -> dict[str, Any] | None:
    try:
        dual = lagrangian_dual(plan)
    except InfeasiblePlanError:
        return None
    return {"prices": dual.prices, "bound": dual.bound, "optimum": dual.optimum, "gap": dual.gap}


def _picture(plan: OffloadPlan) -> dict[str, Any]:
    baseline = picture_baseline(plan)
    return {
        **asdict(baseline.codec),
        "bytes": baseline.num_bytes,
        "delay_seconds": baseline.delay_seconds,
        "energy_joules": baseline.energy_joules,
        "sends_more": np.flatnonzero(baseline.sends_more).tolist(),
        "is_slower": np.flatnonzero(baseline.is_slower).tolist(),
    }


def _point(plan: OffloadPlan, index: int) -> dict[str, Any]:
    costs = plan.costs
    return {
        "index": index,
        "name": plan.profile.names[index],
        "feasible": bool(plan.feasible[index]),
        "reason": plan.reasons[index],
        "flops": plan.profile.flops[index],
        "memory_bytes": costs.memory_bytes[index],
        "master_memory_bytes": costs.master_memory_bytes[index],
        "utilisation": costs.utilisation[index],
        "delay_seconds": costs.delay_seconds[index],
        "delay_parts_seconds": {name: part[index] for name, part in costs.delay_parts.items()},
        "wait_per_node_seconds": costs.node_wait_seconds[index],
        "wait_pooled_seconds": costs.pooled_wait_seconds[index],
        "energy_joules": costs.energy_joules[index],
        "energy_parts_joules": {name: part[index] for name, part in costs.energy_parts.items()},
        "window_energy_joules": plan.constraint("energy").value[index],
        "upload_bytes": costs.upload_bytes[index],
        "download_bytes": costs.download_bytes[index],
        "link_utilisation": costs.link_utilisation[index],
        "master_utilisation": costs.master_utilisation[index],
        "limit": {limit.name: limit.limit[index] for limit in plan.constraints},
        "slack": {limit.name: limit.slack[index] for limit in plan.constraints},
        "tightest_node": {limit.name: limit.where[index] for limit in plan.constraints},
    }
