"""Table 1: where the network is cut on 10, 20 and 30 nodes, and when more nodes move the position back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import EdgeNode, Fleet, Workload
from cloudedge_pl.offloading import OffloadPlan, plan_offloading
from cloudedge_pl.offloading.sensitivity import binding
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.trials import Outcome, along_all
from cloudedge_pl.paper.verdict import Trial, Verdict, judge

NONE = -1
"""The position where no split point keeps every limit; it counts as the one before all others."""

PLAN_COMMAND = "cloudedge plan fleet=paper workload=paper codec=none 'input_shape=[3,224,224]'"
"""How a user plans at the paper's setting."""

MOST_NODES = 40
"""The figure draws positions for up to this number of nodes."""

LINK_RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
ARRIVAL_RATES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MEMORIES = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
SPEEDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""What is tried along the axes, in the units of their names."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What positions are planned under.

    Args:
        fleet: returns the fleet with a number of nodes.
        workload: arrival rate and limits.
        formulas: by which costs are computed.
    """

    fleet: Callable[[int], Fleet]
    workload: Workload
    formulas: CostFormulas


def paper_conditions(setting: PaperSetting) -> Conditions:
    """Returns like nodes on a constant link, as the paper has them."""
    return Conditions(
        fleet=lambda count: setting.fleet(num_nodes=count, variation=0.0),
        workload=setting.workload,
        formulas=setting.formulas,
    )


def plan_at(setting: PaperSetting, conditions: Conditions, num_nodes: int) -> OffloadPlan | None:
    """Returns TMOA's plan for a number of nodes, or None if no split point keeps every limit."""
    try:
        return plan_offloading(
            setting.profile,
            conditions.fleet(num_nodes),
            conditions.workload,
            goal=setting.goal,
            formulas=conditions.formulas,
            codec=setting.codec,
        )
    except InfeasiblePlanError:
        return None


def positions(
    setting: PaperSetting, conditions: Conditions, node_counts: Sequence[int] | None = None
) -> list[int]:
    """Returns the positions for the numbers of nodes; :data:`NONE` where there is none.

    Args:
        setting: its network, goal and codec are planned with.
        conditions: fleet, workload and formulas.
        node_counts: None takes those of the setting.
    """
    plans = (plan_at(setting, conditions, count) for count in node_counts or setting.node_counts)
    return [NONE if plan is None else plan.split_point for plan in plans]


def moves_back(found: Sequence[int]) -> bool:
    """Whether the position is further back at the end, and no larger fleet has one further in front."""
    return never_forward(found) and found[-1] > found[0]


def never_forward(found: Sequence[int]) -> bool:
    """Whether no larger fleet has a position further in front."""
    return all(later >= earlier for earlier, later in pairwise(found))


def measure_table1(setting: PaperSetting, report: Report) -> PartResult:
    """Plans for 10, 20 and 30 nodes, and tries the claim along seven axes.

    Args:
        setting: of the paper.
        report: is told of the progress.
    """
    variants = waiting_variants(setting.formulas)
    start = paper_conditions(setting)
    rows: list[dict[str, Any]] = []
    for at, (label, formulas) in enumerate(variants.items()):
        report.step(f"positions with {label}", at, len(variants))
        rows += _rows(setting, replace(start, formulas=formulas), label)
    trials = _trials(setting, start, variants, report)
    return PartResult(
        verdicts=_verdicts(setting, start, variants, rows, trials),
        tables={
            "positions": Table.of_rows(
                "Offloading position by number of nodes",
                [row for row in rows if row["nodes"] in setting.node_counts],
            ),
            "nodes": Table.of_rows(f"Offloading position on 1 to {MOST_NODES} nodes", rows),
            "joining": _joining(setting, start),
            "trials": _trials_table(trials),
        },
        notes=(
            "The paper gives no figures of its devices, link and load; presets take their place, and nodes are alike.",
            f"A position of {NONE} means that no split point keeps every limit.",
        ),
        commands=(
            f"{PLAN_COMMAND} fleet.num_nodes=20",
            f"{PLAN_COMMAND} fleet.num_nodes=20 formulas.waiting=mm1",
            f"{PLAN_COMMAND} fleet.num_nodes=20 formulas=paper",
        ),
    )


def waiting_variants(formulas: CostFormulas) -> dict[str, CostFormulas]:
    """Returns the formulas of waiting that are compared, by name; those of the setting are among them."""
    found = {
        "M/D/1": replace(formulas, waiting="md1"),
        "M/M/1": replace(formulas, waiting="mm1"),
        "all formulas as printed": CostFormulas.paper(),
    }
    return found if formulas in found.values() else {"as configured": formulas, **found}


def _rows(setting: PaperSetting, conditions: Conditions, label: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for count in sorted({*range(1, MOST_NODES + 1), *setting.node_counts}):
        plan = plan_at(setting, conditions, count)
        at = NONE if plan is None else plan.split_point
        costs = None if plan is None else plan.costs
        rows.append(
            {
                "waiting": label,
                "nodes": count,
                "position": at,
                "last_layer_at_the_edge": None if plan is None else setting.profile.names[at],
                "delay_seconds": None if costs is None else costs.delay_seconds[at],
                "upload_bytes": None if costs is None else costs.upload_bytes[at],
                "limit_in_the_way": None if plan is None else ", ".join(binding(plan)) or "none",
            }
        )
    return rows


def with_last_node(fleet: Callable[[int], Fleet], few: int, **changes: float) -> Callable[[int], Fleet]:
    """Returns a fleet like another one, but with a different last node wherever it has more than ``few`` nodes.

    Args:
        fleet: returns the fleet with a number of nodes.
        few: up to this number of nodes nothing changes.
        **changes: fields of the joining :class:`~cloudedge_pl.fleet.EdgeNode`.
    """

    def joined(count: int) -> Fleet:
        made = fleet(count)
        if count <= few:
            return made
        last: EdgeNode = replace(made.nodes[-1], **changes)  # type: ignore[arg-type]  # numbers are fields of a node
        return replace(made, nodes=(*made.nodes[:-1], last), master=made.coordinator)

    return joined


def _everywhere(fleet: Callable[[int], Fleet], memory_bytes: float) -> Callable[[int], Fleet]:
    def limited(count: int) -> Fleet:
        made = fleet(count)
        return replace(made, nodes=tuple(replace(node, memory_bytes=memory_bytes) for node in made.nodes))

    return limited


def _axes(
    setting: PaperSetting, start: Conditions
) -> dict[str, tuple[Sequence[float], Callable[..., Conditions]]]:
    """What is tried: for each axis its values, and the conditions at one of them."""
    few = setting.node_counts[0]
    workload, node = start.workload, start.fleet(1).nodes[0]

    def speed(gflops: float) -> Conditions:
        peak = gflops * 1e9 / node.efficiency
        return replace(start, fleet=with_last_node(start.fleet, few, flops_per_second=peak))

    return {
        "link rate in Mbit/s": (
            LINK_RATES,
            lambda rate: replace(
                start,
                fleet=lambda count: setting.fleet(
                    num_nodes=count, bandwidth_bits_per_second=rate * 1e6, variation=0.0
                ),
            ),
        ),
        "arrival rate in tasks/s": (
            ARRIVAL_RATES,
            lambda rate: replace(start, workload=replace(workload, arrival_rate=rate)),
        ),
        "longest delay allowed in s": (
            DELAYS,
            lambda delay: replace(start, workload=replace(workload, max_delay_seconds=delay)),
        ),
        "memory of every node in MB": (
            MEMORIES,
            lambda size: replace(start, fleet=_everywhere(start.fleet, size * 1e6)),
        ),
        "memory of one node that joins in MB": (
            MEMORIES,
            lambda size: replace(start, fleet=with_last_node(start.fleet, few, memory_bytes=size * 1e6)),
        ),
        "speed of one node that joins in GFLOP/s": (SPEEDS, speed),
    }


def _trials(
    setting: PaperSetting, start: Conditions, variants: Mapping[str, CostFormulas], report: Report
) -> dict[str, dict[str, tuple[Trial, ...]]]:
    """The trials of both claims, by claim and axis."""
    axes: dict[str, tuple[Sequence[Any], Callable[..., Conditions]]] = {
        **_axes(setting, start),
        "formulas": (tuple(variants), lambda label: replace(start, formulas=variants[label])),
    }

    def judged_by(holds: Callable[[Sequence[int]], bool]) -> Callable[[Sequence[int]], Outcome]:
        return lambda found: (holds(found), float(found[-1] - found[0]))

    return along_all(
        axes,
        lambda conditions: positions(setting, conditions),
        {name: judged_by(holds) for name, (_, holds) in CLAIMS.items()},
        report,
        "positions",
    )


CLAIMS: dict[str, tuple[str, Callable[[Sequence[int]], bool]]] = {
    "moves back": ("With more nodes, the offloading position moves back.", moves_back),
    "never forward": (
        "With more nodes, the offloading position at least never moves forward.",
        never_forward,
    ),
}
"""What is judged: the paper's claim, and its weaker form."""


def _verdicts(
    setting: PaperSetting,
    start: Conditions,
    variants: Mapping[str, CostFormulas],
    rows: Sequence[Mapping[str, Any]],
    trials: Mapping[str, Mapping[str, Sequence[Trial]]],
) -> tuple[Verdict, ...]:
    found = {(row["waiting"], row["nodes"]): row["position"] for row in rows}
    by_variant = {label: [found[label, count] for count in setting.node_counts] for label in variants}
    counts = _listed(setting.node_counts)
    measured = f"On {counts} nodes the position is " + "; ".join(
        f"{_listed(each)} ({label})" for label, each in by_variant.items()
    )
    numbers = {
        f"position on {count} nodes, {label}": float(found[label, count])
        for label in variants
        for count in setting.node_counts
    }
    at_setting = positions(setting, start)
    return tuple(
        judge(claim, f"{measured}.", numbers, at_setting=holds(at_setting), axes=trials[name])
        for name, (claim, holds) in CLAIMS.items()
    )


def _listed(values: Sequence[int]) -> str:
    texts = ["none" if value == NONE else str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _joining(setting: PaperSetting, start: Conditions) -> Table:
    """Positions by the memory of one node that joins, for the figure."""
    sizes = np.geomspace(MEMORIES[0], MEMORIES[-1], 60)
    few, counts = setting.node_counts[0], setting.node_counts
    found = np.array(
        [
            positions(
                setting,
                replace(start, fleet=with_last_node(start.fleet, few, memory_bytes=float(size) * 1e6)),
            )
            for size in sizes
        ]
    )
    return Table(
        title=f"Offloading position if one of more than {few} nodes has less memory",
        columns={
            "memory_bytes": (sizes * 1e6).tolist(),
            **{f"position_on_{count}_nodes": found[:, at].tolist() for at, count in enumerate(counts)},
        },
    )


def _trials_table(trials: Mapping[str, Mapping[str, Sequence[Trial]]]) -> Table:
    rows = [
        (name, axis, str(trial.setting[axis]), trial.holds, trial.value)
        for name, axes in trials.items()
        for axis, each in axes.items()
        for trial in each
    ]
    columns = list(zip(*rows, strict=True))
    headers = ("claim", "axis", "value", "holds", "positions_moved")
    return Table(title="Where the claims were tried", columns=dict(zip(headers, columns, strict=True)))
