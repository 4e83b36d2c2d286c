"""The table of schedulers that ``cloudedge schedule`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.scheduling import Assignment

CHOSEN = "\N{BLACK RIGHT-POINTING TRIANGLE}"


@dataclass(frozen=True)
class ScheduleRow:
    """One scheduler's result: its unique label, the assignment, and the duration of the call with compiled kernels."""

    name: str
    assignment: Assignment
    call_seconds: float


def schedule_table(rows: Sequence[ScheduleRow], chosen: str, title: str) -> Table:
    """A row for each scheduler, the shortest makespan first; the chosen one is marked.

    "idle" is the share of the nodes' time up to the makespan during which they are idle.
    """
    bound = max(row.assignment.lower_bound_seconds for row in rows)
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        caption=Text(f"lower bound {bound:.5g} s: no schedule is shorter"),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("scheduler", overflow="fold", min_width=14)
    for name in ("makespan", "above bound", "idle", "tasks/node", "evaluations", "call"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: row.assignment.makespan_seconds):
        table.add_row(*_cells(row, bound, chosen), style="bold" if row.name == chosen else "")
    return table


def _cells(row: ScheduleRow, bound: float, chosen: str) -> tuple[str, ...]:
    assignment = row.assignment
    makespan, tasks = assignment.makespan_seconds, assignment.tasks_per_node
    above = f"{100 * (makespan / bound - 1):.2f}%" if bound > 0 else "-"
    idle = 1 - float(np.mean(assignment.loads_seconds)) / makespan if makespan > 0 else 0.0
    return (
        CHOSEN if row.name == chosen else "",
        escape(row.name),
        f"{makespan:.5g} s",
        above,
        f"{100 * idle:.1f}%",
        f"{tasks.min()} to {tasks.max()}",
        f"{len(assignment.history_seconds):,}",
        format_seconds(row.call_seconds),
    )
