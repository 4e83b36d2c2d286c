"""The tables of a simulation: its numbers, who answered, the classes of tasks, and the stations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from cloudedge_pl.costs.units import ABSENT
from cloudedge_pl.reports.simulation_parts import time_text
from cloudedge_pl.reports.wording import bytes_text, joules_text, percent_text
from cloudedge_pl.simulation.station_records import STATIONS

Format = Callable[[float], str]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f} tasks/s" if value >= 100 else f"{value:.3g} tasks/s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


ROWS: Final[dict[str, list[tuple[str, str, Format]]]] = {
    "tasks": [
        ("tasks", "arrived", _count),
        ("answered", "answered", _count),
        ("rejected", "rejected", _count),
        ("in_flight", "in flight", _count),
        ("attempts_lost", "attempts lost with a node", _count),
    ],
    "delay": [
        ("mean_delay_seconds", "mean", time_text),
        ("p50_delay_seconds", "median", time_text),
        ("p95_delay_seconds", "95% are faster", time_text),
        ("p99_delay_seconds", "99% are faster", time_text),
    ],
    "in time": [
        ("deadline_misses", "deadlines missed", _count),
        ("deadline_miss_share", "of those with a deadline", percent_text),
        ("goodput_per_second", "goodput", _rate),
    ],
    "cost of an answer": [
        ("mean_energy_joules", "energy", joules_text),
        ("mean_active_joules", "beyond idle power", joules_text),
        ("mean_bytes", "sent and received", bytes_text),
        ("mean_upload_bytes", "uploaded to the cloud", bytes_text),
        ("mean_download_bytes", "downloaded from it", bytes_text),
        ("mean_exit_bytes", "between nodes and exit head", bytes_text),
        ("mean_probe_bytes", "probes of the link", bytes_text),
    ],
    "run": [
        ("clock_seconds", "simulated time", time_text),
        ("share_asleep", "time the cloud slept", percent_text),
        ("switches", "fell asleep or woke", _count),
    ],
}
"""Each section's rows: (key of the summary, its name, the function that writes its value)."""

ANSWERED_BY: Final = {
    "cloud": "cloud",
    "exit_asleep": "exit head, cloud asleep",
    "early_exit": "exit head, sure",
    "edge": "edge",
    "exit_overload": "exit head, cloud full",
}
"""Names of the paths that answer, by their names in a summary."""


def simulation_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The tables of a summary: numbers, who answered, classes if there are several, and stations if there are any.

    Args:
        summary: what :func:`~cloudedge_pl.simulation.summary.summarise_tasks` returned. None is shown as a dash.
    """
    tables = [simulation_table(summary)]
    if summary["answered_by"]:
        tables.append(paths_table(summary))
    if len(summary["classes"]) > 1:
        tables.append(classes_table(summary))
    if summary["station_kinds"]:
        tables.append(stations_table(summary))
    return tables


def simulation_table(summary: Mapping[str, Any]) -> Table:
    """The numbers of the whole run; a section without values is left out."""
    table = Table(
        title="Simulation", title_justify="left", title_style="bold", show_header=False, pad_edge=False
    )
    table.add_column(style="dim")
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for section, rows in ROWS.items():
        values = [summary.get(key) for key, _, _ in rows]
        if all(value is None for value in values):
            continue
        for number, (value, (_, name, write)) in enumerate(zip(values, rows, strict=True)):
            last = number == len(rows) - 1
            table.add_row("" if number else section, name, _written(value, write), end_section=last)
    return table


def paths_table(summary: Mapping[str, Any]) -> Table:
    """Who answered how many tasks, and how fast."""
    rows = {ANSWERED_BY[name]: values for name, values in summary["answered_by"].items()}
    columns: list[tuple[str, str, Format]] = [
        ("tasks", "tasks", _count),
        ("share", "share", percent_text),
        ("mean_delay_seconds", "mean", time_text),
        ("p50_delay_seconds", "median", time_text),
        ("p95_delay_seconds", "95%", time_text),
        ("p99_delay_seconds", "99%", time_text),
    ]
    return _table("Answers, and their delay", "answered by", rows, columns)


def classes_table(summary: Mapping[str, Any]) -> Table:
    """Each class of tasks: answers, delay, deadlines and cost."""
    columns: list[tuple[str, str, Format]] = [
        ("tasks", "tasks", _count),
        ("rejected", "rejected", _count),
        ("p50_delay_seconds", "median", time_text),
        ("p95_delay_seconds", "95%", time_text),
        ("deadline_miss_share", "missed", percent_text),
        ("mean_active_joules", "energy", joules_text),
        ("mean_bytes", "bytes", bytes_text),
    ]
    return _table("Classes of tasks", "class", summary["classes"], columns)


def stations_table(summary: Mapping[str, Any]) -> Table:
    """Each kind of station: how busy all of them and the busiest are, and their queues; without those of no job."""
    rows = {}
    for kind, values in summary["station_kinds"].items():
        if values["jobs"]:
            several = values["stations"] > 1
            name = f"{STATIONS[kind]} ({values['stations']:,})" if several else STATIONS[kind]
            rows[name] = values
    columns: list[tuple[str, str, Format]] = [
        ("jobs", "jobs", _count),
        ("utilisation", "busy", percent_text),
        ("max_utilisation", "busiest", percent_text),
        ("mean_queue", "mean queue", _number),
        ("max_mean_queue", "longest mean", _number),
        ("max_queue", "longest", _number),
    ]
    return _table("Stations", "station", rows, columns)


def _table(
    title: str, kind: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[tuple[str, str, Format]]
) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column(kind, overflow="fold")
    for _, name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row, values in rows.items():
        table.add_row(escape(row), *(_written(values[key], write) for key, _, write in columns))
    return table


def _written(value: float | None, write: Format) -> str:
    return ABSENT if value is None or math.isnan(value) else write(float(value))
