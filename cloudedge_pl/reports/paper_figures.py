"""Figures 5 and 6 and the trend of Table 1 of Xu 2020, from this project's formulas.

The paper's published text lacks the values, so its claims are compared, not its numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.memory import edge_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.units import format_bytes, format_seconds
from cloudedge_pl.fleet import Fleet, Link, Workload
from cloudedge_pl.offloading import Sweep, cost_table, sweep
from cloudedge_pl.offloading.table import DELAY_PARTS
from cloudedge_pl.reports.plan_figures import DELAY_COLOURS, DELAY_LABELS
from cloudedge_pl.reports.style import (
    CLOUD,
    EDGE,
    INK,
    LINK,
    MUTED,
    QuantityFormatter,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)

NUM_NODES = (10, 20, 30)
WORKLOAD = Workload(arrival_rate=40.0, max_delay_seconds=1.0, phase="inference")
FORMULAS = CostFormulas(waiting="mm1")
UNCHANGED = CodecConfig("none")


def paper_fleet(num_nodes: int = 10, device: str = "raspberry-pi-4", bandwidth: float = 20e6) -> Fleet:
    """Like nodes, as in the paper, with a T4 as the cloud and a steady link.

    The paper gives no figures of its devices; these presets take their place.

    Args:
        num_nodes: 10, 20 and 30 in the paper.
        device: name of a preset.
        bandwidth: bandwidth of the link in bit/s.
    """
    link = Link(
        bandwidth_bits_per_second=bandwidth,
        propagation_seconds=0.02,
        variation=0.0,
        uplink_bits_per_second=(40e6, 55e6, 70e6),
    )
    return Fleet.preset(
        device, num_nodes, link=link, speed_spread=0.0, memory_bytes=None, max_energy_joules=math.inf
    )


def offloading_positions(profile: CostProfile, workload: Workload = WORKLOAD) -> Sweep:
    """Where TMOA cuts a network on 10, 20 and 30 nodes: the question of the paper's Table 1."""
    return sweep(profile, paper_fleet(), workload, "num_nodes", NUM_NODES, formulas=FORMULAS, codec=UNCHANGED)


def save_paper_figures(profile: CostProfile, folder: Path) -> list[Path]:
    """Draws memory and delay over the split points, as in the paper's Figures 5 and 6.

    Args:
        profile: the profile of any network; the paper's is ResNet-34 at 3x224x224.
        folder: the folder for the figures; it is made if necessary.
    """
    with figure_style():
        return [
            _memory(profile, folder / "figure5_memory.png"),
            _delay(profile, folder / "figure6_delay.png"),
        ]


def _memory(profile: CostProfile, path: Path) -> Path:
    figure = new_figure(9.6, 4.8)
    axes = figure.subplots()
    points = np.arange(profile.num_segments + 1)
    weights = profile.cut_bytes[0] / profile.input_elements * profile.cumulative("segment_weights")
    maps = profile.cumulative("segment_map_bytes")
    axes.bar(points, weights, 0.86, color=CLOUD, linewidth=0, label="weights")
    axes.bar(
        points, maps, 0.86, weights, color=LINK, linewidth=0, label="all feature maps (together: the paper)"
    )
    training = edge_memory_bytes(profile, Workload(phase="training", optimizer_slots=1))
    axes.plot(
        points,
        edge_memory_bytes(profile, Workload(phase="inference")),
        color=INK,
        marker=".",
        label="inference",
    )
    axes.plot(points, training, color=EDGE, marker=".", linestyle="--", label="training, SGD")
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))
    axes.set_ylabel("memory on a node")
    axes.set_ylim(0, 1.12 * training.max())
    _finish(axes, profile, f"Memory of the edge part of {profile.model} (the paper's Figure 5)")
    return save_figure(figure, path)


def _delay(profile: CostProfile, path: Path) -> Path:
    figure = new_figure(12.6, 5.2)
    figure.suptitle(
        f"Delay of a task of {profile.model} (the paper's Figure 6), on two fleets",
        x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK,
    )  # fmt: skip
    panels = figure.subplots(1, 2)
    settings: Sequence[tuple[str, str, float]] = (
        ("Jetson Nano, a link of 5 Mbit/s", "jetson-nano", 5e6),
        ("Raspberry Pi 4, a link of 50 Mbit/s", "raspberry-pi-4", 50e6),
    )
    for axes, (title, device, bandwidth) in zip(panels, settings, strict=True):
        fleet = paper_fleet(device=device, bandwidth=bandwidth)
        table = cost_table(profile, fleet, replace(WORKLOAD, arrival_rate=10.0), FORMULAS, UNCHANGED)
        bottom = np.zeros(table.num_points)
        for part in DELAY_PARTS:
            height = np.where(np.isfinite(table.delay_seconds), table.delay_parts[part], 0.0)
            axes.bar(
                np.arange(table.num_points), height, 0.86, bottom, color=DELAY_COLOURS[part], linewidth=0,
                label=DELAY_LABELS[part],
            )  # fmt: skip
            bottom += height
        axes.yaxis.set_major_formatter(QuantityFormatter(format_seconds))
        axes.set_ylabel("delay of a task")
        axes.set_ylim(0, 1.12 * bottom.max())
        _finish(axes, profile, f"10 {title}")
    return save_figure(figure, path)


def _finish(axes: Axes, profile: CostProfile, title: str) -> None:
    """Adds the title, the axis of split points, and the network's stages along the top."""
    axes.set_title(title)
    axes.set_xlabel("split point (weighted layers at the edge)")
    axes.set_xlim(-0.7, profile.num_segments + 0.7)
    axes.xaxis.set_major_locator(MultipleLocator(4 if profile.num_segments <= 40 else 10))
    axes.grid(visible=False, axis="x")
    for name, first, last in stages(profile.names):
        if first > 1:
            axes.axvline(first - 0.5, color=MUTED, linewidth=0.8, linestyle=":", zorder=0)
        if last > first:
            axes.text(
                (first + last) / 2, 0.985, name, ha="center", va="top", fontsize=8.5, color=MUTED,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    legend_below_title(axes)


def stages(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """The stages of a network: name, first and last split point; "layer1.0.conv1" belongs to "layer1"."""
    found: list[tuple[str, int, int]] = []
    for point, name in enumerate(names):
        if point == 0:
            continue
        stage = re.split(r"\.", name)[0]
        if found and found[-1][0] == stage:
            found[-1] = (stage, found[-1][1], point)
        else:
            found.append((stage, point, point))
    return found
