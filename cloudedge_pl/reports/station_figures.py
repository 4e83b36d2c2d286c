"""How busy the stations of a fleet are and how long their queues: one by one, or a dot each in a row for each kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cloudedge_pl.reports.machines import MAX_NAMED_NODES, draw_bars, draw_dots
from cloudedge_pl.reports.style import CLOUD, EDGE, EXIT, LINK, new_figure
from cloudedge_pl.simulation.station_records import STATIONS, StationRecord

COLOURS: Final = {
    "node": EDGE,
    "radio": LINK,
    "backhaul": LINK,
    "cloud": CLOUD,
    "downlink": LINK,
    "receiver": EXIT,
    "exit_head": EXIT,
    "sender": EXIT,
}
"""The colour of each kind of station is that of the side that it belongs to."""

LOG_FROM_QUEUE = 100
"""Queues are on an axis that is logarithmic above 1 if the longest is above this."""


def draw_stations(stations: Sequence[StationRecord]) -> Figure:
    """Draws utilisation and mean queue of the stations that had jobs.

    Args:
        stations: with at least one that had a job.
    """
    order = list(STATIONS)
    used = sorted((each for each in stations if each.jobs), key=lambda each: order.index(each.kind))
    many = len(used) > MAX_NAMED_NODES
    rows = _rows_by_kind(used) if many else {each.name: np.array([at]) for at, each in enumerate(used)}
    colours = [COLOURS[each.kind] for each in used]
    figure = new_figure(10.0, 1.4 + (0.5 if many else 0.26) * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    busy = 100 * np.array([each.utilisation for each in used])
    waiting = np.array([each.mean_queue for each in used])
    draw = draw_dots if many else draw_bars
    for axes, title, label, values in (
        (panels[0], "Utilisation", "time in service (%)", busy),
        (panels[1], "Queue", "mean number of waiting jobs", waiting),
    ):
        draw(axes, rows, values, colours, 3)
        axes.set_title(f"{title}, a dot for each station" if many else title)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    panels[0].set_xlim(0, 100 if many else 115)
    panels[0].set_xticks(range(0, 101, 20))
    if waiting.max() > LOG_FROM_QUEUE:
        panels[1].set_xscale("symlog", linthresh=1)
        panels[1].xaxis.set_major_formatter("{x:,g}")
    else:
        panels[1].xaxis.set_major_locator(MaxNLocator(6))
        panels[1].xaxis.set_major_formatter("{x:g}")
    panels[1].set_xlim(0, 1.15 * float(waiting.max()) or 1.0)
    panels[0].set_yticks(range(len(rows)), list(rows))
    panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first at the top
    return figure


def _rows_by_kind(stations: Sequence[StationRecord]) -> dict[str, np.ndarray]:
    """The indices of stations of a kind on devices of a kind, named with their number; of a kind only if too many."""
    devices = [re.sub(r"-\d+$", "", station.machine) for station in stations]
    if len(set(zip((each.kind for each in stations), devices, strict=True))) > MAX_NAMED_NODES:
        devices = ["" for _ in stations]
    members: dict[str, list[int]] = {}
    for at, (station, device) in enumerate(zip(stations, devices, strict=True)):
        kind = STATIONS[station.kind]
        members.setdefault(f"{kind} of {device}" if device else kind, []).append(at)
    return {
        f"{name} ({len(at):,})" if stations[at[0]].machine else name: np.array(at)
        for name, at in members.items()
    }
