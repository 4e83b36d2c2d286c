"""Stations' statistics: means over the elapsed time, and names that tell stations apart."""

import pytest

from cloudedge_pl.simulation.station_records import StationRecord


def test_means_are_over_the_elapsed_time():
    cloud = StationRecord.over(
        "cloud", elapsed_seconds=10.0, busy_seconds=15.0, queue_seconds=5.0, servers=2, jobs=7, max_queue=3
    )
    assert cloud == StationRecord(
        kind="cloud", servers=2, jobs=7, busy_seconds=15.0, mean_queue=0.5, max_queue=3, utilisation=0.75
    )


def test_before_the_start_nothing_was_busy():
    cloud = StationRecord.over("cloud", elapsed_seconds=0.0, busy_seconds=0.0, queue_seconds=0.0)
    assert (cloud.mean_queue, cloud.utilisation) == (0.0, 0.0)


def test_names_tell_stations_apart():
    names = {StationRecord(kind=kind, machine="pi-1").name for kind in ("node", "radio", "downlink")}
    assert names == {"node of pi-1", "radio of pi-1", "downlink of pi-1"}
    assert StationRecord(kind="exit_head").name == "exit head"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kind", "antenna", "unknown kind of station 'antenna'"),
        ("servers", 0, "servers is 0"),
        ("jobs", -1, "jobs is -1"),
        ("mean_queue", -0.5, "mean_queue is -0.5"),
        ("utilisation", 1.5, "utilisation is 1.5"),
    ],
)
def test_impossible_statistics_are_refused(field, value, words):
    with pytest.raises(ValueError, match=words):
        StationRecord(**{"kind": "cloud", field: value})
