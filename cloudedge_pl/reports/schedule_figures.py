"""The figures of schedules: which node runs which task when, and how fast a search converges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cloudedge_pl.reports.style import (
    ANSWERED,
    CLOUD,
    EDGE,
    EXIT,
    GRID,
    INK,
    LIMIT,
    MUTED,
    SERIES,
    figure_style,
    new_figure,
    save_figure,
)
from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow
from cloudedge_pl.scheduling.instance import Instance

DETOUR = LinearSegmentedColormap.from_list("detour", ["#F8DFCB", "#F0AE7A", EDGE, "#8A3A00", "#471C00"])
"""The colours for the ratio of a task's time to that on its fastest node."""

LONGEST_DETOUR = 3.0
"""The largest ratio of times that has a colour of its own; larger ratios have the same."""

NAMED_NODES, NUMBERED_TASKS = 40, 120
"""Up to this many nodes are named, and up to this many tasks numbered, if their bars are wide enough."""

BOUND: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (2, 2)), "zorder": 3}
"""The line of the lower bound; it is drawn above that of the makespan, which may be at the same place."""

TITLE_CHARACTERS = 90
"""Titles are wrapped at this length, because a scheduler's options may need more than one line."""

LEAST_PERCENT = 1e-2
"""Values closer to the bound are drawn here, because a logarithmic scale has no zero."""

ROUNDING_PERCENT = 1e-9
"""Values closer to the bound than this count as equal to it."""

COLOURS = {"atsa": ANSWERED, "aco": EDGE, "pso": CLOUD, "atsa_paper": EXIT}


@dataclass(frozen=True)
class Chart:
    """One panel of a Gantt chart: a schedule, its window and the state of the nodes."""

    name: str
    window: TaskWindow
    state: NodeState
    assignment: Assignment


def save_gantt(charts: Sequence[Chart], path: Path) -> Path:
    """Draws schedules of the same tasks below each other, on one time axis.

    A row is a node and a bar a task, whose colour shows its time relative to that on its fastest node. Earlier backlog
    is grey. Lines mark the makespan and the lower bound.

    Args:
        charts: at least one chart; the highest of their bounds is drawn.
        path: path of the PNG.
    """
    with figure_style():
        nodes = charts[0].window.num_nodes
        height = float(np.clip(0.22 * nodes, 1.6, 6.0)) + 0.9
        figure = new_figure(10.5, height * len(charts) + 0.5)
        panels = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
        bound = max(chart.assignment.lower_bound_seconds for chart in charts)
        end = max(chart.assignment.makespan_seconds for chart in charts) or 1.0
        for axes, chart in zip(panels, charts, strict=True):
            _draw_gantt(axes, chart, bound, end)
        panels[-1].set_xlabel("seconds after the window opened")
        colours = ScalarMappable(Normalize(1.0, LONGEST_DETOUR), DETOUR)
        bar = figure.colorbar(colours, ax=list(panels), pad=0.015, aspect=16 * len(charts), extend="max")
        bar.set_label("time over the fastest node's")
        bar.outline.set_visible(False)
        _explain_marks(figure, charts, bound)
        return save_figure(figure, path)


def _explain_marks(figure: Figure, charts: Sequence[Chart], bound: float) -> None:
    """Puts a legend below the charts; inside them, labels of marks that are close to each other would overlap."""
    marks: list[Line2D | Patch] = [
        Line2D([], [], color=LIMIT, linewidth=1.6, label="makespan"),
        Line2D([], [], **BOUND, label=f"lower bound, {bound:.4g} s"),
    ]
    if any((chart.state.ready_seconds > 0).any() for chart in charts):
        marks.append(Patch(facecolor=GRID, label="earlier backlog"))
    figure.legend(handles=marks, loc="outside lower left", ncols=len(marks), columnspacing=2.0)


def _draw_gantt(axes: Axes, chart: Chart, bound: float, end: float) -> None:
    window, state, assignment = chart.window, chart.state, chart.assignment
    node = assignment.node
    instance = Instance.of(window, state)
    finish = instance.finish_seconds(node)
    took = window.times_seconds[np.arange(window.num_tasks), node]
    fastest = instance.times_seconds.min(axis=1)
    detour = np.divide(took, fastest, out=np.ones_like(took), where=fastest > 0)
    shown = DETOUR(Normalize(1.0, LONGEST_DETOUR, clip=True)(detour))

    for at, ready in enumerate(state.ready_seconds):
        if ready > 0:
            axes.add_patch(Rectangle((0, at - 0.38), ready, 0.76, facecolor=GRID, linewidth=0))
        if not state.available[at]:
            axes.text(0.008 * end, at, "unavailable", color=MUTED, fontsize=8.5, va="center", style="italic")
    bars = [
        Rectangle((start, at - 0.38), width, 0.76)
        for start, at, width in zip(finish - took, node, took, strict=True)
    ]
    row_points = 72 * axes.bbox.height / axes.figure.dpi / window.num_nodes
    edge = min(0.5, row_points / 12)  # the edges of many nodes' bars must not hide them
    snap = None if row_points > 3 else False  # rows thinner than a pixel would snap to nothing
    axes.add_collection(
        PatchCollection(bars, facecolors=shown, edgecolors="white", linewidths=edge, snap=snap)
    )
    if window.num_tasks <= NUMBERED_TASKS:
        for task in np.flatnonzero(took > 0.022 * end):
            ink = "white" if detour[task] > 1.8 else INK
            middle = finish[task] - took[task] / 2
            axes.text(middle, node[task], str(task), color=ink, fontsize=7, ha="center", va="center")
    axes.axvline(bound, **BOUND)
    axes.axvline(assignment.makespan_seconds, color=LIMIT, linewidth=1.6)
    axes.set_xlim(0, end * 1.005)
    axes.set_ylim(window.num_nodes - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if window.num_nodes <= NAMED_NODES:
        axes.set_yticks(range(window.num_nodes), labels=list(state.names), fontsize=8)
    axes.set_ylabel("node")
    above = 100 * (assignment.makespan_seconds / bound - 1) if bound > 0 else 0.0
    title = f"{chart.name}: done after {assignment.makespan_seconds:.4g} s, {_percent(above)} above the bound"
    axes.set_title(fill(title, TITLE_CHARACTERS))


def save_convergence(
    histories: Mapping[str, Sequence[np.ndarray]],
    lower_bound_seconds: Sequence[float],
    path: Path,
    references: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Draws how far the best makespan so far is above the lower bound, over the evaluations, on logarithmic axes.

    A line is the median over the windows, its band reaches from the best to the worst. Values less than
    :data:`LEAST_PERCENT` above the bound are drawn there; the labels give the true medians.

    Args:
        histories: for each scheduler the ``history_seconds`` of each window.
        lower_bound_seconds: the highest known lower bound of each window; above 0.
        path: path of the PNG.
        references: for each scheduler that builds one schedule the makespan of each window; drawn as level lines.
    """
    bounds = np.asarray(lower_bound_seconds, dtype=np.float64)
    if not bounds.min() > 0:
        raise ValueError(
            f"lower_bound_seconds holds {bounds.min()}; a makespan has no ratio to a bound of 0."
        )
    colours = _colours(histories)
    with figure_style():
        figure = new_figure(8.6, 5.0)
        axes = figure.subplots()
        longest = max(len(history) for runs in histories.values() for history in runs)
        ends: list[tuple[float, str, str]] = []
        for name, runs in histories.items():
            at, above = _excess(runs, bounds, longest)
            low, middle, high = (_drawn(part) for part in (above.min(0), np.median(above, 0), above.max(0)))
            axes.fill_between(at, low, high, color=colours[name], alpha=0.14, linewidth=0, step="post")
            axes.step(at, middle, where="post", color=colours[name])
            ends.append((float(np.median(above[:, -1])), name, colours[name]))
        for name, makespans in (references or {}).items():
            level = float(np.median(_percent_above(np.asarray(makespans), bounds)))
            axes.axhline(float(_drawn(level)), color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            ends.append((level, name, MUTED))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1, max(longest, 2))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("evaluations")
        axes.set_ylabel("makespan above the lower bound")
        windows = f": median of {len(bounds)} windows, band from best to worst" if len(bounds) > 1 else ""
        axes.set_title(f"Convergence{windows}")
        figure.canvas.draw_idle()
        _label_ends(axes, ends)
        return save_figure(figure, path)


def _excess(runs: Sequence[np.ndarray], bounds: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The evaluations that are drawn, and the percentages above the bound there, [num_windows, num_drawn]."""
    at = np.unique(np.geomspace(1, longest, 400).astype(np.int64))
    best = np.stack([history[np.minimum(at, len(history)) - 1] for history in runs])
    return at, _percent_above(best, bounds[:, None])


def _percent_above(makespans: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    above = 100 * (makespans / bounds - 1)
    return np.where(above < ROUNDING_PERCENT, 0.0, above)


def _drawn(above: np.ndarray | float) -> np.ndarray:
    return np.maximum(above, LEAST_PERCENT)


def _colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: some schedulers have a fixed one, the others get the remaining ones."""
    names = list(names)
    known = {name: COLOURS[name] for name in names if name in COLOURS}
    free = [colour for colour in SERIES if colour not in known.values()]
    others = [name for name in names if name not in known]
    return known | {name: free[index % len(free)] for index, name in enumerate(others)}


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Labels each line at its right end; labels of lines that end together are moved apart."""
    low, high = np.log(axes.get_ylim())
    gap = 0.052 * (high - low)
    place = -np.inf
    for level, name, colour in sorted(ends):
        place = max(float(np.log(_drawn(level))), place + gap)
        share = (place - low) / (high - low)
        text = f"{name}  {_small_percent(level)}"
        axes.text(1.012, share, text, color=colour, transform=axes.transAxes, va="center", fontsize=9.5)


def _tick(value: float) -> str:
    if value < 0.999 * LEAST_PERCENT:
        return ""
    return f"\N{LESS-THAN OR EQUAL TO}{value:g}%" if value < 1.001 * LEAST_PERCENT else f"{value:g}%"


def _small_percent(value: float) -> str:
    return f"<{LEAST_PERCENT:g}%" if 0 < value < LEAST_PERCENT else _percent(value)


def _percent(value: float) -> str:
    return f"{value:.2g}%" if value < 10 else f"{value:.0f}%"
