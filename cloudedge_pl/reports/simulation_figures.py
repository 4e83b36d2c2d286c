"""The figures of a simulation: delay over time, its distribution, where it goes, and how busy every station is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from cloudedge_pl.reports.simulation_parts import draw_task_time, share_text, time_text
from cloudedge_pl.reports.station_figures import draw_stations
from cloudedge_pl.reports.style import (
    ASLEEP,
    CLOUD,
    EDGE,
    EXIT,
    INK,
    LIMIT,
    MUTED,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
    seconds_scale,
)
from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.task_records import CLOUD as CLOUD_PATH
from cloudedge_pl.simulation.task_records import (
    EARLY_EXIT,
    EXIT_ASLEEP,
    EXIT_OVERLOAD,
    REJECTED,
    TaskRecords,
)
from cloudedge_pl.simulation.task_records import EDGE as EDGE_PATH

PATH_STYLES: Final[dict[int, dict[str, Any]]] = {
    CLOUD_PATH: {"color": CLOUD, "label": "cloud"},
    EXIT_ASLEEP: {"color": EXIT, "label": "exit head, cloud asleep"},
    EARLY_EXIT: {"color": EXIT, "linestyle": (0, (5, 1.5)), "label": "exit head, sure"},
    EDGE_PATH: {"color": EDGE, "label": "edge"},
    EXIT_OVERLOAD: {"color": EXIT, "linestyle": (0, (1, 1)), "label": "exit head, cloud full"},
}
"""A colour for each side that answers, and a dash for each reason to ask the exit head."""

MOST_BINS, TASKS_A_BIN = 240, 100
"""Delays over time are percentiles of bins: at most so many, of at least so many tasks on average."""

DRAWN_INTERVALS = 200
"""More sleeps than this are drawn as a shade by their share of the time."""

CURVE_POINTS = 1000

LOG_FROM_RATIO = 20
"""Delays are on a logarithmic axis if those of rank 99% are so many times those of rank 1%."""

SHOWN_DEADLINES = 3


def save_simulation_figures(
    records: TaskRecords,
    folder: Path,
    *,
    clock_seconds: float,
    asleep: np.ndarray | None = None,
    stations: Sequence[StationRecord] = (),
) -> list[Path]:
    """Draws the figures for which there is data, and returns their paths.

    Args:
        records: of all tasks.
        folder: the folder for the figures; it is made if necessary.
        clock_seconds: end of the run.
        asleep: starts and ends of the cloud's sleeps, float64 [sleeps, 2]; None if there was none.
        stations: of all machines.

    Returns:
        The paths of ``delay_over_time.png``, ``delay_distribution.png``, ``task_time.png`` and ``stations.png``, of
        those that were drawn.
    """
    paths = []
    asleep = np.zeros((0, 2)) if asleep is None else np.asarray(asleep, dtype=np.float64)
    answered = records[records.answered]
    with figure_style():
        if len(answered):
            paths.append(_over_time(records, clock_seconds, asleep, folder / "delay_over_time.png"))
            paths.append(_distribution(answered, folder / "delay_distribution.png"))
            paths.append(save_figure(draw_task_time(answered), folder / "task_time.png"))
        if any(station.jobs for station in stations):
            paths.append(save_figure(draw_stations(stations), folder / "stations.png"))
    return paths


# --- over time ---


def _over_time(records: TaskRecords, clock_seconds: float, asleep: np.ndarray, path: Path) -> Path:
    answered = records[records.answered]
    end = clock_seconds or float(answered.answered_seconds.max()) or 1.0
    edges = np.linspace(0.0, end, 1 + int(np.clip(len(answered) // TASKS_A_BIN, 1, MOST_BINS)))
    scale, unit = seconds_scale(np.array([end]))
    figure = new_figure(10.0, 6.0)
    delays, rates = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _draw_percentiles(delays, answered, edges, scale)
    _draw_rates(rates, records, edges, scale)
    for axes in (delays, rates):
        _shade_sleep(axes, asleep, end, scale)
        axes.grid(visible=False, axis="x")
    share = float(np.diff(asleep).sum()) / end
    legend_below_title(delays, *_sleep_legend(share))
    legend_below_title(rates)
    rates.set_xlabel(f"virtual time ({unit})")
    rates.set_xlim(0, end * scale)
    return save_figure(figure, path)


def _draw_percentiles(axes: Axes, answered: TaskRecords, edges: np.ndarray, time_scale: float) -> None:
    levels = {50: ("median", "-", 1.8), 95: ("95%", "-", 1.2), 99: ("99%", (0, (2, 1)), 1.0)}
    values = binned_percentiles(answered.arrival_seconds, answered.delay_seconds, edges, list(levels))
    log = LOG_FROM_RATIO * np.nanmin(values[0]) < np.nanmax(values)
    scale, unit = (1.0, "s") if log else seconds_scale(values)
    middles = 0.5 * (edges[1:] + edges[:-1]) * time_scale
    gaps = np.pad(np.isnan(values[0]), 1, constant_values=True)
    alone = np.flatnonzero(~gaps[1:-1] & gaps[:-2] & gaps[2:]).tolist()  # a line needs two points to be seen
    marks: dict[str, Any] = {"marker": ".", "markevery": alone} if alone else {}
    for (name, dash, width), line in zip(levels.values(), values, strict=True):
        label = name if name == "median" else f"{name} are faster"
        axes.plot(middles, line * scale, color=INK, linestyle=dash, linewidth=width, label=label, **marks)
    axes.fill_between(middles, values[0] * scale, values[1] * scale, color=MUTED, alpha=0.25, linewidth=0)
    axes.set_title("Delay of a task, by its arrival")
    if log:
        axes.set_yscale("log")
        write_as_times(axes, "y")
        axes.set_ylabel("delay")
    else:
        axes.set_ylim(0, 1.08 * float(np.nanmax(values)) * scale or 1.0)
        axes.set_ylabel(f"delay ({unit})")


def binned_percentiles(
    where: np.ndarray, values: np.ndarray, edges: np.ndarray, levels: Sequence[float]
) -> np.ndarray:
    """Percentiles of the values in each bin.

    Args:
        where: positions [n], within the edges.
        values: [n].
        edges: of the bins, ascending [bins + 1].
        levels: in percent.

    Returns:
        float64 [levels, bins], nan for a bin without values.
    """
    bins = np.clip(np.searchsorted(edges, where, side="right") - 1, 0, len(edges) - 2)
    order = np.argsort(bins, kind="stable")
    limits = np.searchsorted(bins[order], np.arange(len(edges)))
    found = np.full((len(levels), len(edges) - 1), np.nan)
    for index in range(len(edges) - 1):
        inside = values[order[limits[index] : limits[index + 1]]]
        if len(inside):
            found[:, index] = np.percentile(inside, levels)
    return found


def _draw_rates(axes: Axes, records: TaskRecords, edges: np.ndarray, time_scale: float) -> None:
    """Draws tasks per second by the side that answers, on top of each other, and what is rejected as a line."""
    sides = {
        "cloud": (CLOUD, [CLOUD_PATH]),
        "exit head": (EXIT, [EXIT_ASLEEP, EARLY_EXIT, EXIT_OVERLOAD]),
        "edge": (EDGE, [EDGE_PATH]),
    }
    base = np.zeros(len(edges) - 1)
    for name, (colour, paths) in sides.items():
        here = np.isin(records.path, paths)
        if not here.any():
            continue
        top = base + np.histogram(records.answered_seconds[here], edges)[0] / np.diff(edges)
        axes.stairs(top, edges * time_scale, baseline=base, fill=True, color=colour, alpha=0.75, label=name)
        base = top
    rejected = records.path == REJECTED
    if rejected.any():
        rate = np.histogram(records.arrival_seconds[rejected], edges)[0] / np.diff(edges)
        axes.stairs(
            rate, edges * time_scale, color=LIMIT, linewidth=1.4, label="rejected, by arrival", baseline=None
        )
    axes.set_title("Answers a second, by who gives them")
    axes.set_ylabel("tasks a second")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_ylim(bottom=0)


def _shade_sleep(axes: Axes, asleep: np.ndarray, end: float, scale: float) -> None:
    """Shades each sleep, or if there are very many the share of the time that is slept."""
    if len(asleep) <= DRAWN_INTERVALS:
        for first, last in asleep * scale:
            axes.axvspan(first, last, color=ASLEEP, linewidth=0, zorder=0)
        return
    edges = np.linspace(0.0, end, 2 * MOST_BINS + 1)
    shares = shares_asleep(asleep, edges)
    axes.pcolormesh(
        edges * scale,
        [0.0, 1.0],
        shares[None],
        cmap=LinearSegmentedColormap.from_list("asleep", ["white", ASLEEP]),
        vmin=0,
        vmax=1,
        transform=axes.get_xaxis_transform(),
        zorder=0,
    )


def shares_asleep(asleep: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of each bin's time that lies in a sleep.

    Args:
        asleep: starts and ends, ascending, float64 [sleeps, 2], at least one.
        edges: of the bins, ascending [bins + 1].

    Returns:
        float64 [bins].
    """
    slept = np.cumsum(asleep[:, 1] - asleep[:, 0])
    slept_at_ends = np.stack((np.concatenate(([0.0], slept[:-1])), slept), axis=1)
    return np.diff(np.interp(edges, asleep.ravel(), slept_at_ends.ravel())) / np.diff(edges)


def _sleep_legend(share: float) -> list[Patch]:
    return [Patch(color=ASLEEP, label=f"cloud asleep, {100 * share:.0f}% of the time")] if share else []


# --- distribution ---


def _distribution(answered: TaskRecords, path: Path) -> Path:
    figure = new_figure(9.0, 5.0)
    axes = figure.subplots()
    delays = answered.delay_seconds
    low, high = np.percentile(delays, [1, 99])
    log = 0 < LOG_FROM_RATIO * low < high
    longest = float(np.percentile(delays, 99.9))
    scale, unit = (1.0, "s") if log else seconds_scale(np.array([longest]))
    paths = [name for name in PATH_STYLES if (answered.path == name).any()]
    for name in paths:
        here = answered.path == name
        style = PATH_STYLES[name] | {"label": f"{PATH_STYLES[name]['label']}, {share_text(here.mean())}"}
        axes.plot(*_curve(delays[here], scale), **style)
    if len(paths) > 1:
        axes.plot(*_curve(delays, scale), color=INK, linewidth=1.2, label="all answers", zorder=1.5)
    _draw_deadlines(axes, answered, longest, scale)
    axes.set_title("Delay of answered tasks, by who answers")
    axes.set_ylabel("tasks answered within the delay (%)")
    axes.set_ylim(0, 100)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(float(np.percentile(delays, 0.1)), longest)
        write_as_times(axes, "x")
        axes.set_xlabel("delay")
    else:
        axes.set_xlim(0, 1.05 * longest * scale or 1.0)
        axes.set_xlabel(f"delay ({unit})")
    legend_below_title(axes, columns=3)
    return save_figure(figure, path)


def _curve(delays: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of the distribution function, more of them in its tails."""
    levels = np.sin(np.linspace(0, np.pi / 2, CURVE_POINTS)) ** 2
    return np.quantile(delays, levels) * scale, 100 * levels


def _draw_deadlines(axes: Axes, answered: TaskRecords, longest: float, scale: float) -> None:
    deadlines = np.unique(answered.deadline_seconds[np.isfinite(answered.deadline_seconds)])
    if not 0 < len(deadlines) <= SHOWN_DEADLINES:
        return
    for deadline in deadlines[deadlines < longest]:
        axes.axvline(deadline * scale, color=LIMIT, linestyle="--", linewidth=1.2)
    axes.plot([], [], color=LIMIT, linestyle="--", label=f"deadline, {', '.join(map(time_text, deadlines))}")


def write_as_times(axes: Axes, axis: str) -> None:
    """Writes the ticks of a logarithmic axis in seconds as times with units: 10 ms, 1 s."""
    low, high = getattr(axes, f"get_{axis}lim")()
    few = high / low < 1000
    chosen = getattr(axes, f"{axis}axis")
    chosen.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    chosen.set_minor_locator(NullLocator())
    chosen.set_major_formatter(FuncFormatter(lambda value, _: time_text(value)))
