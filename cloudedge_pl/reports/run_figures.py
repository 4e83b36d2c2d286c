"""The figures of a training run: learning curves, delay and dormancy over time, tasks and energy by node."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cloudedge_pl.reports.machines import MAX_NAMED_NODES, draw_bars, draw_dots, rows_by_kind
from cloudedge_pl.reports.style import (
    ANSWERED,
    ASLEEP,
    CLOUD,
    EDGE,
    EXIT,
    LIMIT,
    LINK,
    MUTED,
    SERIES,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
    seconds_scale,
)

LOSS_POINTS, DELAY_POINTS = 60, 600
"""A longer series is drawn faintly, with its running mean over windows of its length divided by this."""

LOG_FROM_RATIO = 30
"""Losses whose largest value is more than this many times the smallest are drawn on a logarithmic axis."""

SHOWN_LIMIT = 4
"""A limit of at most this many times the highest delay is drawn as a line."""

Columns = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""A metric's name to the positions at which it was logged and its values, each float64 [num_rows_with_it]."""


def save_run_figures(metrics_csv: Path, accounts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws the figures for which there is data, and returns their paths.

    Args:
        metrics_csv: the file that Lightning's CSVLogger wrote; missing columns are left out.
        accounts: what the simulator reports: ``node_names``, ``node_tasks``, ``node_joules`` (a value for each node),
            ``steps`` with ``clock_seconds`` (the end of each step), ``mean_delay_seconds``, ``link_delay_seconds`` and
            ``awake`` (a value for each step), and ``max_delay_seconds``. Empty if nothing was simulated.
        folder: the folder for the figures; it is made if necessary.

    Returns:
        The paths of ``learning_curves.png``, ``delay_and_dormancy.png`` and ``nodes.png``, of those that were drawn.
    """
    paths = []
    with figure_style():
        metrics, unit = read_metrics(metrics_csv)
        if any(name in metrics for name in (*_LOSSES, *_ACCURACIES)):
            paths.append(_learning_curves(metrics, unit, folder / "learning_curves.png"))
        if accounts.get("steps", {}).get("clock_seconds"):
            paths.append(_delay_and_dormancy(accounts, folder / "delay_and_dormancy.png"))
        if accounts.get("node_names"):
            paths.append(_nodes(accounts, folder / "nodes.png"))
    return paths


def read_metrics(metrics_csv: Path) -> tuple[Columns, str]:
    """Reads a CSVLogger's file, in which each row holds some of the metrics.

    Returns:
        The columns, and the unit of their positions: "epoch" if at least one epoch is finished, otherwise "step".
    """
    if not metrics_csv.exists():
        return {}, "step"
    with metrics_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = np.array([_number(row.get("step")) for row in rows])
    epochs = np.array([_number(row.get("epoch")) for row in rows])
    finished = epochs < np.nanmax(epochs, initial=0.0)
    per_epoch = np.max((steps[finished] + 1) / (epochs[finished] + 1), initial=0.0)
    positions, unit = ((steps + 1) / per_epoch, "epoch") if per_epoch > 0 else (steps + 1, "step")
    columns = {}
    for name in rows[0] if rows else ():
        values = np.array([_number(row.get(name)) for row in rows])
        there = np.isfinite(values) & np.isfinite(positions)
        if there.any():
            columns[name] = positions[there], values[there]
    return columns, unit


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of ``width`` values around each value, of fewer at the ends: [n] -> [n]; nan counts as absent."""
    before, after = (width - 1) // 2, width // 2
    there = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(there, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(there)))
    last = np.minimum(np.arange(len(values)) + after + 1, len(values))
    first = np.maximum(np.arange(len(values)) - before, 0)
    with np.errstate(invalid="ignore"):
        return (sums[last] - sums[first]) / (counts[last] - counts[first])


_LOSSES = {"train/loss": ("training", EDGE), "val/loss": ("validation", CLOUD)}
_ACCURACIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "val/accuracy": ("cloud path", CLOUD, {"marker": "o", "markersize": 8, "markerfacecolor": "white"}),
    "val/accuracy_exit": ("exit path", EXIT, {"marker": "s", "linestyle": "--"}),
    "val/accuracy_answered": ("answered", ANSWERED, {"marker": ".", "linestyle": ":"}),
    "train/accuracy": ("training", MUTED, {"marker": "."}),
}


def _learning_curves(metrics: Columns, unit: str, path: Path) -> Path:
    figure = new_figure(10.0, 4.4)
    losses = [name for name in _LOSSES if name in metrics]
    accuracies = [name for name in _ACCURACIES if name in metrics]
    panels = iter(figure.subplots(1, bool(losses) + bool(accuracies), squeeze=False)[0])
    if losses:
        _draw_losses(next(panels), metrics, losses)
    if accuracies:
        _draw_accuracies(next(panels), metrics, accuracies)
    for axes in figure.axes:
        axes.set_xlabel("epoch" if unit == "epoch" else "training step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return save_figure(figure, path)


def _draw_losses(axes: Axes, metrics: Columns, names: Sequence[str]) -> None:
    axes.set_title("Loss")
    axes.set_ylabel("loss (nats)")
    for name in names:
        label, colour = _LOSSES[name]
        where, values = metrics[name]
        if name == "train/loss":
            _draw_noisy(axes, where, values, colour, label, LOSS_POINTS)
        else:
            axes.plot(where, values, color=colour, marker="o", label=label)
    everything = np.concatenate([metrics[name][1] for name in names])
    if 0 < LOG_FROM_RATIO * everything.min() < everything.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=min(0.0, everything.min()))
    legend_below_title(axes)


def _draw_accuracies(axes: Axes, metrics: Columns, names: Sequence[str]) -> None:
    axes.set_title("Accuracy")
    axes.set_ylabel("correct answers (%)")
    lowest = 100.0
    for name in names:
        label, colour, style = _ACCURACIES[name]
        where, values = metrics[name][0], 100 * metrics[name][1]
        label = f"{label} {values[-1]:.1f}%"
        axes.plot(where, values, color=colour, label=label, clip_on=False, **style)
        lowest = min(lowest, float(values.min()))
    axes.set_ylim(max(0.0, 10 * math.floor(lowest / 10)), 100)
    legend_below_title(axes, columns=2)


def _draw_noisy(
    axes: Axes,
    where: np.ndarray,
    values: np.ndarray,
    colour: str,
    label: str,
    points: int,
    drawstyle: Literal["default", "steps-pre"] = "default",
) -> None:
    """Draws a series faintly and its running mean boldly; a series of up to ``points`` values only boldly."""
    width = len(values) // points
    if width > 1:
        axes.plot(where, values, color=colour, alpha=0.25, linewidth=0.9, drawstyle=drawstyle)
        values = running_mean(values, width)
    marker = "." if len(values) == 1 else None  # a line needs two points to be seen
    axes.plot(where, values, color=colour, label=label, drawstyle=drawstyle, marker=marker)


def _delay_and_dormancy(accounts: Mapping[str, Any], path: Path) -> Path:
    steps = accounts["steps"]
    clock = _floats(steps["clock_seconds"])
    worked = _floats(steps["awake"])  # a share of the row, which may hold several windows
    awake = worked >= 0.5
    limit = float(accounts["max_delay_seconds"])
    link = _floats(steps["link_delay_seconds"])
    used = bool(np.nanmax(link, initial=0.0) > 0)  # a network that is all at the edge does not use it
    figure = new_figure(10.0, 5.4 if used else 3.6)
    panels = figure.subplots(1 + used, 1, sharex=True, squeeze=False, height_ratios=[3, 2][: 1 + used])[:, 0]
    panels[0].set_title("Simulated delay of a task")
    time_scale, time_unit = seconds_scale(clock)
    _draw_delay(panels[0], clock * time_scale, _floats(steps["mean_delay_seconds"]), EDGE, limit=limit)
    if used:
        panels[1].set_title("Delay of the link to the cloud")
        _draw_delay(panels[1], clock * time_scale, link, LINK)
    for axes in panels:
        _shade_sleep(axes, clock * time_scale, awake)
        axes.grid(visible=False, axis="x")
    share = _share_asleep(clock, worked)
    sleep = [Patch(color=ASLEEP, label=f"cloud asleep, {100 * share:.0f}% of the time")] if share else []
    legend_below_title(panels[0], *sleep)
    panels[-1].set_xlabel(f"virtual time ({time_unit})")
    panels[-1].set_xlim(0, clock[-1] * time_scale)
    return save_figure(figure, path)


def _draw_delay(
    axes: Axes, where: np.ndarray, seconds: np.ndarray, colour: str, limit: float = math.inf
) -> None:
    """Draws delays, and their limit unless it would flatten them."""
    highest = float(np.nanmax(seconds, initial=0.0))
    shown = limit <= SHOWN_LIMIT * highest
    scale, unit = seconds_scale(np.array([highest, limit if shown else 0.0]))
    # A step's value holds from the end of the previous step.
    held = np.concatenate((seconds[:1], seconds)) * scale
    since_start = np.concatenate(([0.0], where))
    _draw_noisy(axes, since_start, held, colour, "mean of a step", DELAY_POINTS, drawstyle="steps-pre")
    if shown:
        axes.axhline(
            limit * scale,
            color=LIMIT,
            linestyle="--",
            linewidth=1.4,
            label=f"limit, {limit * scale:g} {unit}",
        )
    elif math.isfinite(limit):
        axes.plot([], [], color=LIMIT, linestyle="--", label=f"limit, {limit * scale:g} {unit}, is far above")
    axes.set_ylabel(f"delay ({unit})")
    axes.set_ylim(0, 1.08 * scale * max(highest, limit if shown else 0.0) or 1.0)


def _shade_sleep(axes: Axes, clock: np.ndarray, awake: np.ndarray) -> None:
    starts = np.concatenate(([0.0], clock[:-1]))
    for first, last in runs_of(~awake):
        axes.axvspan(starts[first], clock[last], color=ASLEEP, linewidth=0, zorder=0)


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """The first and the last index of every run of consecutive True values."""
    edges = np.diff(np.concatenate(([False], mask, [False])).astype(int))
    return list(
        zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True)
    )


def _share_asleep(clock: np.ndarray, worked: np.ndarray) -> float:
    lengths = np.diff(clock, prepend=0.0)
    return float((lengths * (1 - worked)).sum() / lengths.sum()) if lengths.sum() > 0 else 0.0


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _nodes(accounts: Mapping[str, Any], path: Path) -> Path:
    """Draws a bar for each node, or if there are many a row of dots for each kind of node."""
    names = [str(name) for name in accounts["node_names"]]
    devices = [re.sub(r"-\d+$", "", name) for name in names]
    kinds = list(dict.fromkeys(device for device in devices if device != "master"))
    colour_of = {kind: SERIES[index % len(SERIES)] for index, kind in enumerate(kinds)} | {"master": MUTED}
    joules = _floats(accounts["node_joules"])
    scale, unit = (1e-3, "kJ") if np.nanmax(joules, initial=0.0) >= 10_000 else (1.0, "J")
    many = len(names) > MAX_NAMED_NODES
    rows = rows_by_kind(devices) if many else {name: np.array([at]) for at, name in enumerate(names)}

    figure = new_figure(10.0, 1.4 + (0.5 if many else 0.3) * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, label, values, digits in (
        (panels[0], "Tasks by node", "tasks run", _floats(accounts["node_tasks"]), 0),
        (panels[1], "Energy by node", f"energy drawn ({unit})", joules * scale, 3),
    ):
        draw = draw_dots if many else draw_bars
        draw(axes, rows, values, [colour_of[device] for device in devices], digits)
        axes.set_title(f"{title}, a dot each" if many else title)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=digits == 0))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(rows)), list(rows))
    panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first at the top
    return save_figure(figure, path)
