"""Words beside the points of a figure, where there is room."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from cloudedge_pl.reports.style import INK, MUTED

DISTANCES = (7.0, 12.5, 19.0, 28.0)
"""Distances of a label from its point that are tried, in points; the second is outside the ring."""

LINE_FROM = 15.0
"""Labels at this distance or more are connected to their point by a line."""


def close_together(places: np.ndarray, distance: float) -> list[list[int]]:
    """Groups of the places [num_places, 2]: each is within ``distance`` of the first of its group."""
    groups: list[list[int]] = []
    for at, place in enumerate(places):
        for group in groups:
            if math.dist(place, places[group[0]]) < distance:
                group.append(at)
                break
        else:
            groups.append([at])
    return groups


def write_beside(axes: Axes, place: np.ndarray, words: str, taken: list[Bbox], scale: float) -> Bbox | None:
    """Writes words beside a place (in pixels) where there is room; returns their box, or None if there is none."""
    label = axes.annotate(
        words,
        tuple(axes.transData.inverted().transform(place)),
        xytext=(0.0, 0.0),
        textcoords="offset points",
        color=INK,
        fontsize=8,
        fontweight="bold",
        ha="center",
        va="center",
        zorder=6,
    )
    label.set_in_layout(False)
    size = label.get_window_extent()
    half = np.array([size.width, size.height]) / 2 + scale
    page = axes.get_window_extent()
    for distance in DISTANCES:
        for angle in np.arange(8) * math.pi / 4 + math.pi / 2:
            direction = np.array([math.cos(angle), math.sin(angle)])
            centre = place + direction * (distance * scale + half * np.abs(direction.round(6)))
            box = Bbox([centre - half, centre + half])
            inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
            if inside and not box.count_overlaps(taken):
                label.set_position(tuple((centre - place) / scale))
                if distance >= LINE_FROM:
                    _connect(axes, place, box, scale)
                return box
    label.remove()
    return None


def _connect(axes: Axes, place: np.ndarray, box: Bbox, scale: float) -> None:
    """Draws a line from the edge of a label to its place, both in pixels."""
    nearest = np.clip(place, box.min, box.max)
    line = axes.annotate(
        "",
        tuple(axes.transData.inverted().transform(place)),
        xytext=tuple((nearest - place) / scale),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0.0, "shrinkB": 3.0},
        zorder=2.5,
    )
    line.set_in_layout(False)


def square(centre: np.ndarray, side: float) -> Bbox:
    return Bbox([centre - side / 2, centre + side / 2])
