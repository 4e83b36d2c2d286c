"""Execution times: FLOP over speed, the roofline, and three forward passes in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from cloudedge_pl.costs.roofline import (
    cloud_seconds,
    execution_seconds,
    exit_seconds,
    roofline_of,
    roofline_seconds,
    segment_seconds,
)
from tests.offloading.cases import fleets, make_fleet, make_node, make_profile, profiles


def test_roofline_is_the_longer_of_computing_and_moving():
    flops, moved = np.array([10e9, 1e9]), np.array([1e9, 10e9])
    np.testing.assert_allclose(roofline_seconds(flops, moved, np.array(5e9), np.array(2e9)), [2.0, 5.0])


def test_seconds_by_hand():
    profile, node = make_profile(1, 3), make_node()  # reaches 10 GFLOP/s, 10 GB/s
    by_flops = profile.segment_flops / 10e9
    np.testing.assert_allclose(segment_seconds(profile, node, roofline=False), by_flops)
    np.testing.assert_allclose(
        segment_seconds(profile, node), np.maximum(by_flops, profile.segment_moved_bytes / 10e9)
    )


@settings(max_examples=50)
@given(profiles(), fleets())
def test_edge_and_cloud_part_make_the_whole(profile, fleet):
    for roofline in (False, True):
        edge = execution_seconds(profile, fleet, roofline=roofline)
        cloud = cloud_seconds(profile, fleet, roofline=roofline)
        assert edge.shape == (fleet.num_nodes, profile.num_segments + 1)
        np.testing.assert_array_equal(edge[:, 0], 0)
        assert cloud[-1] == 0
        assert (np.diff(edge, axis=1) >= 0).all()
        assert (np.diff(cloud) <= 0).all()
        whole = segment_seconds(profile, fleet.nodes[0], roofline=roofline).sum()
        np.testing.assert_allclose(edge[0, -1], whole)
        np.testing.assert_allclose(
            cloud[0] - cloud, np.r_[0, np.cumsum(segment_seconds(profile, fleet.cloud, roofline=roofline))]
        )


@settings(max_examples=50)
@given(profiles(), fleets())
def test_the_roofline_only_slows_down_and_training_triples(profile, fleet):
    plain = execution_seconds(profile, fleet, roofline=False)
    bounded = execution_seconds(profile, fleet)
    assert (bounded >= plain * (1 - 1e-12)).all()
    np.testing.assert_allclose(execution_seconds(profile, fleet, "training"), 3 * bounded)
    np.testing.assert_allclose(cloud_seconds(profile, fleet, "training"), 3 * cloud_seconds(profile, fleet))


def test_exit_head_runs_where_there_is_one():
    profile, fleet = make_profile(2, 4), make_fleet()
    seconds = exit_seconds(profile, fleet.coordinator, roofline=False)
    np.testing.assert_allclose(seconds, profile.exit_flops / 10e9)
    bounded = exit_seconds(profile, fleet.coordinator)
    assert bounded[0] == bounded[-1] == 0
    moved = profile.exit_parameter_bytes + profile.exit_activation_bytes + profile.cut_bytes
    np.testing.assert_allclose(bounded[1:-1], np.maximum(seconds, moved / 10e9)[1:-1])


def test_a_faster_node_takes_less():
    profile = make_profile(5)
    fast, slow = make_fleet(1, efficiency=1.0), make_fleet(1, efficiency=0.25)
    ratio = (
        execution_seconds(profile, slow, roofline=False)[:, 1:]
        / execution_seconds(profile, fast, roofline=False)[:, 1:]
    )
    assert ratio[np.isfinite(ratio)] == pytest.approx(4)


def test_the_roof_says_what_binds():
    profile = replace(
        make_profile(3, 3),
        segment_flops=np.array([1e9, 1e6, 0.0]),
        segment_moved_bytes=np.array([1e6, 1e6, 0.0]),
    )
    roof = roofline_of(profile, make_node())  # 10 GFLOP/s, 10 GB/s
    assert roof.ridge == 1
    assert roof.intensity.tolist() == [1000, 1, 0]
    assert roof.memory_bound.tolist() == [False, False, False]
    slow_memory = roofline_of(profile, make_node(memory_bandwidth_bytes_per_second=1e9))
    assert slow_memory.memory_bound.tolist() == [False, True, False]
    np.testing.assert_allclose(slow_memory.seconds, [0.1, 1e-3, 0])
