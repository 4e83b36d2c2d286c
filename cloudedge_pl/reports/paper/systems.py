"""The drawing of Table 2: delay and energy of ours on three fleets, and of the systems that it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cloudedge_pl.costs.units import format_bytes, format_joules, format_seconds
from cloudedge_pl.paper.part import PartResult
from cloudedge_pl.reports.paper.series import Row, rows_of
from cloudedge_pl.reports.style import (
    ANSWERED,
    CLOUD,
    EDGE,
    INK,
    LIMIT,
    LINK,
    MUTED,
    STATIC,
    QuantityFormatter,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)

HATCH: Final[dict[str, Any]] = {"hatch": "////", "edgecolor": "white"}
"""Of a system that does not keep up: its delay depends on the number of tasks."""


def save_table2(result: PartResult, path: Path) -> Path:
    """Draws a row for each system, with its delay, energy and data.

    Args:
        result: of the part ``table2``.
        path: of the PNG.
    """
    rows = rows_of(result.tables["systems"])
    with figure_style():
        figure = new_figure(14.4, 1.9 + 0.33 * len(rows))
        delay, energy, data = figure.subplots(1, 3, sharey=True, width_ratios=(1.2, 1.2, 0.8))
        _draw_delay(delay, rows)
        _draw_energy(energy, rows)
        _draw_data(data, rows)
        delay.set_yticks(range(len(rows)), [_label(row) for row in rows])
        delay.set_ylim(len(rows) - 0.4, -0.6)
        for axes in (delay, energy, data):
            axes.xaxis.set_major_locator(MaxNLocator(4 if axes is not data else 2))
            legend = axes.get_legend()
            assert legend is not None
            legend.set_in_layout(False)  # else its width would change that of the panels
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")
        return save_figure(figure, path)


def _label(row: Row) -> str:
    name = row["system"]
    if "cut at" in name or "only" in name:
        return name
    return f"{name}, cut at {row['split_point']}" if row["split_point"] else f"{name}: all in the cloud"


def _colour(row: Row) -> str:
    if row["system"].startswith("ours"):
        return ANSWERED
    if row["split_point"] == 0:
        return CLOUD
    return EDGE if row["upload_bytes"] == 0 and not row["exited_share"] else MUTED


def _draw_delay(axes: Axes, rows: list[Row]) -> None:
    steady = [row for row in rows if row["keeps_up"]] or rows
    limit = 1.32 * max(row["p95_delay_seconds"] for row in steady)
    for at, row in enumerate(rows):
        mean, late = row["delay_seconds"], row["p95_delay_seconds"]
        style = {} if row["keeps_up"] else HATCH
        axes.barh(at, min(mean, limit), 0.66, color=_colour(row), linewidth=0, **style)
        text, right = format_seconds(mean), max(mean, late)
        if row["keeps_up"]:
            spread = [[mean - row["least_delay_seconds"]], [row["most_delay_seconds"] - mean]]
            axes.errorbar(mean, at, xerr=spread, color=INK, linewidth=1.0, capsize=2.5)
            axes.plot(late, at, marker="|", color=LIMIT, markersize=9, markeredgewidth=1.8)
            axes.text(right + 0.025 * limit, at, text, va="center", fontsize=8.5, color=INK)
        else:
            axes.text(
                0.5 * limit, at, f"{text}, does not keep up", va="center", ha="center", fontsize=8.5, color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
    axes.set_xlim(0, limit)
    axes.xaxis.set_major_formatter(QuantityFormatter(format_seconds))
    axes.set_title("Delay of a task (the paper's Table 2)")
    legend_below_title(
        axes,
        Patch(color=MUTED, label="mean"),
        Line2D([], [], color=INK, linewidth=1.0, marker="|", label="range of repetitions"),
        Line2D(
            [], [], color=LIMIT, linestyle="", marker="|", markersize=9, markeredgewidth=1.8, label="95% are faster"
        ),
        columns=2,
    )  # fmt: skip


def _draw_energy(axes: Axes, rows: list[Row]) -> None:
    steady = [row for row in rows if row["keeps_up"]] or rows
    limit = 1.05 * max(max(row["energy_joules"], row["occupied_joules"]) for row in steady)
    for at, row in enumerate(rows):
        active, whole, occupied = (row[f"{name}_joules"] for name in ("active", "energy", "occupied"))
        axes.barh(at, active, 0.66, color=_colour(row), linewidth=0)
        axes.barh(at, whole - active, 0.66, active, color=STATIC, linewidth=0)
        if occupied < limit:
            axes.plot(occupied, at, marker="D", color="white", markeredgecolor=INK, markersize=5)
        right = max(whole, occupied + 0.03 * limit) if occupied < limit else whole
        axes.text(
            right + 0.02 * limit, at, f"{format_joules(active)} of {format_joules(whole)}", va="center",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, 1.4 * limit)
    axes.xaxis.set_major_formatter(QuantityFormatter(format_joules))
    axes.set_title("Energy of a task on nodes and master")
    legend_below_title(
        axes,
        Patch(color=MUTED, label="computing, radio"),
        Patch(color=STATIC, label="idle power"),
        Line2D(
            [], [], linestyle="", marker="D", color="white", markeredgecolor=INK,
            label="idle, for each task on a node",
        ),
        columns=2,
    )  # fmt: skip


def _draw_data(axes: Axes, rows: list[Row]) -> None:
    most = max(row["upload_bytes"] for row in rows)
    for at, row in enumerate(rows):
        axes.barh(at, row["upload_bytes"], 0.66, color=LINK, linewidth=0)
        exited = f", {row['exited_share']:.0%} exit" if row["exited_share"] else ""
        axes.text(
            row["upload_bytes"] + 0.02 * most, at, f"{format_bytes(row['upload_bytes'])}{exited}", va="center",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, 1.85 * most)
    axes.xaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.set_title("Data to the cloud")
    legend_below_title(
        axes,
        Patch(color=LINK, label="mean of an answer"),
        Line2D([], [], linestyle="", label="exit: answered by the exit head"),
        columns=1,
    )
