"""The table and the figure of ``cloudedge validate``: what was measured, and what the simulator gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cloudedge_pl.reports.simulation_parts import time_text
from cloudedge_pl.reports.style import (
    EDGE,
    STATIC,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
    seconds_scale,
)
from cloudedge_pl.reports.wording import bytes_text
from cloudedge_pl.validation.outcomes import MEDIAN_AIM, P95_AIM, Comparison

COLUMNS: Final = (
    "\ncondition",
    "requests\n(per s)",
    "no\nanswer",
    "median\nmeasured",
    "\nsimulated",
    "\noff by",
    "95%\nmeasured",
    "\nsimulated",
    "\noff by",
    "bytes each\nmeasured",
    "\nsimulated",
    "asleep\nmeasured",
    "\nsimulated",
)


def validation_table(comparisons: Sequence[Comparison]) -> Table:
    """A row for each condition; deviations beyond the aims are red.

    Args:
        comparisons: in the order of the rows.
    """
    table = Table(
        title="Servers and simulator on the same requests",
        box=SIMPLE_HEAD,
        caption=f"Aims: {MEDIAN_AIM:.0%} of the median, {P95_AIM:.0%} of the 95% percentile.",
        title_justify="left",
        caption_justify="left",
        padding=(0, 0),
        pad_edge=False,
    )
    for at, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if at == 0 else "right", no_wrap=at == 0)
    for each in comparisons:
        real, simulated = each.real, each.simulated
        table.add_row(
            each.condition,
            f"{real.requests:,} ({each.arrival_rate:.1f})",
            f"{real.failed:,}",
            time_text(real.median_seconds),
            time_text(simulated.median_seconds),
            _deviation(each.median_deviation, MEDIAN_AIM),
            time_text(real.p95_seconds),
            time_text(simulated.p95_seconds),
            _deviation(each.p95_deviation, P95_AIM),
            bytes_text(real.uploaded_bytes),
            bytes_text(simulated.uploaded_bytes),
            f"{real.share_asleep:.0%}",
            f"{simulated.share_asleep:.0%}",
        )
    return table


def _deviation(value: float, aim: float) -> str:
    text = f"{100 * value:+.1f}%"
    return text if abs(value) <= aim else f"[red]{text}[/red]"


def save_validation_figure(comparisons: Sequence[Comparison], path: Path) -> Path:
    """Draws median and 95% percentile of every condition, measured and simulated, side by side.

    Args:
        comparisons: in order.
        path: of the PNG; its folder is made if necessary.

    Returns:
        The path.
    """
    names = [each.condition.replace("_", " ") for each in comparisons]
    panels = {"Median delay": ("median_seconds", MEDIAN_AIM), "95% are faster": ("p95_seconds", P95_AIM)}
    with figure_style():
        figure = new_figure(11.0, 4.6)
        for axes, (title, (field, aim)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            real = np.array([getattr(each.real, field) for each in comparisons], dtype=np.float64)
            simulated = np.array([getattr(each.simulated, field) for each in comparisons], dtype=np.float64)
            factor, unit = seconds_scale(np.append(real, simulated))
            places = np.arange(len(names))
            axes.bar(places - 0.2, factor * real, 0.38, color=STATIC, label="measured")
            axes.bar(places + 0.2, factor * simulated, 0.38, color=EDGE, label="simulated")
            axes.errorbar(
                places - 0.2,
                factor * real,
                yerr=aim * factor * real,
                fmt="none",
                ecolor="#1F2430",
                capsize=4,
                label=f"{aim:.0%} of the measured",
            )
            axes.set_xticks(places, names)
            axes.grid(False, axis="x")
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"from request to answer ({unit})")
            axes.set_title(title)
            legend_below_title(axes)
        return save_figure(figure, path)
