"""How a plan depends on its limits: what binds, what it takes to do better, and sweeps over one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.roofline import FORWARD_PASSES, roofline_of
from cloudedge_pl.errors import InfeasiblePlanError, lookup
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import Relaxation, broken, relaxations
from cloudedge_pl.offloading.objectives import OBJECTIVES, candidates
from cloudedge_pl.offloading.planner import make_options, plan_offloading
from cloudedge_pl.offloading.types import OffloadPlan

BOTTLENECKS = ("uplink", "wait", "compute", "memory bandwidth", "transfer", "cloud")


def _better(plan: OffloadPlan) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N + 1], and which split points would serve the objective better than the plan's."""
    options = plan.options
    scores = OBJECTIVES[options.objective](plan.costs, options.weights)
    allowed = candidates(options.objective, plan.costs.num_points, exclude_ends=options.exclude_ends)
    return scores, allowed & (scores < scores[plan.split_point])


def binding(plan: OffloadPlan) -> tuple[str, ...]:
    """Names of the constraints that keep the plan from the next better split point; empty at the best there is."""
    scores, better = _better(plan)
    infeasible = np.flatnonzero(better & ~plan.feasible)
    if len(infeasible) == 0:
        return ()
    next_better = int(infeasible[scores[infeasible].argmax()])
    return tuple(limit.name for limit in broken(plan.constraints, next_better))


def next_steps(plan: OffloadPlan) -> tuple[Relaxation, ...]:
    """For every limit the least change of it alone that admits a better split point, where there is one."""
    return relaxations(plan.constraints, _better(plan)[1])


def bottlenecks(plan: OffloadPlan) -> tuple[str, ...]:
    """Where a task spends most of its time on the slowest node, for every split point: of :data:`BOTTLENECKS`."""
    parts = plan.costs.delay_parts
    memory_bound = np.zeros((plan.fleet.num_nodes, plan.costs.num_points))
    if plan.options.roofline:
        for index, node in enumerate(plan.fleet.nodes):
            roof = roofline_of(plan.profile, node)
            memory_bound[index, 1:] = np.cumsum(np.where(roof.memory_bound, roof.seconds, 0.0))
    points = np.arange(plan.costs.num_points)
    moving = FORWARD_PASSES[plan.workload.phase] * memory_bound[plan.costs.slowest_node, points]
    seconds = {**parts, "compute": parts["execution"] - moving, "memory bandwidth": moving}
    largest = np.argmax([seconds[name] for name in BOTTLENECKS], axis=0)
    return tuple(BOTTLENECKS[index] for index in largest)


def with_num_nodes(fleet: Fleet, num_nodes: int) -> Fleet:
    """The fleet with so many nodes: the first ones, or all of them over and over, under new names.

    Raises:
        ValueError: on less than one node.
    """
    if num_nodes < 1 or num_nodes != int(num_nodes):
        raise ValueError(f"num_nodes is {num_nodes}; a fleet has a whole number of nodes, at least 1.")
    nodes = []
    for index in range(int(num_nodes)):
        node, turn = fleet.nodes[index % fleet.num_nodes], index // fleet.num_nodes
        nodes.append(replace(node, name=f"{node.name}~{turn}") if turn else node)
    return replace(fleet, nodes=tuple(nodes))


def _every_node(fleet: Fleet, **changes: float) -> Fleet:
    return replace(fleet, nodes=tuple(replace(node, **changes) for node in fleet.nodes))  # type: ignore[arg-type]  # fields


PARAMETERS: dict[str, Callable[[Fleet, Workload, float], tuple[Fleet, Workload]]] = {
    "num_nodes": lambda fleet, workload, value: (with_num_nodes(fleet, int(value)), workload),
    "bandwidth_bits_per_second": lambda fleet, workload, value: (
        replace(fleet, link=replace(fleet.link, bandwidth_bits_per_second=value)),
        workload,
    ),
    "memory_bytes": lambda fleet, workload, value: (_every_node(fleet, memory_bytes=value), workload),
    "max_energy_joules": lambda fleet, workload, value: (
        _every_node(fleet, max_energy_joules=value),
        workload,
    ),
    "arrival_rate": lambda fleet, workload, value: (fleet, replace(workload, arrival_rate=value)),
    "max_delay_seconds": lambda fleet, workload, value: (fleet, replace(workload, max_delay_seconds=value)),
}
"""What a sweep can vary."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Plans over the values of one parameter.

    Args:
        parameter: a key of :data:`PARAMETERS`.
        values: [num_values].
        split_point: [num_values] int64; -1 where no split point is feasible.
        delay_seconds: [num_values] at the split point; nan where there is none, as in the next two.
        energy_joules: [num_values] of a task.
        upload_bytes: [num_values] of a task.
        binding: for each value, the constraints in the way of a better split point.
    """

    parameter: str
    values: np.ndarray
    split_point: np.ndarray
    delay_seconds: np.ndarray
    energy_joules: np.ndarray
    upload_bytes: np.ndarray
    binding: tuple[tuple[str, ...], ...]


def sweep(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    parameter: str,
    values: Sequence[float],
    **keywords: Any,
) -> Sweep:
    """Plans once for every value of a parameter, everything else as it is.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and limits.
        parameter: a key of :data:`PARAMETERS`.
        values: what it takes; a fleet of more nodes than ``fleet`` has repeats them in turn.
        **keywords: of :func:`~cloudedge_pl.plan_offloading`, but for ``split_point``.

    Raises:
        ValueError: on an unknown parameter or a value that it cannot take.
    """
    change = lookup(PARAMETERS, parameter, "sweep parameter")
    options = make_options(keywords.pop("options", None), **keywords)
    split_point = np.full(len(values), -1, dtype=np.int64)
    costs = np.full((3, len(values)), np.nan)
    bound_by: list[tuple[str, ...]] = []
    for index, value in enumerate(values):
        changed_fleet, changed_workload = change(fleet, workload, value)
        try:
            plan = plan_offloading(profile, changed_fleet, changed_workload, options=options)
        except InfeasiblePlanError:
            best = plan_offloading(profile, changed_fleet, changed_workload, options=options, split_point=0)
            bound_by.append(tuple(limit.name for limit in broken(best.constraints, 0)))
            continue
        at = split_point[index] = plan.split_point
        costs[:, index] = (
            plan.costs.delay_seconds[at],
            plan.costs.energy_joules[at],
            plan.costs.upload_bytes[at],
        )
        bound_by.append(binding(plan))
    delay, joules, num_bytes = costs
    taken = np.asarray(values, dtype=np.float64)
    return Sweep(parameter, taken, split_point, delay, joules, num_bytes, tuple(bound_by))
