"""The figure of shards: how many samples of each class every node owns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cloudedge_pl.reports.style import CLOUD, INK, MUTED, SERIES, figure_style, new_figure, save_figure

CLASS_COLOURS = (*SERIES, "#F0E442", MUTED, "#882255", "#D3C8A8", INK, "#A9DDB5")
"""Colours for classes, neighbours far apart in lightness; with more classes a heat map is drawn."""

MAX_BARS = 40
"""With more nodes than this a heat map is drawn."""

MAX_NAMED_CLASSES = 40
LABEL_POINTS = 8.0
CHARACTER_WIDTH = 0.6
"""Width of a character in units of the font size; parts of a bar too narrow for their class's name go unlabelled."""

MIN_TOP_SHARE = 3.0
"""The heat map's scale ends at this many times the overall share of the largest class, or at the highest share if that
is more. Nodes with similar data then look similar."""

SHARES = LinearSegmentedColormap.from_list("shares", ["#F4F6FA", "#CFE3F1", "#6FAFD6", CLOUD, "#003D66"])
"""The colours for the share of a class in a node's samples."""


def save_shards(counts: np.ndarray, class_names: Sequence[str], path: Path) -> Path:
    """Draws a stacked bar for each node, or a heat map if there are too many nodes or classes for bars.

    Args:
        counts: number of samples, int [num_nodes, num_classes].
        class_names: a name for each class.
        path: path of the PNG.

    Raises:
        ValueError: if there is not one name for each class, or no sample.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(class_names) or counts.sum() == 0:
        raise ValueError(
            f"shards: counts of shape {counts.shape} and sum {counts.sum()} with {len(class_names)} class names; "
            "there must be samples, a row for each node and a column for each class."
        )
    num_nodes, num_classes = counts.shape
    with figure_style():
        if num_nodes <= MAX_BARS and num_classes <= len(CLASS_COLOURS):
            figure = _bars(counts, class_names)
        else:
            figure = _heat_map(counts, class_names)
        return save_figure(figure, path)


def finding(counts: np.ndarray) -> str:
    """The figure's finding in one sentence: the range of the nodes' sizes, and how uneven the classes are."""
    sizes = counts.sum(axis=1)
    low, high = int(sizes.min()), int(sizes.max())
    spread = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    owning = sizes > 0
    largest = np.mean(counts.max(axis=1)[owning] / sizes[owning])
    overall = counts.sum(axis=0).max() / counts.sum()
    return (
        f"A node owns {spread} samples, on average {100 * largest:.0f}% in one class "
        f"(overall: {100 * overall:.0f}%)"
    )


def _bars(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    num_nodes = len(counts)
    figure = new_figure(10.0, max(min(1.5 + 0.3 * num_nodes, 10.5), 0.9 + 0.24 * len(class_names)))
    axes = figure.subplots()
    longest = counts.sum(axis=1).max()
    start = np.zeros(num_nodes)
    for column, (name, colour) in enumerate(zip(class_names, CLASS_COLOURS, strict=False)):
        values = counts[:, column]
        axes.barh(
            range(num_nodes),
            values,
            left=start,
            height=0.78,
            color=colour,
            edgecolor="white",
            linewidth=0.6,
            label=name,
        )
        start += values
    axes.set_title(finding(counts))
    axes.set_xlabel("samples")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("node")
    axes.set_yticks(range(num_nodes))
    axes.set_ylim(num_nodes - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.01)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.legend(title="class", loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left")
    figure.draw_without_rendering()  # fixes the width of the axes
    _name_parts(figure, axes, counts, class_names)
    return figure


def _name_parts(figure: Figure, axes: Axes, counts: np.ndarray, class_names: Sequence[str]) -> None:
    """Writes the class's name into every part of a bar that is wide enough."""
    low, high = axes.get_xlim()
    character = LABEL_POINTS * CHARACTER_WIDTH * figure.dpi / 72
    samples_per_character = (high - low) * character / axes.get_window_extent().width
    middles = np.cumsum(counts, axis=1) - counts / 2
    for column, (name, colour) in enumerate(zip(class_names, CLASS_COLOURS, strict=False)):
        ink = "white" if _lightness(colour) < 0.55 else INK
        for row in np.flatnonzero(counts[:, column] > (len(name) + 1) * samples_per_character).tolist():
            axes.text(
                middles[row, column],
                row,
                name,
                color=ink,
                fontsize=LABEL_POINTS,
                ha="center",
                va="center_baseline",
                in_layout=False,
            )


def _heat_map(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draws the nodes from left to right: their sizes above, the shares of the classes below."""
    num_nodes, num_classes = counts.shape
    sizes = counts.sum(axis=1)
    height = float(np.clip(0.28 * num_classes, 1.6, 6.5))
    figure = new_figure(10.0, height + 2.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.3, height])
    upper.set_title(finding(counts))
    upper.bar(range(num_nodes), sizes, width=1.0, color=MUTED, edgecolor="white", linewidth=0.4)
    upper.set_ylabel("samples")
    upper.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    upper.yaxis.set_major_formatter("{x:,.0f}")
    upper.grid(visible=False, axis="x")
    upper.tick_params(axis="x", length=0)

    shares = 100 * counts / np.maximum(sizes, 1)[:, None]
    overall = 100 * counts.sum(axis=0).max() / counts.sum()
    top = max(float(shares.max()), min(MIN_TOP_SHARE * overall, 100.0))
    image = lower.imshow(shares.T, cmap=SHARES, vmin=0, vmax=top, aspect="auto", interpolation="nearest")
    _name_classes(lower, class_names)
    lower.set_xlabel("node")
    lower.set_ylabel("class")
    lower.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    lower.set_xlim(-0.5, num_nodes - 0.5)
    lower.grid(visible=False)
    figure.align_ylabels()
    bar = figure.colorbar(image, ax=[upper, lower], pad=0.015, aspect=30)
    bar.set_label("share of the node's samples")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    bar.outline.set_visible(False)
    return figure


def _name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    every = math.ceil(len(class_names) / MAX_NAMED_CLASSES)
    axes.set_yticks(range(0, len(class_names), every), list(class_names[::every]))
    axes.tick_params(axis="y", length=0)


def _lightness(colour: str) -> float:
    """0 for black, 1 for white; the luma of ITU-R BT.709."""
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))
