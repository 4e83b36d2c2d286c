"""Panels with a row for each machine, or for many machines a row of dots for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from cloudedge_pl.reports.style import INK

MAX_NAMED_NODES = 40
"""More machines than this are drawn as dots, in one row for each kind."""


def rows_by_kind(devices: Sequence[str]) -> dict[str, np.ndarray]:
    """The indices of each kind's nodes, by the kind's name and their number; of all nodes for too many kinds."""
    members = {
        kind: np.array([at for at, device in enumerate(devices) if device == kind]) for kind in devices
    }
    if len(members) > MAX_NAMED_NODES:
        others = np.array([at for at, device in enumerate(devices) if device != "master"])
        members = {"node": others} | {kind: at for kind, at in members.items() if kind == "master"}
    return {f"{kind} ({len(at):,})" if kind != "master" else kind: at for kind, at in members.items()}


def draw_bars(
    axes: Axes, rows: Mapping[str, np.ndarray], values: np.ndarray, colours: Sequence[str], digits: int
) -> None:
    """Draws a bar with its value for each row, which holds one machine.

    Args:
        axes: the panel, whose rows count from 0.
        rows: a row's name to the indices of its machines.
        values: by machine.
        colours: by machine.
        digits: of the values; 0 writes whole numbers.
    """
    bars = axes.barh(range(len(rows)), values, height=0.72, color=colours)
    axes.bar_label(bars, [bar_text(value, digits) for value in values], padding=3, fontsize=8.5, color=INK)
    axes.margins(x=0.14)


def draw_dots(
    axes: Axes, rows: Mapping[str, np.ndarray], values: np.ndarray, colours: Sequence[str], digits: int
) -> None:
    """Draws a dot for each machine, spread over the height of its row in their order, and the row's mean.

    The arguments are those of :func:`draw_bars`.
    """
    for row, at in enumerate(rows.values()):
        several = len(at) > 1
        spread = row + (np.linspace(-0.3, 0.3, len(at)) if several else np.zeros(1))
        axes.scatter(
            values[at],
            spread,
            s=14 if several else 40,
            color=[colours[machine] for machine in at],
            alpha=0.5 if several else 1.0,
            linewidths=0,
            clip_on=False,
            zorder=3,
        )
        mean = float(np.nanmean(values[at]))
        if several:
            axes.plot([mean, mean], [row - 0.4, row + 0.4], color=INK, linewidth=1.4, zorder=4)
        axes.annotate(
            f"mean {bar_text(mean, 3)}" if several else bar_text(mean, 3),
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=8.5,
            va="center",
        )


def bar_text(value: float, digits: int) -> str:
    """Writes a value: a whole number if ``digits`` is 0, else with so many digits."""
    if digits and 0 < value < 0.001:
        return "<0.001"
    return f"{value:,.0f}" if digits == 0 or value >= 100 else f"{value:.{digits}g}"
