"""The figure of a sweep: a metric against a swept parameter, with a line for each value of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from cloudedge_pl.costs.units import Writer, format_factor, format_percent
from cloudedge_pl.reports.pareto_figure import logarithmic_ticks
from cloudedge_pl.reports.run_rows import Value
from cloudedge_pl.reports.style import (
    SERIES,
    QuantityFormatter,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)
from cloudedge_pl.reports.sweep_groups import Grouped, distinct, is_number, value_text
from cloudedge_pl.reports.wording import UNITS

LOG_FROM_RATIO: Final = 100.0
"""Positive values whose largest is at least this many times the smallest are drawn on a logarithmic axis."""

MOST_TICKS: Final = 8
"""So many different numbers get a tick each."""

MARKERS: Final = "osD^vP*X"


def _plain(value: float, digits: int = 3) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else format_factor(value, digits)


def writer_of(name: str) -> Writer:
    """Returns how the values of a metric or parameter are written, which its name tells."""
    if "accuracy" in name or name.endswith("share"):
        return format_percent
    return next((write for suffix, write in UNITS.items() if name.endswith(suffix)), _plain)


def worded(name: str) -> str:
    """A metric or parameter in words, without its unit.

    >>> worded("mean_delay_seconds")
    'mean delay'
    """
    for suffix in UNITS:
        name = name.removesuffix(suffix)
    return name.replace("_", " ")


def save_sweep_figure(found: Grouped, path: Path, *, spread: str = "range") -> Path:
    """Draws the mean of each group, what is around it, and the number of runs.

    Args:
        found: with at least one group and something along the axis.
        path: of the PNG; its folder is made if necessary.
        spread: what is drawn around a mean: "range" or "interval".

    Returns:
        The path.
    """
    assert found.x is not None
    with figure_style():
        figure = new_figure(8.0, 4.8)
        axes = figure.subplots()
        places = _Places.of([group.x for group in found.groups])
        lines = found.line_values
        for index, line in enumerate(lines):
            _draw(axes, found, line, index, places.shifted(index, len(lines)), spread)
        places.finish(axes, found.x)
        _finish_values(axes, found)
        axes.set_title(f"{worded(found.metric)} by {found.x}")
        if found.lines is not None:
            legend_below_title(axes, columns=_columns(lines))
        _say_runs(axes, found, spread)
        return save_figure(figure, path)


class _Places:
    """Where values lie along the axis: numbers at their value, anything else side by side."""

    def __init__(self, values: Sequence[Value], offset: float = 0.0) -> None:
        self.values, self.offset = values, offset
        self.numeric = all(map(is_number, values))

    @classmethod
    def of(cls, values: Sequence[Value]) -> _Places:
        different = distinct(values)
        return cls(sorted(different, key=float) if all(map(is_number, different)) else different)  # type: ignore[arg-type]  # numbers

    def shifted(self, index: int, count: int) -> _Places:
        """Places of one of several lines, side by side if they would hide each other."""
        return self if self.numeric else _Places(self.values, 0.12 * (index - (count - 1) / 2))

    def at(self, value: Value) -> float:
        if self.numeric:
            assert isinstance(value, (int, float))
            return float(value)
        return self.values.index(value) + self.offset

    def finish(self, axes: Axes, name: str) -> None:
        """Sets scale, ticks and name of the axis."""
        axes.set_xlabel(name)
        if not self.numeric:
            axes.set_xticks(range(len(self.values)), [value_text(value) for value in self.values])
            axes.set_xlim(-0.5, len(self.values) - 0.5)
            return
        numbers = np.array(self.values, dtype=np.float64)
        if _spans_decades(numbers):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(logarithmic_ticks(numbers))
        if len(numbers) <= MOST_TICKS:
            axes.xaxis.set_major_locator(FixedLocator(numbers.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(QuantityFormatter(writer_of(name)))


def _draw(axes: Axes, found: Grouped, line: Value, index: int, places: _Places, spread: str) -> None:
    groups = found.of_line(line)
    at = [places.at(group.x) for group in groups]
    means = [group.mean for group in groups]
    colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
    label = value_text(line)
    if found.search:
        axes.scatter(at, means, s=26, color=colour, marker=marker, edgecolors="white", label=label, zorder=3)
        return
    ends = [group.around(spread) for group in groups]
    low, high = [end[0] for end in ends], [end[1] for end in ends]
    several = any(len(group.values) > 1 for group in groups)
    if places.numeric and len(groups) > 1:
        axes.plot(at, means, color=colour, marker=marker, label=label, zorder=3)
        if several:
            axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
        return
    axes.plot(at, means, linestyle="", color=colour, marker=marker, markersize=7, label=label, zorder=3)
    if several:
        axes.vlines(at, low, high, color=colour, alpha=0.6, linewidth=2.5, zorder=2)


def _finish_values(axes: Axes, found: Grouped) -> None:
    values = np.array([value for group in found.groups for value in group.values])
    axes.set_ylabel(worded(found.metric))
    if _spans_decades(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(logarithmic_ticks(values))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(QuantityFormatter(writer_of(found.metric)))
    axes.margins(y=0.08)


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() >= LOG_FROM_RATIO * values.min())


def _columns(lines: Sequence[Value]) -> int:
    """Entries of the legend in a row, so that the row is not wider than the figure."""
    widest = max(len(value_text(line)) for line in lines) + 6
    return max(1, min(len(lines), math.floor(84 / widest)))


def _say_runs(axes: Axes, found: Grouped, spread: str) -> None:
    """Writes below the axis what a point is."""
    counts = sorted({len(group.values) for group in found.groups})
    words = "each point is a run"
    if counts[-1] > 1:
        runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        around = "lowest to highest" if spread == "range" else "95% interval of the mean"
        over = f" over {', '.join(found.over)}" if found.over else ""
        words = f"mean and {around} of {runs} runs{over}"
    if found.lines is not None:
        words += f"; lines: {found.lines}"
    axes.annotate(
        words,
        (1, 0),
        xycoords="axes fraction",
        xytext=(0, -44),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8.5,
        color="#7A8194",
        annotation_clip=False,
    )
