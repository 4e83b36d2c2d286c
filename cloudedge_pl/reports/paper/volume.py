"""The drawing of Figure 8: data that a task sends to the cloud, by scheme and by split point."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MultipleLocator, NullFormatter

from cloudedge_pl.costs.units import format_bytes
from cloudedge_pl.paper.part import PartResult
from cloudedge_pl.paper.volume import ASLEEP, AWAKE, CLOUD_ONLY, PAPER_RULE
from cloudedge_pl.reports.paper.series import Row, rows_of
from cloudedge_pl.reports.style import (
    ANSWERED,
    CLOUD,
    EXIT,
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

SCHEMES: Final = {CLOUD_ONLY: CLOUD, AWAKE: ANSWERED, ASLEEP: EXIT, PAPER_RULE: SERIES[4]}
"""Schemes by colour."""

LABELS: Final = {
    CLOUD_ONLY: "cloud only",
    AWAKE: "cut",
    ASLEEP: "cut, dormancy by hysteresis",
    PAPER_RULE: "cut, dormancy by the paper's rule",
}
MARKERS: Final = ("o", "s", "^", "D")


def save_fig8(result: PartResult, path: Path) -> Path:
    """Draws the bytes of every scheme and form at the planned cut, and those of every split point.

    Args:
        result: of the part ``fig8``.
        path: of the PNG.
    """
    schemes, cuts = (rows_of(result.tables[name]) for name in ("schemes", "cuts"))
    sizes = sorted({row["image_size"] for row in schemes})
    with figure_style():
        figure = new_figure(13.6, 4.9 * len(sizes))
        panels = figure.subplots(len(sizes), 2, squeeze=False, width_ratios=(1.35, 1))
        for size, (bars, lines) in zip(sizes, panels, strict=True):
            mine = [row for row in schemes if row["image_size"] == size]
            _draw_schemes(bars, mine, size)
            _draw_cuts(lines, [row for row in cuts if row["image_size"] == size], mine, size)
        return save_figure(figure, path)


def _draw_schemes(axes: Axes, rows: list[Row], size: int) -> None:
    """A group of bars for each form, with their bytes."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["cut"] != "last" or row["form"] == "float32":
            groups.setdefault((row["form"], row["cut"]), []).append(row)
    tallest = max(row["most_upload_bytes"] for row in rows)
    for at, group in enumerate(groups.values()):
        width = 0.84 / max(len(group), 2)
        for number, row in enumerate(group):
            x = at + (number - (len(group) - 1) / 2) * width
            sent = row["upload_bytes"]
            spread = [[sent - row["least_upload_bytes"]], [row["most_upload_bytes"] - sent]]
            axes.bar(x, sent, width * 0.92, color=SCHEMES[row["scheme"]], linewidth=0)
            if spread != [[0.0], [0.0]]:
                axes.errorbar(x, sent, spread, color=INK, linewidth=0.9, capsize=2)
            top = max(row["most_upload_bytes"], sent) + 0.012 * tallest
            axes.text(
                x, top + 0.008 * tallest, format_bytes(sent), ha="center", va="bottom", fontsize=7.5, rotation=90,
                color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
            )  # fmt: skip
    picture = rows[0]["upload_bytes"]
    axes.axhline(picture, color=CLOUD, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xticks(range(len(groups)), [_group_label(each[0]) for each in groups.values()])
    axes.tick_params(axis="x", length=0, labelsize=8.5)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.2 * tallest)
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.set_ylabel("data to the cloud for a task")
    axes.set_title(f"Pictures of {size} pixels, by scheme (the paper's Figure 8)")
    shown = [name for name in SCHEMES if any(row["scheme"] == name for row in rows)]
    handles = [Patch(color=SCHEMES[name], label=LABELS[name]) for name in shown]
    legend_below_title(axes, *handles, columns=2)


def _group_label(row: Row) -> str:
    form = {"raw": "8-bit\npicture"}.get(row["form"], row["form"].replace(" of quality ", "\nof quality "))
    return form if row["scheme"] == CLOUD_ONLY else f"{form}\ncut at {row['split_point']}"


def _draw_cuts(axes: Axes, rows: list[Row], schemes: list[Row], size: int) -> None:
    """A line over the split points for each form, and the pictures as horizontal lines."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {(row["form"], row["scheme"]): [] for row in rows}
    for row in rows:
        lines[row["form"], row["scheme"]].append((row["split_point"], row["upload_bytes"]))
    awake = [form for form, scheme in lines if scheme == AWAKE]
    for (form, scheme), points in lines.items():
        x, y = np.array(points).T
        if scheme == AWAKE:
            at = awake.index(form)
            colour, marker = (ANSWERED, LINK, MUTED, INK)[at % 4], MARKERS[at % 4]
            style, label = ("none" if form == "bottleneck" else "-"), form
        elif scheme == PAPER_RULE:
            colour, marker, style, label = SCHEMES[scheme], ".", "--", f"{form}, the paper's dormancy"
        else:
            continue  # hardly to be told from the line without dormancy; its numbers are in the table
        axes.plot(
            x, y, color=colour, marker=marker, markersize=4.5, linewidth=1.3, linestyle=style, label=label,
            fillstyle="none" if form == "bottleneck" else "full",
        )  # fmt: skip
    last = max(row["split_point"] for row in rows)
    for row in schemes:
        if row["scheme"] == CLOUD_ONLY:
            axes.axhline(row["upload_bytes"], color=CLOUD, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.text(
                1, row["upload_bytes"], row["form"].replace("raw", "8-bit picture"), ha="left", va="bottom",
                fontsize=8.5, color=CLOUD,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
            )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MultipleLocator(4))
    axes.set_xlim(0, last + 1)
    axes.set_xlabel("split point (weighted layers at the edge)")
    axes.set_title(f"Pictures of {size} pixels, by split point and form")
    legend_below_title(axes, columns=3)
