"""Systems at points: the load of the busiest station, energies by hand, and what a point changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.paper.runs import (
    LEAST_GAIN,
    Point,
    Runs,
    busiest_load,
    lower,
    occupied_joules,
    run,
    systems_setting,
)
from cloudedge_pl.simulation.task_records import TaskRecords
from cloudedge_pl.systems import PRESETS
from tests.paper.networks import paper_setting, tiny_setting

AWAKE = PRESETS["ours_awake"]


def test_lower_is_lower_by_more_than_chance():
    assert lower(0.9, 1.0)
    assert not lower(1.0 - LEAST_GAIN / 2, 1.0)
    assert not lower(1.0, 1.0)
    assert not lower(float("nan"), 1.0)


def test_a_point_changes_what_it_names_and_nothing_else():
    setting = tiny_setting()
    kept = systems_setting(setting, Point())
    assert kept.fleet.num_nodes == 10
    assert kept.workload == setting.workload
    assert kept.codec == CodecConfig("none")
    point = Point(
        num_nodes=3,
        tasks_per_second=7.0,
        link_bits_per_second=4e6,
        variation=0.0,
        jpeg_bytes=11.0,
    )
    changed = systems_setting(setting, point)
    assert changed.fleet.num_nodes == 3
    assert changed.workload == replace(setting.workload, arrival_rate=7.0)
    assert changed.fleet.link.bandwidth_bits_per_second == 4e6
    assert changed.fleet.link.variation == 0.0
    assert changed.measure_picture is not None
    assert changed.measure_picture(setting.goal.picture) == 11.0


@settings(max_examples=30)
@given(nodes=st.integers(1, 6), rate=st.floats(0.1, 50), mbit=st.floats(0.5, 50), at=st.integers(0, 34))
def test_the_load_is_the_largest_share_of_time_that_a_kind_of_station_is_busy(nodes, rate, mbit, at):
    setting = paper_setting(num_tasks=20)
    point = Point(
        num_nodes=nodes, tasks_per_second=rate, link_bits_per_second=1e6 * mbit, variation=0.0
    ).cut_at(at)
    found = run(setting, AWAKE, point)
    costs = found.built.costs
    per_node = rate / nodes
    computing = per_node * costs.execution_seconds[0]
    sending = per_node * 8 * costs.upload_bytes / min(1e6 * mbit, 300e6)
    assert found.load == pytest.approx(max(computing, sending, rate * costs.cloud_seconds))
    assert found.keeps_up == (found.load < 1)


def test_the_load_of_a_run_that_does_not_keep_up_grows_its_delay_with_the_tasks():
    short, long = (run(paper_setting(num_tasks=count), PRESETS["edge_only"], Point()) for count in (200, 800))
    assert short.load == long.load > 1
    assert long.result.mean_delay_seconds > 3 * short.result.mean_delay_seconds


def test_an_exit_head_takes_load_off_radios_and_cloud():
    found = run(tiny_setting(num_tasks=50), AWAKE, Point(tasks_per_second=1.0).cut_at(3))
    half = replace(
        found.result,
        mean_upload_bytes=found.result.mean_upload_bytes / 2,
        exited_share=0.5,
        mean_exit_bytes=0.0,
    )
    assert busiest_load(found.built, half, 1.0) < busiest_load(found.built, found.result, 1.0)


def test_occupied_joules_charge_idle_power_for_every_task_by_itself():
    fleet = Fleet.preset("raspberry-pi-4", 2, speed_spread=0.0)
    empty = TaskRecords.empty().columns()
    columns = {name: np.zeros(3, dtype=column.dtype) for name, column in empty.items()}
    columns |= {
        "path": np.array([0, 3, -1], dtype=np.int8),  # cloud, edge, rejected
        "at_node_seconds": np.array([1.0, 2.0, 0.0]),
        "done_seconds": np.array([3.0, 6.0, 9.0]),
        "sent_seconds": np.array([5.0, np.nan, 9.0]),
        "joules": np.array([0.5, 1.5, 9.0]),
    }
    idle = fleet.nodes[0].idle_watts
    assert occupied_joules(TaskRecords(**columns), fleet) == pytest.approx(
        (0.5 + 4 * idle + 1.5 + 4 * idle) / 2
    )


def test_runs_are_repeated_with_other_draws_and_remembered():
    runs = Runs(tiny_setting(num_tasks=60), 5)
    found = runs.outcomes(PRESETS["ours"], Point())
    assert found is not None
    assert len(found) == runs.repetitions == 2
    assert found[0].result.mean_delay_seconds != found[1].result.mean_delay_seconds
    assert runs.outcomes(PRESETS["ours"], Point()) is found
    assert 0 < found[0].result.split_point < runs.setting.profile.num_segments  # an end is no cut


def test_where_no_split_point_keeps_the_limits_there_is_no_outcome():
    runs = Runs(paper_setting(num_tasks=20, seeds=1), 1)
    assert runs.outcomes(AWAKE, Point(link_bits_per_second=1e4)) is None
    given_cut = Point(link_bits_per_second=1e4, goal=OffloadGoal(split_point=33))
    assert runs.outcomes(AWAKE, given_cut) is not None
