"""Draws Fig. 9: error over training, and the error at its end by who answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from cloudedge_pl.paper.learning import CLAIMED_SHARE
from cloudedge_pl.paper.part import PartResult, Table
from cloudedge_pl.reports.style import (
    ANSWERED,
    CLOUD,
    EXIT,
    INK,
    MUTED,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)

LOOKS: Final = ((ANSWERED, "o", "-"), (EXIT, "s", "--"), (CLOUD, "^", "-."))
"""Colour, marker and dash of the systems, in the order of the table."""

PERCENT_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)

LOG_FROM_RATIO: Final = 5.0
"""Errors whose largest is at least this many times the smallest are drawn on a logarithmic axis."""

RATE_FALLS: Final = 0.5
"""A learning rate below this multiple of the one before is a step of the schedule."""


def save_learning(result: PartResult, path: Path) -> Path:
    """Draws the curves of all systems with their spread over seeds, and their final errors.

    Args:
        result: of the part fig9.
        path: of the PNG file; its folder is made.
    """
    curves, errors = result.tables["curves"], result.tables["errors"]
    systems = list(dict.fromkeys(map(str, curves.columns["system"])))
    looks = {system: LOOKS[index % len(LOOKS)] for index, system in enumerate(systems)}
    with figure_style():
        figure = new_figure(11.0, 4.8)
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        _draw_curves(left, curves, looks)
        _draw_final(right, errors, looks)
        return save_figure(figure, path)


def _draw_curves(axes: Axes, table: Table, looks: dict[str, tuple[str, str, str]]) -> None:
    columns = {name: np.array(values) for name, values in table.columns.items()}
    errors = 100 * columns["error_share"].astype(np.float64)
    floor = float(np.min(errors[errors > 0], initial=100.0))
    floor /= 2 if (errors <= 0).any() else 1  # a logarithmic axis has no 0
    seeds = len(set(columns["seed"].tolist()))
    axes.set_title("Error of the answers" + (f", mean and range of {seeds} seeds" if seeds > 1 else ""))
    for system, (colour, marker, dash) in looks.items():
        chosen = columns["system"] == system
        steps = np.unique(columns["step"][chosen])
        rows = np.maximum(errors[chosen].reshape(-1, len(steps)), floor)
        every = max(1, len(steps) // 12)
        axes.fill_between(steps, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        style: dict[str, Any] = {"marker": marker, "linestyle": dash, "markevery": every, "clip_on": False}
        axes.plot(steps, rows.mean(axis=0), color=colour, label=system, **style)
    axes.set_xlabel("optimizer steps")
    axes.set_xlim(0, float(columns["step"].max()))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_ylabel("wrong answers (%)")
    _percent_axis(axes, floor, float(np.max(errors, initial=floor)))
    legend_below_title(axes)
    _mark_schedule(axes, columns)


def _mark_schedule(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    """Marks where the learning rate falls, and where the paper's 30 epochs are."""
    first = (columns["system"] == columns["system"][0]) & (columns["seed"] == columns["seed"][0])
    steps, rates = (
        columns["step"][first].astype(np.float64),
        columns["learning_rate"][first].astype(np.float64),
    )
    for before, after, rate, fallen in zip(steps, steps[1:], rates, rates[1:], strict=False):
        if fallen < RATE_FALLS * rate:
            _mark(axes, (before + after) / 2, f"rate {fallen:.2g}", MUTED)
    _mark(axes, CLAIMED_SHARE * steps[-1], "30 epochs,\nin proportion", INK)


def _mark(axes: Axes, step: float, text: str, colour: str) -> None:
    axes.axvline(step, color=colour, linestyle=":", linewidth=1.2, zorder=0)
    axes.annotate(
        text,
        (step, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        color=colour,
        fontsize=8.5,
    )


def _draw_final(axes: Axes, table: Table, looks: dict[str, tuple[str, str, str]]) -> None:
    axes.set_title("Mean error in the last quarter")
    rows = list(
        zip(
            *(table.columns[name] for name in ("system", "answers_of")),
            *(
                [100 * float(value) for value in table.columns[name]]
                for name in ("error_share", "lowest_seed_share", "highest_seed_share")
            ),
            strict=True,
        )
    )
    for position, (system, _, mean, low, high) in enumerate(rows):
        colour, marker, _ = looks[system]
        axes.plot([low, high], [position, position], color=colour, alpha=0.4, linewidth=5)
        axes.plot(mean, position, color=colour, marker=marker, markersize=7, clip_on=False)
        axes.annotate(
            f"{mean:.1f}%",
            (high, position),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    names = [f"{system}\n{who}" for system, who, *_ in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(high for *_, high in rows) or 1.0)
    axes.set_xlabel("wrong answers (%)")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _percent_axis(axes: Axes, low: float, high: float) -> None:
    """Makes the upright axis of percentages logarithmic, with round ticks, if they are that different."""
    if high < LOG_FROM_RATIO * low:
        margin = 0.1 * (high - low) or 1.0
        axes.set_ylim(max(0.0, low - margin), high + margin)
        return
    axis, ticks = axes.yaxis, [tick for tick in PERCENT_TICKS if low / 2 <= tick <= high * 1.05]
    axes.set_yscale("log")
    below = [tick for tick in PERCENT_TICKS if low / 2 <= tick <= low]
    axes.set_ylim(max(below, default=low) * 0.97, high * 1.1)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
