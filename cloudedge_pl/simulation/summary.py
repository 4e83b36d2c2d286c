"""The summary of a run: what its tasks waited, cost and missed, who answered them, and how busy every station was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import require_range
from cloudedge_pl.files import json_values
from cloudedge_pl.simulation.station_records import STATIONS, StationRecord
from cloudedge_pl.simulation.task_records import IN_FLIGHT, PATHS, REJECTED, TaskRecords

PERCENTILES: Final = (50, 95, 99)


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
    clock = totals.clock_seconds
    summary = summary_of(
        {**_counts(records), "attempts_lost": int(np.maximum(records.attempts - 1, 0).sum())},
        totals,
        delays=_delays(records.delay_seconds),
        deadlines=_deadlines(records, clock),
        costs=_costs(records),
        by_path=_by_path(records),
        by_class={name: _of_class(records[records.kind == kind], clock) for kind, name in enumerate(classes)},
        stations=stations,
    )
    plain: dict[str, Any] = json_values(summary)
    return plain


def summary_of(
    tasks: Mapping[str, int],
    totals: RunTotals,
    *,
    delays: Mapping[str, float],
    deadlines: Mapping[str, float],
    costs: Mapping[str, float],
    by_path: Mapping[str, Any],
    by_class: Mapping[str, Any],
    stations: Sequence[StationRecord],
) -> dict[str, Any]:
    """Puts a summary together; :func:`summarise_tasks` says what the parts hold.

    Args:
        tasks: their numbers.
        totals: of the run.
        delays: mean, percentiles and largest.
        deadlines: missed ones, and goodput.
        costs: joules and bytes of an answer.
        by_path: the entry ``answered_by``.
        by_class: the entry ``classes``.
        stations: of all machines.
    """
    answered = tasks["answered"]
    probes = share_of(totals.probe_bytes, answered)
    return {
        **tasks,
        "clock_seconds": totals.clock_seconds,
        **delays,
        **deadlines,
        "mean_energy_joules": share_of(totals.joules, answered),
        **costs,
        "mean_probe_bytes": probes,
        "mean_bytes": costs["mean_bytes"] + probes,
        "share_asleep": share_of(totals.asleep_seconds, totals.clock_seconds),
        "switches": totals.switches,
        "answered_by": dict(by_path),
        "classes": dict(by_class),
        "station_kinds": summarise_stations(stations),
        "stations": [{"name": station.name, **asdict(station)} for station in stations],
    }


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


def share_of(amount: float, of: float) -> float:
    """Returns a share; nan of nothing."""
    return amount / of if of else math.nan


def _counts(records: TaskRecords) -> dict[str, int]:
    return {
        "tasks": len(records),
        "answered": int(records.answered.sum()),
        "rejected": int((records.path == REJECTED).sum()),
        "in_flight": int((records.path == IN_FLIGHT).sum()),
    }


def _delays(delay_seconds: np.ndarray) -> dict[str, float]:
    delays = delay_seconds[~np.isnan(delay_seconds)]
    if not len(delays):
        return {
            f"{name}_delay_seconds": math.nan for name in ("mean", *(f"p{q}" for q in PERCENTILES), "max")
        }
    percentiles = np.percentile(delays, PERCENTILES)
    named = {f"p{q}_delay_seconds": float(value) for q, value in zip(PERCENTILES, percentiles, strict=True)}
    return {"mean_delay_seconds": float(delays.mean()), **named, "max_delay_seconds": float(delays.max())}


def _deadlines(records: TaskRecords, clock_seconds: float) -> dict[str, float]:
    limited = np.isfinite(records.deadline_seconds)
    in_time = records.in_time
    undecided = (records.path == IN_FLIGHT) & (
        records.arrival_seconds + records.deadline_seconds >= clock_seconds
    )
    missed = int((limited & ~in_time & ~undecided).sum())
    return {
        "deadline_misses": missed,
        "deadline_miss_share": share_of(missed, int((limited & ~undecided).sum())),
        "goodput_per_second": share_of(int(in_time.sum()), clock_seconds),
    }


def _costs(records: TaskRecords) -> dict[str, float]:
    answered = int(records.answered.sum())
    kinds = ("upload_bytes", "exit_bytes", "download_bytes")
    means = {f"mean_{kind}": share_of(float(getattr(records, kind).sum()), answered) for kind in kinds}
    return {
        "mean_active_joules": share_of(float(records.joules.sum()), answered),
        **means,
        "mean_bytes": sum(means.values()),
    }


def _by_path(records: TaskRecords) -> dict[str, dict[str, Any]]:
    answered, delays = int(records.answered.sum()), records.delay_seconds
    found = {}
    for path, name in PATHS.items():
        here = records.path == path
        if path >= 0 and here.any():
            count = int(here.sum())
            found[name] = {"tasks": count, "share": count / answered, **_delays(delays[here])}
    return found


def _of_class(records: TaskRecords, clock_seconds: float) -> dict[str, Any]:
    return {
        **_counts(records),
        **_delays(records.delay_seconds),
        **_deadlines(records, clock_seconds),
        **_costs(records),
    }
