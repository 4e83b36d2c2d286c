"""What the figures of a simulation show: percentiles, shares of sleep and parts of delays, against plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.reports.simulation_figures import (
    PATH_STYLES,
    binned_percentiles,
    save_simulation_figures,
    shares_asleep,
)
from cloudedge_pl.reports.simulation_parts import NAMES, part_seconds, share_text, time_text
from cloudedge_pl.reports.station_figures import COLOURS
from cloudedge_pl.simulation.station_records import STATIONS
from cloudedge_pl.simulation.task_records import PATHS, TaskRecords
from tests.simulation.record_cases import fleet_at_work, make_records, stations_of


def test_every_path_and_every_station_has_its_looks():
    answering = {path for path in PATHS if path >= 0}
    assert PATH_STYLES.keys() == NAMES.keys() == answering
    assert COLOURS.keys() == STATIONS.keys()


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=40), st.integers(1, 6))
def test_percentiles_of_bins(points, bins):
    where, values = np.array(points).reshape(-1, 2).T
    edges = np.linspace(0, 10, bins + 1)
    found = binned_percentiles(where, values, edges, [50, 95])
    for index in range(bins):
        last = index == bins - 1
        inside = values[(where >= edges[index]) & ((where < edges[index + 1]) | last)]
        expected = np.percentile(inside, [50, 95]) if len(inside) else [np.nan, np.nan]
        np.testing.assert_allclose(found[:, index], expected)


@given(st.lists(st.floats(0.01, 3), min_size=2, max_size=20), st.integers(1, 7))
def test_shares_of_sleep(lengths, bins):
    changes = np.cumsum(lengths)
    asleep = changes[: 2 * (len(changes) // 2)].reshape(-1, 2)
    edges = np.linspace(0, changes[-1], bins + 1)
    overlap = np.minimum(edges[1:], asleep[:, 1:]) - np.maximum(edges[:-1], asleep[:, :1])
    expected = np.maximum(overlap, 0).sum(axis=0) / np.diff(edges)
    np.testing.assert_allclose(shares_asleep(asleep, edges), expected, atol=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 20))
def test_parts_are_the_whole_delay(seed, num_nodes):
    records = fleet_at_work(200, num_nodes, seed=seed)
    answered = records[records.answered]
    parts = part_seconds(answered)
    np.testing.assert_allclose(sum(parts.values()), answered.delay_seconds)
    assert all((part >= -1e-12).all() for part in parts.values())
    np.testing.assert_allclose(parts["done_seconds"], answered.done_seconds - answered.started_seconds)


def test_a_network_on_its_node_has_no_way_to_the_cloud():
    edge = make_records(
        1, path=3, arrival_seconds=1.0, started_seconds=2.0, done_seconds=4.0, answered_seconds=4.0
    )
    parts = part_seconds(edge)
    assert parts["started_seconds"] == 1.0
    assert parts["done_seconds"] == 2.0
    assert parts["sent_seconds"] == parts["arrived_seconds"] == parts["answered_seconds"] == 0.0


def test_figures_for_what_there_is(tmp_path: Path):
    records = fleet_at_work(300, 3)
    stations = stations_of(records, ["a", "b", "c"])
    assert save_simulation_figures(TaskRecords.empty(), tmp_path, clock_seconds=0.0) == []
    rejected = make_records(2, path=-1, arrival_seconds=1.0)
    assert save_simulation_figures(rejected, tmp_path, clock_seconds=1.0) == []
    many = np.arange(600.0).reshape(-1, 2) / 100
    paths = save_simulation_figures(records, tmp_path, clock_seconds=6.0, asleep=many, stations=stations)
    assert [path.name for path in paths] == [
        "delay_over_time.png",
        "delay_distribution.png",
        "task_time.png",
        "stations.png",
    ]
    assert all(path.stat().st_size > 10_000 for path in paths)


@pytest.mark.parametrize(("share", "text"), [(1.0, "100%"), (0.43, "43%"), (0.0123, "1.2%"), (0.0996, "10%")])
def test_shares_are_written_as_percent(share, text):
    assert share_text(share) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0125, "12.5 ms"), (8.684, "8.68 s"), (12345.0, "12,345 s")])
def test_times_are_written_with_their_unit(seconds, text):
    assert time_text(seconds) == text
