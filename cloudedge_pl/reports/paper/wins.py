"""The drawing of the map: which choice wins over link rate, load and nodes, a cut or the whole network somewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from cloudedge_pl.paper.choices import (
    EDGE,
    FLOAT32,
    INT8,
    JPEG,
    NOBODY,
    PANELS,
    PLANNED,
    RAW,
    Cell,
    Choice,
    Panel,
    Winner,
    cells_of,
    winner,
)
from cloudedge_pl.paper.part import PartResult
from cloudedge_pl.reports import style
from cloudedge_pl.reports.style import INK, MUTED, figure_style, new_figure, save_figure

COLOURS: Final = {
    PLANNED: "#00543E",
    FLOAT32: style.ANSWERED,
    INT8: "#8FD3BE",
    RAW: style.CLOUD,
    JPEG: style.LINK,
    EDGE: style.EDGE,
    NOBODY: "white",
}
"""Choices by colour, in the order of the legend."""

LABELS: Final = {
    PLANNED: "the planned cut (the number: where)",
    FLOAT32: "the best cut, even in float32",
    INT8: "the best cut, but only in int8",
    RAW: "8-bit pictures to the cloud",
    JPEG: "JPEG to the cloud",
    EDGE: "the whole network at the edge",
    NOBODY: "nobody keeps up with the load",
}

TITLES: Final = (
    "Least delay, as the paper compares: the planned cut, or raw pictures",
    "Least delay without JPEG: any cut, raw pictures, or the edge alone",
    "Least delay without JPEG on nodes of 12 MB, too little for the whole network",
    "Least delay with JPEG: any cut, JPEG, or the edge alone",
    "Least energy of nodes and master beyond idle power: any cut, JPEG, or the edge alone",
    "Least data to the cloud: any cut, JPEG, or the edge alone",
)
"""Of the rows, in the order of their questions."""

LATE_SECONDS: Final = 1.0
"""A winner whose tasks take longer on average is marked."""


def save_map(result: PartResult, path: Path) -> Path:
    """Draws a row of maps for each question, and in it one for each number of nodes.

    Args:
        result: of the part ``map``.
        path: of the PNG.
    """
    cells = cells_of(result.tables["cells"])
    counts = sorted({cell[0] for cell in cells})
    with figure_style():
        figure = new_figure(13.6, 1.4 + 3.15 * len(PANELS))
        rows = figure.subfigures(len(PANELS), 1, squeeze=False)[:, 0]
        figure.legend(handles=_legend(), loc="outside upper left", ncols=4, fontsize=9.5)
        for title, panel, row in zip(TITLES, PANELS, rows, strict=True):
            row.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold", color=INK)
            panels = row.subplots(1, len(counts), sharey=True, squeeze=False)[0]
            for axes, nodes in zip(panels, counts, strict=True):
                mine = {cell: choices for cell, choices in cells.items() if cell[0] == nodes}
                _draw(axes, mine, panel)
                if panel is PANELS[-1]:
                    axes.set_xlabel("link rate in Mbit/s")
                axes.text(
                    1.0, 1.02, f"{nodes} nodes", ha="right", va="bottom", fontsize=9.5, color=INK,
                    transform=axes.transAxes,
                )  # fmt: skip
            panels[0].set_ylabel("load in tasks/s")
        return save_figure(figure, path)


def _draw(axes: Axes, cells: Mapping[Cell, Sequence[Choice]], panel: Panel) -> None:
    """The winner of each cell as its colour, the best cut as a number, and marks."""
    rates, loads = (sorted({cell[at] for cell in cells}) for at in (1, 2))
    names = list(COLOURS)
    grid = np.zeros((len(loads), len(rates)))
    for cell, choices in cells.items():
        won, x, y = winner(choices, panel), rates.index(cell[1]), loads.index(cell[2])
        grid[y, x] = names.index(won.name)
        _mark(axes, x, y, won, panel)
    x_edges, y_edges = (np.arange(len(values) + 1) - 0.5 for values in (rates, loads))
    colours = ListedColormap(list(COLOURS.values()))
    norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
    axes.pcolormesh(x_edges, y_edges, grid, cmap=colours, norm=norm, edgecolors="white", linewidth=1.0)
    axes.set_xticks(range(len(rates)), [f"{rate / 1e6:g}" for rate in rates])
    axes.set_yticks(range(len(loads)), [f"{load:g}" for load in loads])
    axes.tick_params(length=0)
    axes.grid(visible=False)


def _mark(axes: Axes, x: int, y: int, won: Winner, panel: Panel) -> None:
    """Hatches a cell without a winner; writes the place of a cut, and marks a late winner."""
    if won.name == NOBODY:
        corner = (x - 0.5, y - 0.5)
        axes.add_patch(
            Rectangle(
                corner, 1, 1, facecolor="none", edgecolor=style.STATIC, hatch="////", linewidth=0, zorder=3
            )
        )
        return
    late = panel.measure == "delay" and won.delay_seconds > LATE_SECONDS
    colour = INK if won.name == INT8 else "white"
    if won.name in panel.cuts:
        text = f"{won.split_point} \N{MULTIPLICATION SIGN}" if late else str(won.split_point)
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour, zorder=4)
    elif late:
        axes.plot(x, y, marker="x", color=colour, markersize=6, markeredgewidth=1.4, zorder=4)


def _legend() -> list[Patch | Line2D]:
    hatched: dict[str, Any] = {"edgecolor": style.STATIC, "hatch": "////"}
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, label=LABELS[name], **(hatched if name == NOBODY else {}))
        for name, colour in COLOURS.items()
    ]
    late = f"the winner takes more than {LATE_SECONDS:g} s"
    handles.append(Line2D([], [], linestyle="", marker="x", color=MUTED, label=late))
    return handles
