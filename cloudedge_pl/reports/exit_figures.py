"""The figure of a calibration: what exits cost and what they save, over the threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from cloudedge_pl.costs.units import format_bytes
from cloudedge_pl.exits import Calibration
from cloudedge_pl.reports.style import (
    ANSWERED,
    EXIT,
    INK,
    LIMIT,
    QuantityFormatter,
    figure_style,
    legend_below_title,
    new_figure,
    save_figure,
)

CROWDED = 0.9
"""Thresholds of which the middle one is above this are drawn by the logarithm of their distance from 1."""

CLOSEST = 1e-5
"""Thresholds closer to 1 than this are drawn here."""


def save_exit_figure(calibration: Calibration, upload_bytes: float, path: Path) -> Path:
    """Draws risk and saved bytes over the threshold, and returns the path.

    Args:
        calibration: with its curve.
        upload_bytes: that a sample sends to the cloud if it does not exit.
        path: of the PNG.
    """
    curve = calibration.curve
    thresholds = np.array(curve.threshold)
    log = bool(np.median(thresholds) > CROWDED)
    with figure_style():
        figure = new_figure(10.0, 4.2)
        left, right = figure.subplots(1, 2)
        where = np.maximum(1 - thresholds, CLOSEST) if log else thresholds
        chosen = max(1 - calibration.threshold, CLOSEST) if log else calibration.threshold
        _draw_risk(left, where, calibration)
        _draw_saved(right, where, np.array(curve.exited_share) * upload_bytes, upload_bytes)
        for axes in (left, right):
            if not calibration.exits_nothing:
                label = f"chosen, {calibration.threshold:.4g}"
                axes.axvline(chosen, color=INK, linestyle=":", linewidth=1.4, label=label)
            _scale(axes, log)
        legend_below_title(left, columns=2)
        legend_below_title(right, columns=1)  # as many rows
        return save_figure(figure, path)


def _draw_risk(axes: Axes, where: np.ndarray, calibration: Calibration) -> None:
    curve, percent = calibration.curve, 100.0
    name = calibration.risk.replace("_", " ") or "risk"
    bound = "upper bound" if calibration.method == "ucb" else "bound on its mean"
    axes.set_title(f"{name.capitalize()} of exits")
    axes.plot(
        where, percent * np.array(curve.risk), color=EXIT, drawstyle="steps", label="on the validation set"
    )
    axes.plot(
        where, percent * np.array(curve.bound), color=EXIT, linestyle="--", drawstyle="steps", label=bound
    )
    limit = percent * calibration.max_risk
    axes.axhline(limit, color=LIMIT, linewidth=1.4, linestyle="-.", label=f"limit, {limit:g}%")
    axes.set_ylabel("of all samples (%)")
    axes.set_ylim(0, 1.08 * max(percent * max(curve.bound), limit))


def _draw_saved(axes: Axes, where: np.ndarray, saved: np.ndarray, upload_bytes: float) -> None:
    axes.set_title("Bytes to the cloud that exits save")
    label = f"saved, of {format_bytes(upload_bytes)} a sample"
    axes.plot(where, saved, color=ANSWERED, drawstyle="steps", label=label)
    axes.set_ylabel("mean of all samples")
    axes.set_ylim(0, 1.08 * upload_bytes or 1.0)
    axes.yaxis.set_major_formatter(QuantityFormatter(format_bytes))


def _scale(axes: Axes, log: bool) -> None:
    axes.set_xlabel("threshold: samples of a higher score exit")
    if not log:
        return
    axes.set_xlim(1.0, 0.7 * CLOSEST)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - value:.9g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
