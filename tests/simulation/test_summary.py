"""The summary of a run against numbers by hand, and against what must add up on any run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.summary import RunTotals, asleep_intervals, summarise_stations, summarise_tasks
from cloudedge_pl.simulation.task_records import TaskRecords
from tests.simulation.record_cases import fleet_at_work, make_records

SIX = make_records(
    6,
    kind=[0, 0, 1, 1, 1, 0],
    path=[0, 0, 1, -1, -2, -2],
    attempts=[1, 3, 1, 1, 2, 1],
    arrival_seconds=[0.0, 1.0, 2.0, 3.0, 4.0, 9.5],
    answered_seconds=[1.0, 4.0, 7.0, np.nan, np.nan, np.nan],
    deadline_seconds=[np.inf, 3.0, 4.0, 1.0, 2.0, 1.0],
    upload_bytes=[10.0, 20.0, 0.0, 30.0, 0.0, 0.0],
    exit_bytes=[0.0, 0.0, 6.0, 0.0, 0.0, 0.0],
    joules=[1.0, 2.0, 3.0, 0.0, 1.5, 0.0],
)
"""Delays 1, 3 and 5 s; a rejected task; one in flight past its deadline, one that can still keep it."""

TOTALS = RunTotals(clock_seconds=10.0, joules=60.0, probe_bytes=9.0, asleep_seconds=2.5, switches=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tasks", 6),
        ("answered", 3),
        ("rejected", 1),
        ("in_flight", 2),
        ("attempts_lost", 3),
        ("mean_delay_seconds", 3.0),
        ("p50_delay_seconds", 3.0),
        ("p95_delay_seconds", 4.8),
        ("p99_delay_seconds", 4.96),
        ("max_delay_seconds", 5.0),
        ("deadline_misses", 3),
        ("deadline_miss_share", 3 / 4),
        ("goodput_per_second", 0.2),
        ("mean_energy_joules", 20.0),
        ("mean_active_joules", 2.5),
        ("mean_upload_bytes", 20.0),
        ("mean_exit_bytes", 2.0),
        ("mean_download_bytes", 0.0),
        ("mean_probe_bytes", 3.0),
        ("mean_bytes", 25.0),
        ("share_asleep", 0.25),
        ("switches", 2),
    ],
)
def test_the_whole_run_by_hand(key, value):
    assert summarise_tasks(SIX, TOTALS, classes=("photo", "video"))[key] == pytest.approx(value)


def test_by_path_and_by_class():
    summary = summarise_tasks(SIX, TOTALS, classes=("photo", "video"))
    assert list(summary["answered_by"]) == ["cloud", "exit_asleep"]
    assert summary["answered_by"]["cloud"]["share"] == pytest.approx(2 / 3)
    assert summary["answered_by"]["cloud"]["mean_delay_seconds"] == 2.0
    assert summary["answered_by"]["exit_asleep"]["tasks"] == 1
    assert summary["classes"]["video"]["deadline_misses"] == 3
    assert summary["classes"]["video"]["p50_delay_seconds"] == 5.0
    assert summary["classes"]["photo"]["rejected"] == 0


@pytest.mark.parametrize("records", [TaskRecords.empty(), make_records(3, path=-1, arrival_seconds=1.0)])
def test_without_an_answer_there_is_no_mean(records):
    summary = summarise_tasks(records, RunTotals(clock_seconds=0.0))
    assert summary["answered_by"] == {}
    for key in (
        "mean_delay_seconds",
        "p99_delay_seconds",
        "mean_energy_joules",
        "mean_bytes",
        "share_asleep",
    ):
        assert summary[key] is None
    assert summary["deadline_misses"] == 0


@pytest.mark.parametrize("num_nodes", [1, 10, 60])
def test_parts_add_up_on_a_fleet_at_work(num_nodes):
    records = fleet_at_work(4_000, num_nodes)
    clock = float(np.nanmax(records.answered_seconds))
    stations = [StationRecord(kind="node", machine=f"n{at}") for at in range(num_nodes)]
    summary = summarise_tasks(records, RunTotals(clock_seconds=clock), stations=stations, classes=("a", "b"))
    assert summary["tasks"] == summary["answered"] + summary["rejected"] + summary["in_flight"] == 4_000
    for parts in (summary["answered_by"], summary["classes"]):
        assert len(parts) >= 2
    assert sum(part["tasks"] for part in summary["answered_by"].values()) == summary["answered"]
    assert sum(part["share"] for part in summary["answered_by"].values()) == pytest.approx(1)
    for key in ("tasks", "answered", "deadline_misses", "goodput_per_second"):
        assert sum(part[key] for part in summary["classes"].values()) == pytest.approx(summary[key])
    mean = sum(part["tasks"] * part["mean_delay_seconds"] for part in summary["answered_by"].values())
    assert mean / summary["answered"] == pytest.approx(summary["mean_delay_seconds"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_stations_by_kind():
    stations = [
        StationRecord(kind="node", machine="a", jobs=3, mean_queue=1.0, max_queue=4, utilisation=0.5),
        StationRecord(kind="cloud", servers=4, jobs=9, mean_queue=0.25, max_queue=2, utilisation=0.75),
        StationRecord(kind="node", machine="b", jobs=5, mean_queue=3.0, max_queue=9, utilisation=0.9),
    ]
    kinds = summarise_stations(stations)
    assert list(kinds) == ["node", "cloud"]
    assert kinds["node"] == {
        "stations": 2,
        "jobs": 8,
        "utilisation": pytest.approx(0.7),
        "max_utilisation": 0.9,
        "busiest": "node of b",
        "mean_queue": 2.0,
        "max_mean_queue": 3.0,
        "max_queue": 9,
    }
    summary = summarise_tasks(SIX, TOTALS, stations=stations, classes=("photo", "video"))
    assert summary["stations"][1]["name"] == "cloud"
    assert summary["stations"][1]["utilisation"] == 0.75


def test_sleep_in_intervals():
    switches = np.array([1.0, 3.0, 4.0]), np.array([0, 1, 0])
    np.testing.assert_array_equal(asleep_intervals(*switches, 9.0), [[1, 3], [4, 9]])
    assert asleep_intervals(np.zeros(0), np.zeros(0), 9.0).shape == (0, 2)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="classes names 1 and the records' kinds are 0 to 1"):
        summarise_tasks(SIX, TOTALS)
    with pytest.raises(ValueError, match=r"asleep_seconds is 3\.0"):
        RunTotals(clock_seconds=2.0, asleep_seconds=3.0)
