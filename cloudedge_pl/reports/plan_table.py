"""The table that ``cloudedge plan`` shows: every split point, what it costs, and why it may not be chosen."""

from __future__ import annotations

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cloudedge_pl.costs.units import format_bytes, format_joules, format_seconds
from cloudedge_pl.offloading import OffloadPlan
from cloudedge_pl.offloading.constraints import broken

CHOSEN = "\N{BLACK RIGHT-POINTING TRIANGLE}"


def plan_table(plan: OffloadPlan) -> Table:
    """A row for each split point; the chosen one is marked, infeasible ones say why they are.

    Delay is that of a task on the slowest node; energy is the mean of a task over all nodes.
    """
    table = Table(
        title=_title(plan),
        title_justify="left",
        title_style="bold",
        caption=_limits(plan),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("split", justify="right", no_wrap=True)
    table.add_column("after", no_wrap=True, overflow="ellipsis", max_width=24)
    for name in ("memory", "delay", "energy", "bytes up"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("feasible", overflow="fold")
    for point in range(plan.costs.num_points):
        table.add_row(*_cells(plan, point), style=_style(plan, point))
    return table


def _title(plan: OffloadPlan) -> str:
    fleet = plan.fleet
    nodes = f"{fleet.num_nodes} node{'s' if fleet.num_nodes > 1 else ''}"
    return f"{plan.profile.model} on {nodes} and {fleet.cloud.name}: split point {plan.split_point} ({plan.objective})"


def _limits(plan: OffloadPlan) -> str:
    """The limits at the chosen split point, and who is closest to each."""
    parts = []
    for limit in plan.constraints:
        most = float(limit.limit[plan.split_point])
        name = limit.name.replace("_", " ")
        who = f" ({limit.where[plan.split_point]})"
        parts.append(f"{name} {limit.write(most)}{who}" if np.isfinite(most) else f"{name} without limit")
    return "limits: " + ", ".join(parts)


def _cells(plan: OffloadPlan, point: int) -> tuple[str | Text, ...]:
    costs = plan.costs
    delay, energy = float(costs.delay_seconds[point]), float(costs.energy_joules[point])
    return (
        CHOSEN if point == plan.split_point else "",
        str(point),
        plan.profile.names[point],
        format_bytes(float(costs.memory_bytes[point])),
        format_seconds(delay if np.isfinite(delay) else np.nan),
        format_joules(energy if np.isfinite(energy) else np.nan),
        format_bytes(float(costs.upload_bytes[point])),
        _verdict(plan, point),
    )


def _verdict(plan: OffloadPlan, point: int) -> Text:
    if plan.feasible[point]:
        return Text("yes", style="green")
    return Text(", ".join(limit.shortfall(point) for limit in broken(plan.constraints, point)), style="red")


def _style(plan: OffloadPlan, point: int) -> str:
    if point == plan.split_point:
        return "bold"
    return "" if plan.feasible[point] else "dim"
