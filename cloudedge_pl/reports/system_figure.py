"""The figure of ``cloudedge compare``: delay against energy, and against accuracy if it is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from cloudedge_pl.costs.units import format_joules, format_seconds
from cloudedge_pl.reports.labels import close_together, square, write_beside
from cloudedge_pl.reports.pareto_figure import logarithmic_ticks, runs
from cloudedge_pl.reports.style import (
    ANSWERED,
    CLOUD,
    EDGE,
    INK,
    MUTED,
    QuantityFormatter,
    figure_style,
    new_figure,
    save_figure,
)
from cloudedge_pl.systems import SystemResult

MARKER: Final = 8.0
"""Diameter of a system's point, in points of 1/72 inch."""

TOGETHER: Final = 6.0
"""Systems whose points are closer than this share one label."""


def save_system_figure(results: Sequence[SystemResult], path: Path) -> Path:
    """Draws every system with the number of its row in the table.

    Args:
        results: in the order of the table; those without an answer are left out.
        path: of the PNG; its folder is made if necessary.

    Returns:
        The path.
    """
    numbers = [number for number, result in enumerate(results) if result.p95_delay_seconds is not None]
    with_accuracy = all(results[number].accuracy is not None for number in numbers)
    with figure_style():
        figure = new_figure(12.5 if with_accuracy else 8.5, 5.2)
        panels = figure.subplots(1, 2 if with_accuracy else 1, squeeze=False)[0]
        delays = np.array([results[number].p95_delay_seconds for number in numbers], dtype=np.float64)
        joules = np.array([results[number].mean_active_joules for number in numbers], dtype=np.float64)
        colours = [_colour(results[number]) for number in numbers]
        _draw(panels[0], delays, joules, colours)
        panels[0].set_ylabel("energy of an answer beyond idle power")
        panels[0].yaxis.set_major_formatter(QuantityFormatter(format_joules))
        values = {panels[0]: joules}
        if with_accuracy:
            accuracy = np.array([results[number].accuracy for number in numbers], dtype=np.float64)
            _draw(panels[1], delays, accuracy, colours)
            panels[1].set_ylabel("accuracy")
            panels[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
            values[panels[1]] = accuracy
        figure.suptitle(
            "Systems on the same tasks", x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK
        )
        handles = [
            Line2D(
                [], [], linestyle="", marker="o", color=colour, label=f"{number + 1}  {results[number].title}"
            )
            for number, colour in zip(numbers, colours, strict=True)
        ]
        figure.legend(handles=handles, loc="outside right center", labelspacing=0.7)
        figure.draw_without_rendering()  # settles the axes, on which it depends where labels have room
        for axes, heights in values.items():
            _number(axes, delays, heights, numbers)
        return save_figure(figure, path)


def _colour(result: SystemResult) -> str:
    """By who answers: ours, the cloud alone, the edge alone, or another system with a cut."""
    if result.title.startswith("ours"):
        return ANSWERED
    if result.split_point == 0:
        return CLOUD
    return MUTED if result.mean_upload_bytes or result.exited_share else EDGE


def _draw(axes: Axes, delays: np.ndarray, values: np.ndarray, colours: Sequence[str]) -> None:
    for delay, value, colour in zip(delays, values, colours, strict=True):
        front = 4 if colour == ANSWERED else 3  # ours is seen where another is in the same place
        axes.scatter(delay, value, s=MARKER**2, color=colour, edgecolors="white", zorder=front)
    axes.set_xlabel("delay that 95% of the answers keep")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(logarithmic_ticks(delays))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(QuantityFormatter(format_seconds))
    axes.margins(0.12)


def _number(axes: Axes, delays: np.ndarray, values: np.ndarray, numbers: Sequence[int]) -> None:
    """Writes the numbers of the rows beside their points; points that nearly coincide share a label."""
    figure = axes.get_figure()
    assert figure is not None
    scale = figure.dpi / 72  # pixels of a point
    places = axes.transData.transform(np.stack([delays, values], axis=1))
    taken = [square(place, MARKER * scale) for place in places]
    for group in close_together(places, TOGETHER * scale):
        words = runs([numbers[each] + 1 for each in group])
        box = write_beside(axes, places[group].mean(axis=0), words, taken, scale)
        if box is not None:
            taken.append(box)
