"""The figures of a plan: memory, delay, energy and bytes over the split points, with the limits and the choice."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from cloudedge_pl.costs.units import format_bytes, format_joules, format_seconds
from cloudedge_pl.offloading import Constraint, OffloadPlan, picture_baseline
from cloudedge_pl.offloading.table import DELAY_PARTS, ENERGY_PARTS
from cloudedge_pl.reports.pareto_figure import save_pareto_figure
from cloudedge_pl.reports.style import (
    CLOUD,
    EDGE,
    EXIT,
    INK,
    LIMIT,
    LINK,
    MUTED,
    STATIC,
    QuantityFormatter,
    figure_style,
    new_figure,
    save_figure,
)
from cloudedge_pl.reports.wording import plan_title

INFEASIBLE = "#F8E4EB"
WAIT = "#CC79A7"

DELAY_COLOURS = {"uplink": MUTED, "wait": WAIT, "execution": EDGE, "transfer": LINK, "cloud": CLOUD}
DELAY_LABELS = {
    "uplink": "uplink",
    "wait": "wait",
    "execution": "edge",
    "transfer": "transfer",
    "cloud": "cloud",
}
ENERGY_COLOURS = {"static": STATIC, "compute": EDGE, "radio": LINK}
ENERGY_LABELS = {"static": "idle power", "compute": "computing", "radio": "radio"}

SHOWN_LIMIT = 3
"""Limits up to this many times the highest value are drawn, and values up to this many times a limit."""


def save_plan_figures(plan: OffloadPlan, folder: Path) -> list[Path]:
    """Draws a plan.

    Args:
        plan: a plan, feasible or not.
        folder: the folder for the figures; it is made if necessary.

    Returns:
        The paths of ``plan.png`` and ``pareto.png``.
    """
    with figure_style():
        figure = new_figure(13.0, 8.4)
        panels = figure.subplots(2, 2, sharex=True)
        _draw_memory(panels[0, 0], plan)
        _draw_delay(panels[0, 1], plan)
        _draw_energy(panels[1, 0], plan)
        _draw_upload(panels[1, 1], plan)
        for axes in panels.flat:
            _mark(axes, plan)
        for axes in panels[1]:
            axes.set_xlabel("split point (segments at the edge)")
        figure.suptitle(plan_title(plan), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
        figure.legend(
            handles=_shared_legend(plan),
            loc="outside lower left",
            ncols=3,
            handlelength=1.6,
            columnspacing=2.0,
        )
        return [save_figure(figure, folder / "plan.png"), save_pareto_figure(plan, folder / "pareto.png")]


def _shared_legend(plan: OffloadPlan) -> list[Line2D | Patch]:
    chosen = f"chosen: {plan.split_point}, after {plan.name} ({plan.objective})"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=1.4, linestyle=":", marker="v", label=chosen)
    ]
    if not plan.feasible.all():
        handles.append(Patch(facecolor=INFEASIBLE, label="infeasible: some limit is broken"))
    return handles


def _mark(axes: Axes, plan: OffloadPlan) -> None:
    """Shades infeasible split points and marks the choice, behind the data."""
    points = plan.costs.num_points
    for point in np.flatnonzero(~plan.feasible):
        axes.axvspan(point - 0.5, point + 0.5, color=INFEASIBLE, linewidth=0, zorder=0)
    axes.axvline(plan.split_point, color=INK, linestyle=":", linewidth=1.4, zorder=3)
    axes.plot(
        [plan.split_point],
        [1.0],
        marker="v",
        color=INK,
        clip_on=False,
        zorder=4,
        transform=axes.get_xaxis_transform(),
    )
    axes.set_xlim(-0.7, points - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    axes.grid(visible=False, axis="x")


def _stack(axes: Axes, parts: dict[str, np.ndarray], colours: dict[str, str], labels: dict[str, str]) -> None:
    """Draws stacked bars of the parts; a bar with an infinite part is left out."""
    total = np.sum(list(parts.values()), axis=0)
    bottom = np.zeros_like(total)
    points = np.arange(len(total))
    for name, part in parts.items():
        height = np.where(np.isfinite(total), part, 0.0)
        axes.bar(points, height, 0.86, bottom, color=colours[name], label=labels[name], linewidth=0, zorder=2)
        bottom = bottom + height


def _scale(axes: Axes, values: np.ndarray, limit: Constraint | None, label: str) -> None:
    """Sets the height of a panel, and draws the limit unless it would flatten the data."""
    finite = values[np.isfinite(values)]
    highest = float(finite.max()) if finite.size else 0.0
    most = math.inf if limit is None else float(limit.limit[0])
    top = highest
    if limit is not None and math.isfinite(most):
        if most <= SHOWN_LIMIT * highest:
            axes.axhline(
                most,
                color=LIMIT,
                linestyle="--",
                linewidth=1.5,
                label=f"{label} {limit.write(most)}",
                zorder=3,
            )
            top = max(most, min(highest, SHOWN_LIMIT * most))
        else:
            axes.plot([], [], color=LIMIT, linestyle="--", label=f"{label} {limit.write(most)}, far above")
    axes.set_ylim(0, 1.08 * top or 1.0)


def _finish(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_title(title, pad=30)
    axes.set_ylabel(ylabel)
    # Bars come first in the legend, the limit last.
    entries = zip(*axes.get_legend_handles_labels(), strict=True)
    handles, labels = zip(*sorted(entries, key=lambda entry: isinstance(entry[0], Line2D)), strict=True)
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(handles),
        borderaxespad=0.7,
        borderpad=0.0,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.1,
    )


def _draw_memory(axes: Axes, plan: OffloadPlan) -> None:
    costs, limit = plan.costs, plan.constraint("memory")
    points = np.arange(costs.num_points)
    axes.bar(
        points, costs.memory_bytes, 0.86, color=EDGE, label="edge part, each node", linewidth=0, zorder=2
    )
    axes.plot(points, costs.master_memory_bytes, color=EXIT, marker=".", label="master", zorder=3)
    _scale(axes, np.maximum(costs.memory_bytes, costs.master_memory_bytes), limit, "limit")
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    _finish(axes, "Memory", "memory")


def _draw_delay(axes: Axes, plan: OffloadPlan) -> None:
    costs = plan.costs
    parts = {name: costs.delay_parts[name] for name in DELAY_PARTS}
    _stack(axes, parts, DELAY_COLOURS, DELAY_LABELS)
    _scale(axes, costs.delay_seconds, plan.constraint("delay"), "limit")
    overloaded = np.flatnonzero(~np.isfinite(costs.delay_seconds))
    if len(overloaded):
        axes.text(
            float(overloaded.mean()), 0.5, "overload", rotation=90, ha="center", va="center", color=LIMIT,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.yaxis.set_major_formatter(QuantityFormatter(format_seconds))
    _finish(axes, "Delay of a task on the slowest node", "delay")


def _draw_energy(axes: Axes, plan: OffloadPlan) -> None:
    """Draws the energy in one window of the node that is closest to its budget, or of a task if there is no budget."""
    costs, limit = plan.costs, plan.constraint("energy")
    budgets = plan.fleet.array("max_energy_joules")
    if np.isinf(budgets).all():
        _stack(axes, costs.energy_parts, ENERGY_COLOURS, ENERGY_LABELS)
        _scale(axes, costs.energy_joules, None, "")
        title = "Energy of a task, mean over the nodes"
    else:
        name = limit.where[plan.split_point]
        node = [node.name for node in plan.fleet.nodes].index(name)
        parts = {part: costs.node_energy_parts[part][node] for part in ENERGY_PARTS}
        _stack(axes, parts, ENERGY_COLOURS, ENERGY_LABELS)
        _scale(axes, costs.node_energy_joules[node], limit, "budget")
        title = f"Energy of {name} in {format_seconds(plan.workload.window_seconds)}"
    axes.yaxis.set_major_formatter(QuantityFormatter(format_joules))
    _finish(axes, title, "energy")


def _draw_upload(axes: Axes, plan: OffloadPlan) -> None:
    costs = plan.costs
    points = np.arange(costs.num_points)
    sent = costs.upload_bytes > 0
    values = np.where(sent, costs.upload_bytes, np.nan)
    axes.plot(points, values, color=LINK, marker="o", label="sent to the cloud")
    axes.axhline(
        values[0],
        color=MUTED,
        linestyle="--",
        linewidth=1.2,
        label=f"picture ({picture_baseline(plan).codec}) {format_bytes(values[0])}",
        zorder=1,
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    low, high = np.nanmin(values), np.nanmax(values)
    axes.set_ylim(low / 2, high * 2)
    for point in points[~sent]:
        axes.text(
            point, low / 1.8, "0 B", ha="center", va="bottom", color=INK, fontsize=9, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
        )  # fmt: skip
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    _finish(axes, "Bytes of a task sent to the cloud", "bytes (logarithmic)")
