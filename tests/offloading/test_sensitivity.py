"""What binds, what it takes to do better, bottlenecks and sweeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import Fleet, Link
from cloudedge_pl.offloading import OffloadGoal, binding, bottlenecks, next_steps, plan_offloading, sweep
from cloudedge_pl.offloading.sensitivity import BOTTLENECKS, with_num_nodes
from tests.offloading.cases import (
    fleets,
    make_fleet,
    make_node,
    make_profile,
    make_workload,
    profiles,
    workloads,
)

EASY = make_workload(arrival_rate=0.01, max_delay_seconds=1e6)
PROFILE = make_profile(1, 6)


def replace_memory(value: float) -> Fleet:
    fleet = make_fleet()
    return replace(fleet, nodes=tuple(replace(node, memory_bytes=value) for node in fleet.nodes))


def test_nothing_binds_the_best_there_is():
    plan = plan_offloading(PROFILE, make_fleet(), EASY)
    assert binding(plan) == ()
    assert next_steps(plan) == ()


def test_the_next_step_is_the_one_that_is_missing():
    plan = plan_offloading(PROFILE, replace_memory(2e6), EASY)
    assert "memory" in binding(plan)
    (step,) = [step for step in next_steps(plan) if step.limit == "memory"]
    assert step.split_point == plan.split_point + 1
    assert (step.where, step.now) == ("node-0", pytest.approx(1.6e6))
    roomier = replace_memory(step.needed / 0.8 * (1 + 1e-9))
    assert plan_offloading(PROFILE, roomier, EASY).split_point == step.split_point


@settings(max_examples=100)
@given(profiles(), fleets(), workloads())
def test_granting_what_a_next_step_asks_for_helps(profile, fleet, workload):
    try:
        plan = plan_offloading(profile, fleet, workload)
    except InfeasiblePlanError:
        return
    for step in next_steps(plan):
        assert step.split_point > plan.split_point
        assert step.needed > step.now
        if step.limit == "delay":
            patient = replace(workload, max_delay_seconds=step.needed)
            assert plan_offloading(profile, fleet, patient).split_point >= step.split_point


@pytest.mark.parametrize(
    ("node", "link", "expected"),
    [
        ({"flops_per_second": 1e6}, {}, "compute"),
        ({"memory_bandwidth_bytes_per_second": 1e4}, {}, "memory bandwidth"),
        ({}, {"bandwidth_bits_per_second": 1e3}, "transfer"),
        ({}, {"uplink_bits_per_second": (10.0,)}, "uplink"),
    ],
)
def test_the_bottleneck_is_where_the_time_goes(node, link, expected):
    fleet = Fleet((make_node(**node),), link=Link(**link))
    plan = plan_offloading(
        PROFILE,
        fleet,
        replace(EASY, arrival_rate=1e-9, max_delay_seconds=1e12),
        goal=OffloadGoal(split_point=3),
    )
    assert bottlenecks(plan)[3] == expected


@settings(max_examples=60)
@given(profiles(), fleets(), workloads())
def test_bottlenecks_are_named_and_everything_is_in_the_cloud_at_0(profile, fleet, workload):
    plan = plan_offloading(profile, fleet, workload, goal=OffloadGoal(split_point=0))
    found = bottlenecks(plan)
    assert set(found) <= set(BOTTLENECKS)
    assert found[0] in ("uplink", "transfer", "cloud")
    assert found[-1] not in ("transfer", "cloud")


def test_a_sweep_is_one_plan_after_the_other():
    workload = make_workload(arrival_rate=0.1, max_delay_seconds=1.0)
    values = [1e3, 1e6, 3e6, 1e7, 1e9]
    found = sweep(
        PROFILE, make_fleet(), workload, "memory_bytes", values, goal=OffloadGoal(objective="deepest")
    )
    for index, value in enumerate(values):
        plan = plan_offloading(PROFILE, replace_memory(value), workload)
        assert found.split_point[index] == plan.split_point
        assert found.delay_seconds[index] == plan.costs.delay_seconds[plan.split_point]
        assert found.binding[index] == binding(plan)
    assert (np.diff(found.split_point) >= 0).all()
    assert "memory" in found.binding[0]


def test_a_sweep_goes_on_where_nothing_is_feasible():
    found = sweep(PROFILE, make_fleet(), make_workload(arrival_rate=0.1), "max_delay_seconds", [1e-9, 10.0])
    assert found.split_point[0] == -1
    assert np.isnan(found.delay_seconds[0])
    assert found.binding[0] == ("delay",)
    assert found.split_point[1] > 0


@pytest.mark.parametrize(
    "parameter", ["num_nodes", "bandwidth_bits_per_second", "max_delay_seconds", "max_energy_joules"]
)
def test_more_of_it_never_moves_the_cut_forward(parameter):
    values = {"num_nodes": [1, 2, 5, 30], "max_energy_joules": [121.0, 130.0, 300.0]}.get(
        parameter, [0.05, 0.2, 1e7]
    )
    found = sweep(
        PROFILE, make_fleet(4), make_workload(arrival_rate=5.0, max_delay_seconds=0.5), parameter, values
    )
    assert (np.diff(found.split_point) >= 0).all()


def test_bad_sweeps_are_named():
    with pytest.raises(ValueError, match="unknown sweep parameter 'nodes'"):
        sweep(PROFILE, make_fleet(), EASY, "nodes", [1])
    with pytest.raises(ValueError, match="num_nodes is 0"):
        sweep(PROFILE, make_fleet(), EASY, "num_nodes", [0])
    with pytest.raises(ValueError, match="arrival_rate is -1"):
        sweep(PROFILE, make_fleet(), EASY, "arrival_rate", [-1.0])
    with pytest.raises(ValueError, match="the goal's split_point is 3"):
        sweep(PROFILE, make_fleet(), EASY, "num_nodes", [1], goal=OffloadGoal(split_point=3))


def test_a_larger_fleet_repeats_its_nodes_in_turn():
    fleet = Fleet((make_node("a"), make_node("b")))
    larger = with_num_nodes(fleet, 5)
    assert [node.name for node in larger.nodes] == ["a", "b", "a~1", "b~1", "a~2"]
    assert with_num_nodes(fleet, 1).nodes == fleet.nodes[:1]
    assert larger.coordinator == fleet.coordinator
