"""How a plan depends on its limits: which limits bind, what a better plan needs, and sweeps over one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.roofline import FORWARD_PASSES, roofline_of
from cloudedge_pl.errors import InfeasiblePlanError, lookup
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.constraints import Relaxation, broken, relaxations
from cloudedge_pl.offloading.goal import OffloadGoal
from cloudedge_pl.offloading.objectives import OBJECTIVES, candidates
from cloudedge_pl.offloading.plan import OffloadPlan
from cloudedge_pl.offloading.planner import plan_offloading

BOTTLENECKS = ("uplink", "wait", "compute", "memory bandwidth", "transfer", "cloud")


def _better(plan: OffloadPlan) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores [N + 1], and which split points have a better one than the plan's."""
    goal = plan.goal
    scores = OBJECTIVES[goal.objective](plan.costs, goal.weights)
    allowed = candidates(goal.objective, plan.costs.num_points, exclude_ends=goal.exclude_ends)
    return scores, allowed & (scores < scores[plan.split_point])


def binding(plan: OffloadPlan) -> tuple[str, ...]:
    """Names the constraints that keep the plan from the next better split point; empty if there is no better one."""
    scores, better = _better(plan)
    infeasible = np.flatnonzero(better & ~plan.feasible)
    if len(infeasible) == 0:
        return ()
    next_better = int(infeasible[scores[infeasible].argmax()])
    return tuple(limit.name for limit in broken(plan.constraints, next_better))


def next_steps(plan: OffloadPlan) -> tuple[Relaxation, ...]:
    """Finds for every limit the smallest change of it alone that makes a better split point feasible, if any."""
    return relaxations(plan.constraints, _better(plan)[1])


def bottlenecks(plan: OffloadPlan) -> tuple[str, ...]:
    """Names where a task on the slowest node spends most time, for every split point: one of :data:`BOTTLENECKS`."""
    parts = plan.costs.delay_parts
    memory_bound = np.zeros((plan.fleet.num_nodes, plan.costs.num_points))
    if plan.formulas.roofline:
        for index, node in enumerate(plan.fleet.nodes):
            roof = roofline_of(plan.profile, node)
            memory_bound[index, 1:] = np.cumsum(np.where(roof.memory_bound, roof.seconds, 0.0))
    points = np.arange(plan.costs.num_points)
    moving = FORWARD_PASSES[plan.workload.phase] * memory_bound[plan.costs.slowest_node, points]
    seconds = {**parts, "compute": parts["execution"] - moving, "memory bandwidth": moving}
    largest = np.argmax([seconds[name] for name in BOTTLENECKS], axis=0)
    return tuple(BOTTLENECKS[index] for index in largest)


def with_num_nodes(fleet: Fleet, num_nodes: int) -> Fleet:
    """Returns a fleet of another size: the first nodes, or all nodes repeated in turn under new names.

    Raises:
        ValueError: if the number is not a whole number of at least 1.
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
"""The parameters that a sweep can vary."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Plans over the values of one parameter.

    Args:
        parameter: a key of :data:`PARAMETERS`.
        values: [num_values].
        split_point: [num_values] int64; -1 where no split point is feasible.
        delay_seconds: [num_values], of a task at the split point; nan where no split point is feasible.
        energy_joules: [num_values], of a task; nan likewise.
        upload_bytes: [num_values], of a task; nan likewise.
        binding: for each value, the constraints that are in the way of a better split point.
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
    *,
    goal: OffloadGoal | None = None,
    formulas: CostFormulas | None = None,
    codec: CodecConfig | None = None,
) -> Sweep:
    """Plans once for every value of a parameter, with everything else unchanged.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and limits.
        parameter: a key of :data:`PARAMETERS`.
        values: of the parameter. A fleet with more nodes than ``fleet`` repeats its nodes in turn.
        goal: as for :func:`~cloudedge_pl.plan_offloading`, without a split point.
        formulas: as for :func:`~cloudedge_pl.plan_offloading`.
        codec: as for :func:`~cloudedge_pl.plan_offloading`.

    Raises:
        ValueError: if the parameter is unknown, a value is invalid, or the goal has a split point.
    """
    change = lookup(PARAMETERS, parameter, "sweep parameter")
    goal = goal or OffloadGoal()
    if goal.split_point is not None:
        raise ValueError(
            f"sweep: the goal's split_point is {goal.split_point}; a sweep chooses one for every value, leave it out."
        )
    split_point = np.full(len(values), -1, dtype=np.int64)
    costs = np.full((3, len(values)), np.nan)
    bound_by: list[tuple[str, ...]] = []
    for index, value in enumerate(values):
        changed = change(fleet, workload, value)
        try:
            plan = plan_offloading(profile, *changed, goal=goal, formulas=formulas, codec=codec)
        except InfeasiblePlanError:
            in_cloud = replace(goal, split_point=0)
            best = plan_offloading(profile, *changed, goal=in_cloud, formulas=formulas, codec=codec)
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
