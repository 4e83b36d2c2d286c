"""The figure of a plan's Pareto front: delay against energy and bytes, with the numbers of its split points."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from cloudedge_pl.costs.units import ABSENT, format_bytes, format_joules, format_seconds
from cloudedge_pl.offloading import OffloadPlan, pareto_front
from cloudedge_pl.reports.labels import close_together, square, write_beside
from cloudedge_pl.reports.style import (
    CLOUD,
    EDGE,
    INK,
    LIMIT,
    STATIC,
    QuantityFormatter,
    new_figure,
    save_figure,
)
from cloudedge_pl.reports.wording import plan_title

MARKER, RING = 10.0, 20.0
"""Diameters of a point of the front and of the ring around the chosen one, in points of 1/72 inch."""

TOGETHER = 7.0
"""Points of the front that are closer than this share one label."""

MOST_RUNS = 3
"""Runs of split points that a shared label lists before it ends in dots."""


def save_pareto_figure(plan: OffloadPlan, path: Path) -> Path:
    """Draws delay against energy and against bytes; the split points of the Pareto front are numbered.

    Args:
        plan: a plan, feasible or not.
        path: of the PNG; its folder is made if necessary.

    Returns:
        The path.
    """
    costs = plan.costs
    sent = costs.upload_bytes > 0
    nothing = costs.upload_bytes[sent].min() / 4  # where 0 bytes are drawn on a logarithmic axis
    figure = new_figure(12.0, 5.2)
    left, right = figure.subplots(1, 2, sharex=True)
    values = {left: costs.energy_joules, right: np.where(sent, costs.upload_bytes, nothing)}
    for axes in (left, right):
        _draw_front(axes, plan, values[axes])
    left.set_ylabel("energy of a task, mean over the nodes")
    left.yaxis.set_major_formatter(QuantityFormatter(format_joules))
    right.set_ylabel("bytes of a task sent to the cloud")
    right.set_yscale("log")
    right.yaxis.set_major_locator(FixedLocator([nothing, *_decades(costs.upload_bytes[sent])]))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_bytes(value if value > 1.01 * nothing else 0))
    )
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("delay of a task on the slowest node")
        axes.xaxis.set_major_locator(logarithmic_ticks(costs.delay_seconds))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(QuantityFormatter(format_seconds))
        axes.margins(0.08)
    figure.suptitle(
        f"{plan_title(plan)}: split points that no other one beats",
        x=0.01,
        ha="left",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(handles), columnspacing=2.0)
    figure.draw_without_rendering()  # settles the axes, on which it depends which numbers have room
    for axes in (left, right):
        _number(axes, plan, values[axes])
    return save_figure(figure, path)


def logarithmic_ticks(values: np.ndarray) -> LogLocator:
    """Ticks at 1, 2 and 5 times the powers of ten, or at fewer if the values span so much that they would touch."""
    positive = values[np.isfinite(values) & (values > 0)]
    decades = math.log10(positive.max() / positive.min()) if positive.size else 0.0
    digits = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 3 else (1.0,)
    return LogLocator(subs=digits, numticks=9)


def _decades(values: np.ndarray) -> list[float]:
    """1 and 3 times the powers of ten from the smallest value to the largest, and the next one beyond each."""
    exponents = range(math.floor(math.log10(values.min())), math.ceil(math.log10(values.max())) + 1)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in (1, 3)]
    return [tick for tick in ticks if values.min() / 1.5 <= tick <= values.max() * 1.5]


def _draw_front(axes: Axes, plan: OffloadPlan, values: np.ndarray) -> None:
    delays = plan.costs.delay_seconds
    usable = np.isfinite(delays) & np.isfinite(values)
    front = pareto_front(plan.costs, plan.feasible)
    beaten = np.setdiff1d(np.flatnonzero(plan.feasible & usable), front)
    infeasible = np.flatnonzero(~plan.feasible & usable)
    at = plan.split_point
    if len(beaten):
        axes.scatter(
            delays[beaten], values[beaten], s=22, c=STATIC, label="feasible, but beaten by another", zorder=2
        )
    if len(infeasible):
        axes.scatter(
            delays[infeasible], values[infeasible], s=26, c=LIMIT, marker="x", label="infeasible", zorder=2
        )
    if len(front):
        axes.scatter(
            delays[front],
            values[front],
            s=MARKER**2,
            c=CLOUD,
            edgecolors="white",
            label="Pareto front",
            zorder=3,
        )
    if usable[at]:
        axes.scatter(
            delays[at], values[at], s=RING**2, facecolors="none", edgecolors=EDGE, linewidths=2.2, zorder=5,
            label=f"chosen: {at}, after {plan.name} ({plan.objective})",
        )  # fmt: skip


def _number(axes: Axes, plan: OffloadPlan, values: np.ndarray) -> None:
    """Writes the numbers of the front beside its points; points that coincide share a label.

    A label for which there is no room beside other points and labels is left out.
    """
    front = pareto_front(plan.costs, plan.feasible)
    if not len(front):
        return
    scale = axes.figure.dpi / 72  # pixels of a point
    places = axes.transData.transform(np.stack([plan.costs.delay_seconds[front], values[front]], axis=1))
    groups = close_together(places, TOGETHER * scale)
    taken = [square(place, MARKER * scale) for place in places]
    taken += [square(places[at], RING * scale) for at in np.flatnonzero(front == plan.split_point)]
    groups.sort(key=lambda group: plan.split_point not in front[group])  # the chosen one has room in any case
    for group in groups:
        box = write_beside(axes, places[group].mean(axis=0), runs(front[group].tolist()), taken, scale)
        if box is not None:
            taken.append(box)


def runs(numbers: list[int]) -> str:
    """Writes ascending whole numbers, consecutive ones as a range.

    >>> runs([3, 4, 5, 8])
    '3\N{EN DASH}5, 8'
    """
    found = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    written = [f"{run[0]}{ABSENT}{run[-1]}" if len(run) > 1 else str(run[0]) for run in found]
    more = [] if len(written) <= MOST_RUNS else ["\N{HORIZONTAL ELLIPSIS}"]
    return ", ".join(written[:MOST_RUNS] + more)
