"""Drawings of Table 1 and of Figures 5 and 6: positions, memory and delay of the cut network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter

from cloudedge_pl.costs.units import format_bytes, format_seconds
from cloudedge_pl.offloading.table import DELAY_PARTS
from cloudedge_pl.paper.part import PartResult, Table
from cloudedge_pl.reports.paper.series import series_by
from cloudedge_pl.reports.plan_figures import DELAY_COLOURS, DELAY_LABELS
from cloudedge_pl.reports.style import (
    CLOUD,
    EDGE,
    INK,
    LINK,
    MUTED,
    SERIES,
    QuantityFormatter,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)

MARKERS = ("o", "s", "^", "D")
"""Series differ by marker as well as by colour."""

CLOUD_ALONE: dict[str, Any] = {"color": INK, "linewidth": 1.0, "linestyle": (0, (2, 2))}
"""The line at the delay of position 0."""


def save_table1(result: PartResult, path: Path) -> Path:
    """Draws the position over the number of nodes, and over the memory of one node that joins.

    Args:
        result: of the part ``table1``.
        path: of the PNG.
    """
    with figure_style():
        figure = new_figure(12.6, 4.9)
        nodes, joining = figure.subplots(1, 2)
        _draw_nodes(nodes, result.tables["nodes"], result.tables["positions"])
        _draw_joining(joining, result.tables["joining"])
        return save_figure(figure, path)


def _draw_nodes(axes: Axes, curves: Table, marked: Table) -> None:
    marks = series_by(marked, "waiting")
    points: list[tuple[float, float, str]] = []
    for at, (label, curve) in enumerate(series_by(curves, "waiting").items()):
        counts, positions = marks[label]["nodes"], marks[label]["position"]
        colour, marker = SERIES[at % len(SERIES)], MARKERS[at % len(MARKERS)]
        axes.step(curve["nodes"], _drawn(curve["position"]), where="mid", color=colour, linewidth=1.2)
        axes.plot(counts, positions, color=colour, marker=marker, markersize=7, linestyle="none", label=label)
        points += [(x, y, colour) for x, y in zip(counts, positions, strict=True)]
    _label_apart(axes, points, 0.05 * max(curves.columns["position"]))
    axes.set_xlabel("nodes, all alike")
    axes.set_ylabel("offloading position")
    axes.set_ylim(0, None)
    axes.set_xlim(0, max(curves.columns["nodes"]) + 1)
    axes.set_title("Offloading position by number of nodes (the paper's Table 1)")
    legend_below_title(axes)


def _label_apart(axes: Axes, points: Sequence[tuple[float, float, str]], distance: float) -> None:
    """Writes the position beside each point, but for points that are close above one with a number."""
    before = (-np.inf, -np.inf)
    for x, y, colour in sorted(points):
        if x == before[0] and y - before[1] < distance:
            continue
        before = x, y
        axes.annotate(
            f"{y:g}" if y >= 0 else "none", (x, max(y, 0)), xytext=(7, -3), textcoords="offset points",
            fontsize=9, color=colour, fontweight="bold", va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )  # fmt: skip


def _draw_joining(axes: Axes, table: Table) -> None:
    size = np.asarray(table.columns["memory_bytes"])
    names = [name for name in table.columns if name != "memory_bytes"]
    for at, name in enumerate(names):
        axes.step(
            size, _drawn(np.asarray(table.columns[name], dtype=float)), where="post",
            label=name.removeprefix("position_on_").replace("_", " "),
            color=MUTED if at == 0 else SERIES[(at + 2) % len(SERIES)], linestyle="--" if at == 0 else "-",
            linewidth=1.8 + 1.6 * (len(names) - 1 - at if at else 0),  # lines that meet stay visible
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    axes.set_xlim(size.min(), size.max())
    axes.set_ylim(0, None)
    axes.set_xlabel("memory of the node that joins")
    axes.set_ylabel("offloading position")
    axes.set_title("Offloading position if one of the added nodes has less memory")
    legend_below_title(axes)


def _drawn(position: np.ndarray) -> np.ndarray:
    """Positions; a gap where there is none."""
    return np.where(position < 0, np.nan, position)


def save_fig5(result: PartResult, path: Path) -> Path:
    """Draws the memory over the positions, and what the stages of the network hold of it.

    Args:
        result: of the part ``fig5``.
        path: of the PNG.
    """
    with figure_style():
        figure = new_figure(12.6, 4.9)
        memory, stages = figure.subplots(1, 2, width_ratios=(2.6, 1))
        _draw_memory(memory, result.tables["memory"])
        _draw_stages(stages, result.tables["stages"])
        return save_figure(figure, path)


def _draw_memory(axes: Axes, table: Table) -> None:
    columns = {name: np.asarray(values) for name, values in table.columns.items()}
    points, weights = columns["position"], columns["weights_bytes"]
    axes.bar(points, weights, 0.86, color=CLOUD, linewidth=0, label="weights")
    axes.bar(
        points, columns["feature_maps_bytes"], 0.86, weights, color=LINK, linewidth=0,
        label="all feature maps (both: the paper)",
    )  # fmt: skip
    axes.plot(points, columns["inference_bytes"], color=INK, marker=".", label="in inference")
    axes.plot(points, columns["training_bytes"], color=EDGE, marker=".", linestyle="--", label="in training")
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.set_ylabel("memory on a node")
    axes.set_ylim(0, 1.12 * columns["training_bytes"].max())
    _finish(axes, table.columns, "Memory of the edge part by position (the paper's Figure 5)")


def _draw_stages(axes: Axes, table: Table) -> None:
    names = list(table.columns["stage"])
    rows = np.arange(len(names))
    for offset, (column, label, colour) in enumerate(
        (("weights_share", "weights", CLOUD), ("feature_maps_share", "feature maps", LINK))
    ):
        shares = 100 * np.asarray(table.columns[column])
        bars = axes.barh(rows + 0.4 * offset - 0.2, shares, 0.38, color=colour, linewidth=0, label=label)
        axes.bar_label(
            bars,
            [f"{share:.2g}%" if share >= 0.1 else "<0.1%" for share in shares],
            padding=3,
            fontsize=8.5,
            color=INK,
        )
    axes.set_yticks(rows, ["fully connected" if name in ("fc", "classifier") else name for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.xaxis.set_major_locator(MultipleLocator(25))
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the whole network")
    axes.set_title("What each stage holds")
    legend_below_title(axes)


def save_fig6(result: PartResult, path: Path) -> Path:
    """Draws the delay over the positions, stacked by part, for every fleet of the result.

    Args:
        result: of the part ``fig6``.
        path: of the PNG.
    """
    fleets = series_by(result.tables["delay"], "fleet")
    with figure_style():
        figure = new_figure(12.6, 5.2)
        figure.suptitle(
            "Delay of a task by position (the paper's Figure 6); at position 0 the cloud gets the picture",
            x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK,
        )  # fmt: skip
        panels = figure.subplots(1, len(fleets), squeeze=False)[0]
        for axes, (fleet, columns) in zip(panels, fleets.items(), strict=True):
            _draw_delay(axes, columns, fleet)
        return save_figure(figure, path)


def _draw_delay(axes: Axes, columns: Mapping[str, np.ndarray], title: str) -> None:
    points = np.asarray(columns["position"])
    total = np.asarray(columns["delay_seconds"], dtype=float)
    bottom = np.zeros(len(points))
    for part in DELAY_PARTS:
        height = np.where(np.isfinite(total), np.asarray(columns[f"{part}_seconds"], dtype=float), 0.0)
        axes.bar(
            points, height, 0.86, bottom, color=DELAY_COLOURS[part], linewidth=0, label=DELAY_LABELS[part]
        )
        bottom += height
    axes.axhline(total[0], **CLOUD_ALONE)
    axes.yaxis.set_major_formatter(QuantityFormatter(format_seconds))
    axes.set_ylabel("delay of a task")
    axes.set_ylim(0, 1.12 * bottom.max())
    _finish(axes, columns, title, Line2D([], [], label="cloud alone", **CLOUD_ALONE))


def _finish(axes: Axes, columns: Mapping[str, Any], title: str, *more: Line2D) -> None:
    """Adds the title, the axis of positions, and the network's stages along the top."""
    last = int(max(columns["position"]))
    axes.set_title(title)
    axes.set_xlabel("offloading position (weighted layers at the edge)")
    axes.set_xlim(-0.7, last + 0.7)
    axes.xaxis.set_major_locator(MultipleLocator(4) if last <= 40 else MaxNLocator(10, integer=True))
    axes.grid(visible=False, axis="x")
    at = 1
    for name, members in groupby(columns["stage"][1:]):
        size = len(list(members))
        if at > 1:
            axes.axvline(at - 0.5, color=MUTED, linewidth=0.8, linestyle=":", zorder=0)
        if size > 1:
            axes.text(
                at + (size - 1) / 2, 0.985, name, ha="center", va="top", fontsize=8.5, color=MUTED,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        at += size
    legend_below_title(axes, *more)
