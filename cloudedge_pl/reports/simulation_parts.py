"""Where a task's time goes: the parts of its delay, by path and for the slowest tasks."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.reports.style import (
    ANSWERED,
    EDGE,
    INK,
    LINK,
    MUTED,
    legend_below_title,
    new_figure,
    seconds_scale,
)
from cloudedge_pl.simulation.task_records import (
    CLOUD,
    EARLY_EXIT,
    EXIT_ASLEEP,
    EXIT_OVERLOAD,
    TaskRecords,
)
from cloudedge_pl.simulation.task_records import EDGE as EDGE_PATH

PARTS: Final = {
    "window_seconds": ("wait for the window", MUTED),
    "at_node_seconds": ("way to the node", "#CC79A7"),
    "started_seconds": ("wait at the node", "#F4BE93"),
    "done_seconds": ("computing at the node", EDGE),
    "sent_seconds": ("radio, with its queue", LINK),
    "arrived_seconds": ("way to the cloud", "#B9DFF6"),
    "answered_seconds": ("cloud or exit head, and back", ANSWERED),
}
"""By the stamp at which a part ends: its name and its colour; waiting has the lighter shade of what is waited for."""

NAMES: Final = {
    CLOUD: "cloud",
    EXIT_ASLEEP: "exit head,\ncloud asleep",
    EARLY_EXIT: "exit head,\nsure",
    EDGE_PATH: "edge",
    EXIT_OVERLOAD: "exit head,\ncloud full",
}

SLOWEST: Final = 0.05
"""The share of all tasks that are shown as the slowest."""


def part_seconds(answered: TaskRecords) -> dict[str, np.ndarray]:
    """Divides the delays of answered tasks into parts.

    A stamp that is missing ends no part, and its time counts to the next: a network that is whole on its node has
    neither radio nor cloud. Time that lost attempts took is in the wait for the (last) window.

    Args:
        answered: tasks that are answered.

    Returns:
        By the stamp at which the part ends, float64 [num_tasks]; their sum is the delay.
    """
    parts, since = {}, answered.arrival_seconds
    for stamp in PARTS:
        until = getattr(answered, stamp)
        until = np.where(np.isnan(until), since, until)
        parts[stamp] = until - since
        since = until
    return parts


def draw_task_time(answered: TaskRecords) -> Figure:
    """Draws a bar for each path, for all tasks and for the slowest: its mean delay, divided into parts.

    Args:
        answered: tasks that are answered, at least one.
    """
    rows = _rows(answered)
    parts = part_seconds(answered)
    means = {stamp: np.array([parts[stamp][here].mean() for here in rows.values()]) for stamp in PARTS}
    totals = np.sum(list(means.values()), axis=0)
    scale, unit = seconds_scale(totals)
    figure = new_figure(10.0, 1.9 + 0.62 * len(rows))
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for stamp, seconds in means.items():
        name, colour = PARTS[stamp]
        if seconds.any():
            axes.barh(
                range(len(rows)), seconds * scale, left=left * scale, height=0.64, color=colour, label=name,
                edgecolor="white", linewidth=0.6,
            )  # fmt: skip
        left = left + seconds
    for row, total in enumerate(totals):
        axes.annotate(
            time_text(total), (total * scale, row), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=9, color=INK,
        )  # fmt: skip
    axes.set_title("Where a task's time goes, on average")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first at the top
    axes.set_xlim(0, 1.1 * float(totals.max()) * scale or 1.0)
    axes.set_xlabel(f"mean delay ({unit})")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    legend_below_title(axes, columns=4)
    return figure


def _rows(answered: TaskRecords) -> dict[str, np.ndarray]:
    """Which tasks each row shows, by its name."""
    paths = [path for path in NAMES if (answered.path == path).any()]
    shares = {path: float(np.mean(answered.path == path)) for path in paths}
    rows = {f"{NAMES[path]} ({share_text(shares[path])})": answered.path == path for path in paths}
    if len(rows) > 1:
        rows["all answers"] = np.ones(len(answered), dtype=bool)
    delays = answered.delay_seconds
    slow = delays >= np.quantile(delays, 1 - SLOWEST)
    if slow.mean() < 0.5:  # else many are equally slow
        rows[f"slowest {100 * SLOWEST:.0f}%"] = slow
    return rows


def share_text(share: float) -> str:
    """Writes a share as percent: ``43%`` or ``1.2%``."""
    return f"{100 * share:.{0 if share >= 0.0995 else 1}f}%"


def time_text(seconds: float) -> str:
    """Writes a time: ``12.5 ms`` or ``10,000 s``."""
    return f"{seconds:,.0f} s" if seconds >= 1000 else format_seconds(seconds)
