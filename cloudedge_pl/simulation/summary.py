"""The summary of a run: what its tasks waited, cost and missed, who answered them, and how busy every station was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cloudedge_pl.errors import require_range
from cloudedge_pl.files import json_values
from cloudedge_pl.simulation.station_records import STATIONS, StationRecord
from cloudedge_pl.simulation.tally import Tally, share_of
from cloudedge_pl.simulation.task_records import PATHS, TaskRecords


@dataclass(frozen=True, kw_only=True)
class RunTotals:
    """Totals of a run that are in no task's row.

    Args:
        clock_seconds: virtual time at the end; the run began at 0.
        joules: drawn by all machines, idle power included; nan if it is not known.
        probe_bytes: sent to measure the link while the cloud slept.
        asleep_seconds: time during which the cloud slept.
        switches: times that the cloud fell asleep or woke.

    Raises:
        ValueError: if a value is negative, or the cloud slept longer than the run.
    """

    clock_seconds: float
    joules: float = math.nan
    probe_bytes: float = 0.0
    asleep_seconds: float = 0.0
    switches: int = 0

    def __post_init__(self) -> None:
        joules = 0.0 if math.isnan(self.joules) else self.joules
        require_range("totals", 0, math.inf, clock_seconds=self.clock_seconds, joules=joules)
        require_range("totals", 0, math.inf, probe_bytes=self.probe_bytes)
        require_range("totals", 0, math.inf, whole=True, switches=self.switches)
        require_range("totals", 0, self.clock_seconds * (1 + 1e-9), asleep_seconds=self.asleep_seconds)


def summarise_tasks(
    records: TaskRecords,
    totals: RunTotals,
    *,
    stations: Sequence[StationRecord] = (),
    classes: Sequence[str] = ("task",),
) -> dict[str, Any]:
    """Summarises a run in plain values that JSON can hold. What is not defined, such as a mean of nothing, is None.

    A delay lasts from a task's arrival to its answer. Percentiles interpolate linearly between delays. A task has
    *missed* its deadline if it was answered later, was rejected, or is in flight past it. Joules and bytes are totals,
    those of rejected tasks and lost attempts included, divided by the number of answered tasks: what an answer costs.

    Args:
        records: all tasks that arrived.
        totals: of the run.
        stations: of all machines.
        classes: names of the tasks' classes, by ``records.kind``.

    Returns:
        - ``tasks`` (all that arrived), ``answered``, ``rejected``, ``in_flight``, ``attempts_lost`` (by nodes that
          failed), ``clock_seconds``;
        - ``mean_delay_seconds``, ``p50_delay_seconds``, ``p95_delay_seconds``, ``p99_delay_seconds``,
          ``max_delay_seconds``, over answered tasks;
        - ``deadline_misses``, and ``deadline_miss_share`` of the tasks with a deadline, without those that are in
          flight and may still be in time;
        - ``goodput_per_second``: tasks answered in time, or without a deadline, per second of the run;
        - ``mean_energy_joules`` (all machines, idle power included), ``mean_active_joules`` (computing and radios),
          ``mean_upload_bytes``, ``mean_exit_bytes`` (both ways), ``mean_download_bytes``, ``mean_probe_bytes``, and
          ``mean_bytes``, their sum;
        - ``share_asleep`` of the run's time, ``switches``;
        - ``answered_by``: for each path that answered, by its name in
          :data:`~cloudedge_pl.simulation.task_records.PATHS`: ``tasks``, ``share`` of the answered, delays as above;
        - ``classes``: for each class, by its name: tasks, delays, misses, ``goodput_per_second``, active joules and
          bytes as above;
        - ``station_kinds``: for each kind of station: see :func:`summarise_stations`;
        - ``stations``: for each station: the fields of its record, and its ``name``.

    Raises:
        ValueError: if a task's class has no name.
    """
    if len(records) and not 0 <= records.kind.min() <= records.kind.max() < len(classes):
        raise ValueError(
            f"classes names {len(classes)} and the records' kinds are {records.kind.min()} to {records.kind.max()}; "
            "give a name for each."
        )
    whole = RunningSummary(classes, exact=True)
    whole.add(records, totals.clock_seconds)
    return whole.summary(totals, stations)


class RunningSummary:
    """Takes records piece by piece and forgets them.

    Args:
        classes: names of the tasks' classes, by ``records.kind``.
        exact: whether all delays are kept, for exact percentiles; else memory does not grow with the number of tasks,
            and percentiles are within 1%.
    """

    def __init__(self, classes: Sequence[str] = ("task",), *, exact: bool = False) -> None:
        self.whole = Tally(exact)
        self.by_path = {path: Tally(exact) for path in PATHS if path >= 0}
        self.by_class = {name: Tally(exact) for name in classes}

    def add(self, records: TaskRecords, clock_seconds: float) -> None:
        """Adds tasks; see :meth:`Tally.add`."""
        self.whole.add(records, clock_seconds)
        for path, tally in self.by_path.items():
            tally.add(records[records.path == path], clock_seconds)
        for kind, tally in enumerate(self.by_class.values()):
            tally.add(records[records.kind == kind], clock_seconds)

    def summary(self, totals: RunTotals, stations: Sequence[StationRecord] = ()) -> dict[str, Any]:
        """Returns what :func:`summarise_tasks` does.

        Args:
            totals: of the run.
            stations: of all machines.
        """
        whole, clock = self.whole, totals.clock_seconds
        costs, probes = whole.costs(), share_of(totals.probe_bytes, whole.answered)
        summary = {
            **whole.counts(),
            "attempts_lost": whole.attempts_lost,
            "clock_seconds": clock,
            **whole.delays(),
            **whole.deadlines(clock),
            "mean_energy_joules": share_of(totals.joules, whole.answered),
            **costs,
            "mean_probe_bytes": probes,
            "mean_bytes": costs["mean_bytes"] + probes,
            "share_asleep": share_of(totals.asleep_seconds, clock),
            "switches": totals.switches,
            "answered_by": {
                PATHS[path]: {"tasks": each.tasks, "share": each.tasks / whole.answered, **each.delays()}
                for path, each in self.by_path.items()
                if each.tasks
            },
            "classes": {
                name: {**each.counts(), **each.delays(), **each.deadlines(clock), **each.costs()}
                for name, each in self.by_class.items()
            },
            "station_kinds": summarise_stations(stations),
            "stations": [{"name": station.name, **asdict(station)} for station in stations],
        }
        plain: dict[str, Any] = json_values(summary)
        return plain


def summarise_stations(stations: Sequence[StationRecord]) -> dict[str, dict[str, Any]]:
    """Summarises the stations of each kind that there is.

    Returns:
        By kind: ``stations`` (their number), ``jobs`` (in total), ``utilisation`` (of all servers together),
        ``max_utilisation`` and ``busiest`` (the name of the station that has it), ``mean_queue`` (mean of the stations'
        means), ``max_mean_queue``, ``max_queue``.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for kind in STATIONS:
        group = [station for station in stations if station.kind == kind]
        if not group:
            continue
        busiest = max(group, key=lambda station: station.utilisation)
        servers = np.array([station.servers for station in group])
        kinds[kind] = {
            "stations": len(group),
            "jobs": sum(station.jobs for station in group),
            "utilisation": float(servers @ [station.utilisation for station in group]) / int(servers.sum()),
            "max_utilisation": busiest.utilisation,
            "busiest": busiest.name,
            "mean_queue": float(np.mean([station.mean_queue for station in group])),
            "max_mean_queue": max(station.mean_queue for station in group),
            "max_queue": max(station.max_queue for station in group),
        }
    return kinds


def asleep_intervals(
    switch_seconds: np.ndarray, switch_awake: np.ndarray, clock_seconds: float
) -> np.ndarray:
    """The times during which the cloud slept, from its switches.

    Args:
        switch_seconds: when it fell asleep or woke, ascending, float64 [n]; it is awake before the first.
        switch_awake: its state from then on, [n].
        clock_seconds: end of the run, at which a last interval ends.

    Returns:
        Starts and ends, float64 [intervals, 2].
    """
    seconds = np.append(np.asarray(switch_seconds, dtype=np.float64), clock_seconds)
    asleep = np.concatenate(([False], ~np.asarray(switch_awake, dtype=bool), [False]))
    changes = np.diff(asleep.astype(np.int8))
    return np.stack((seconds[changes == 1], seconds[changes == -1]), axis=1)
