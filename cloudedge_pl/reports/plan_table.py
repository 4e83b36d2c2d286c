"""The table of ``cloudedge plan``: every split point, what it costs, and why it cannot be chosen."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cloudedge_pl.costs.units import format_bytes, format_joules, format_seconds, written_apart
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.offloading import (
    Constraint,
    OffloadPlan,
    PictureBaseline,
    bottlenecks,
    lagrangian_dual,
    next_steps,
    pareto_front,
    picture_baseline,
)
from cloudedge_pl.offloading.constraints import broken
from cloudedge_pl.reports.wording import plan_title, short_name

CHOSEN = "\N{BLACK RIGHT-POINTING TRIANGLE}"

LOSES = "\N{BLACK UP-POINTING TRIANGLE}"
"""Stands before a delay or a number of bytes that is larger than that of sending the picture."""


def plan_table(plan: OffloadPlan) -> Table:
    """A row for each split point; the chosen one is marked, and infeasible ones give the reason.

    A delay or a number of bytes that is larger than that of sending the picture is marked, too.

    Delay is that of a task on the slowest node; energy is a task's mean over all nodes.
    """
    table = Table(
        title=Text(f"{plan_title(plan)}: split point {plan.split_point} ({plan.objective})"),
        title_justify="left",
        title_style="bold",
        caption=Text("\n".join(plan_notes(plan))),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("split", justify="right", no_wrap=True)
    table.add_column("after", no_wrap=True)
    for name in ("memory", "delay", "energy", "bytes up"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("feasible")
    picture = picture_baseline(plan)
    for point in range(plan.costs.num_points):
        table.add_row(*_cells(plan, picture, point), style=_style(plan, point))
    return table


def plan_notes(plan: OffloadPlan) -> list[str]:
    """Notes below the table, a sentence each: picture, limits, what would help, prices, bottleneck, Pareto front."""
    at = plan.split_point
    notes = [f"note: {plan.uncut}"] if plan.uncut else []
    notes += _picture_notes(picture_baseline(plan), plan)
    notes.append("limits: " + ", ".join(_limit(limit, at) for limit in plan.constraints))
    by_name = {limit.name: limit for limit in plan.constraints}
    for step in next_steps(plan):
        needed, now = written_apart(by_name[step.limit].write, (step.needed, step.now))
        notes.append(
            f"better: split point {step.split_point}, if {step.limit.replace('_', ' ')} on {step.where} might be "
            f"{needed} rather than {now}"
        )
    with suppress(InfeasiblePlanError):
        notes += [f"price: {sentence}" for sentence in lagrangian_dual(plan).describe()]
    notes.append(f"bottleneck: {bottlenecks(plan)[at]} takes most of a task's time at split point {at}")
    front = pareto_front(plan.costs, plan.feasible)
    if len(front):
        notes.append(f"Pareto front over delay, energy and bytes: {', '.join(map(str, front))}")
    for busy, what in (
        (
            plan.costs.link_utilisation[at],
            "all uploads together would take {} of the link; the plan gives each all of it",
        ),
        (plan.costs.master_utilisation[at], "exit heads for all tasks would take {} of the master's time"),
    ):
        if busy > 1:
            notes.append("caution: " + what.format(f"{100 * busy:.3g}%"))
    return notes


def _limit(limit: Constraint, point: int) -> str:
    most, name = float(limit.limit[point]), limit.name.replace("_", " ")
    return (
        f"{name} {limit.write(most)} ({limit.where[point]})" if np.isfinite(most) else f"{name} without limit"
    )


def _picture_notes(picture: PictureBaseline, plan: OffloadPlan) -> list[str]:
    """Says what it costs to send the picture, and whether the choice loses against that."""
    at, costs = plan.split_point, plan.costs
    sent, delay = format_bytes(picture.num_bytes), format_seconds(picture.delay_seconds)
    notes = [
        f"picture ({picture.codec}): sending it to the cloud takes {sent}, {delay} and "
        f"{format_joules(picture.energy_joules)}; {LOSES} marks what is slower or sends more"
    ]
    losses = []
    if picture.is_slower[at]:
        longer, shorter = written_apart(
            format_seconds, (float(costs.delay_seconds[at]), picture.delay_seconds)
        )
        losses.append(f"takes {longer} rather than {shorter}")
    if picture.sends_more[at]:
        more, fewer = written_apart(format_bytes, (float(costs.upload_bytes[at]), picture.num_bytes))
        losses.append(f"sends {more} rather than {fewer}")
    if losses:
        notes.append(f"loses against the picture: split point {at} {' and '.join(losses)}")
    return notes


def _cells(plan: OffloadPlan, picture: PictureBaseline, point: int) -> tuple[str | Text, ...]:
    costs = plan.costs
    delay, energy = float(costs.delay_seconds[point]), float(costs.energy_joules[point])
    return (
        CHOSEN if point == plan.split_point else "",
        str(point),
        short_name(plan.profile.names[point]),
        format_bytes(float(costs.memory_bytes[point])),
        _marked(format_seconds(delay if np.isfinite(delay) else np.nan), bool(picture.is_slower[point])),
        format_joules(energy if np.isfinite(energy) else np.nan),
        _marked(format_bytes(float(costs.upload_bytes[point])), bool(picture.sends_more[point])),
        _verdict(plan, point),
    )


def _marked(text: str, loses: bool) -> Text:
    return Text.assemble((LOSES, "yellow"), text) if loses else Text(text)


def _verdict(plan: OffloadPlan, point: int) -> Text:
    if plan.feasible[point]:
        return Text("yes", style="green")
    first, *more = (limit.shortfall(point) for limit in broken(plan.constraints, point))
    return Text(", ".join([first, *(text.replace(" over by ", " by ") for text in more)]), style="red")


def _style(plan: OffloadPlan, point: int) -> str:
    if point == plan.split_point:
        return "bold"
    return "" if plan.feasible[point] else "dim"
