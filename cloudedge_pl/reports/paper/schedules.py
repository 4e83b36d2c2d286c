"""The drawing of Figure 7: execution time by number of tasks, convergence, and where ATSA gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.paper.part import PartResult, Table
from cloudedge_pl.reports.paper.series import series_by
from cloudedge_pl.reports.schedule_figures import COLOURS as KNOWN
from cloudedge_pl.reports.style import (
    INK,
    LINK,
    MUTED,
    QuantityFormatter,
    figure_style,
    new_figure,
    save_figure,
)

COLOURS = {**KNOWN, "fcfs": "#CC79A7", "min_completion": LINK, "lower bound": INK}

MARKERS = {"fcfs": "s", "min_completion": "v", "aco": "^", "pso": "D", "atsa": "o", "atsa_paper": "X"}
"""Schedulers differ by marker as well as by colour."""

LEAST_SHARE = 1e-4
"""Smaller shares above the bound are drawn here, because a logarithmic scale has no zero."""


def save_fig7(result: PartResult, path: Path) -> Path:
    """Draws execution times by number of tasks, how far they are above the bound, convergence, and ATSA's gain.

    Args:
        result: of the part ``fig7``.
        path: of the PNG.
    """
    tables = result.tables
    with figure_style():
        figure = new_figure(12.6, 9.8)
        (times, above), (convergence, gain) = figure.subplots(2, 2)
        _draw_times(times, tables["times"])
        _draw_above(above, tables["times"])
        _draw_convergence(convergence, tables["convergence"])
        _draw_gain(gain, tables["trials"])
        handles, labels = times.get_legend_handles_labels()
        labels = ["atsa_paper (formulas as printed)" if label == "atsa_paper" else label for label in labels]
        figure.legend(
            handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.6, handlelength=1.8
        )
        return save_figure(figure, path)


def _draw_times(axes: Axes, table: Table) -> None:
    for name, columns in series_by(table, "scheduler").items():
        _line(axes, name, columns, "tasks", ("time_low_seconds", "time_seconds", "time_high_seconds"))
    axes.set_title("Execution time of a window (the paper's Figure 7)")
    axes.set_xlabel("tasks in the window")
    axes.set_ylabel("execution time")
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    axes.yaxis.set_major_formatter(QuantityFormatter(format_seconds))


def _draw_above(axes: Axes, table: Table) -> None:
    for name, columns in series_by(table, "scheduler").items():
        if name != "lower bound":
            _line(
                axes, name, columns, "tasks",
                ("above_bound_low_share", "above_bound_share", "above_bound_high_share"), least=LEAST_SHARE,
            )  # fmt: skip
    axes.set_title("The same, as excess over the lower bound")
    axes.set_xlabel("tasks in the window")
    axes.set_ylabel("above the lower bound")
    axes.set_xlim(0, None)
    _percent_scale(axes)


def _draw_convergence(axes: Axes, table: Table) -> None:
    for name, columns in series_by(table, "scheduler").items():
        _line(
            axes, name, columns, "schedules",
            ("above_bound_low_share", "above_bound_share", "above_bound_high_share"), least=LEAST_SHARE,
            marker=False,
        )  # fmt: skip
    axes.set_title("Convergence of the searches, largest windows")
    axes.set_xlabel("schedules built")
    axes.set_ylabel("above the lower bound")
    axes.set_xscale("log")
    axes.set_xlim(1, None)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _percent_scale(axes)


def _draw_gain(axes: Axes, table: Table) -> None:
    """ATSA's time over that of FCFS, along each axis that is a ratio."""
    columns = table.columns
    for axis, colour, marker in (("ratio of node speeds", INK, "o"), ("ratio of task sizes", MUTED, "s")):
        points = {
            value: ratio
            for rival, scheduler, along, value, ratio in zip(
                *(columns[name] for name in ("rival", "scheduler", "axis", "value", "ratio")), strict=True
            )
            if (rival, scheduler, along) == ("fcfs", "atsa", axis)
        }
        values = sorted(points)
        axes.plot(
            values, [points[value] for value in values], color=colour, marker=marker, markersize=4, label=axis,
        )  # fmt: skip
    axes.axhline(1.0, color=COLOURS["fcfs"], linewidth=1.2)
    axes.text(
        0.99,
        1.0,
        "fcfs",
        color=COLOURS["fcfs"],
        va="bottom",
        ha="right",
        fontsize=9,
        transform=axes.get_yaxis_transform(),
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
    axes.set_ylim(None, 1.02)
    axes.set_xlabel("largest over smallest: speed of a node, work of a task")
    axes.set_ylabel("time of atsa over that of fcfs")
    axes.set_title("What ATSA gains, largest windows")
    axes.legend(loc="lower left")


def _line(
    axes: Axes, name: str, columns: Mapping[str, np.ndarray], at: str, band: Sequence[str], *, least: float = 0.0,
    marker: bool = True,
) -> None:  # fmt: skip
    """A median with its band; the lower bound without."""
    low, middle, high = (np.maximum(columns[column].astype(float), least) for column in band)
    x, colour = columns[at].astype(float), COLOURS[name]
    bound = name == "lower bound"
    if not bound:
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.plot(
        x, middle, color=colour, label=name, marker=MARKERS[name] if marker and not bound else None,
        linestyle=(0, (2, 2)) if bound else "-", linewidth=1.2 if bound else 1.8, zorder=4 if bound else 2,
    )  # fmt: skip


def _percent_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylim(0.8 * LEAST_SHARE, None)
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _percent(share: float, _: Any) -> str:
    text = f"{100 * share:g}%"
    return f"\N{LESS-THAN OR EQUAL TO}{text}" if share < 1.001 * LEAST_SHARE else text
