"""The systems to compare: every one can be built and run, and each changes what it says and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.dormancy import DormancyRule, DormancyState
from cloudedge_pl.fleet import Fleet, Link
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.scheduling.lists import RoundRobin, WorkStealing
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.task_records import CLOUD, EARLY_EXIT, EDGE, EXIT_ASLEEP
from cloudedge_pl.simulation.tasks import Tasks
from cloudedge_pl.systems import (
    PRESETS,
    BargainingBalancer,
    LeastCost,
    Setting,
    System,
    WeightedTransmission,
    build_system,
)
from tests.offloading.cases import make_profile, make_workload

JPEG_BYTES = 77.0


def setting(**changes: Any) -> Setting:
    values: dict[str, Any] = {
        "profile": make_profile(),
        "fleet": Fleet.preset(num_nodes=4, link=Link(variation=0.6), memory_bytes=None),
        "workload": make_workload(),
        "num_classes": 10,
        "goal": OffloadGoal(split_point=2),
        "make_scheduler": RoundRobin,
        "measure_picture": lambda codec: JPEG_BYTES,
    }
    return Setting(**values | changes)


def run(name: str, num_tasks: int = 200, **changes: Any) -> np.ndarray:
    """The paths of tasks of which the exit head is sure of every other one."""
    built = build_system(PRESETS[name], setting(**changes))
    engine = Engine(
        built.costs, built.plan.fleet, built.scheduler, dormancy=built.dormancy, exits=built.system.may_exit
    )
    tasks = Tasks.equal(num_tasks, np.arange(num_tasks) / 5)
    engine.feed(replace(tasks, exits=np.arange(num_tasks) % 2), final=True)
    engine.run()
    return engine.take_records().path


WHO_ANSWERS = {
    "ours": {CLOUD, EXIT_ASLEEP},
    "ours_exits": {CLOUD, EXIT_ASLEEP, EARLY_EXIT},
    "ours_awake": {CLOUD},
    "cloud_raw": {CLOUD},
    "cloud_jpeg": {CLOUD},
    "edge_only": {EDGE},
    "branchynet": {CLOUD, EARLY_EXIT},
    "ddnn": {CLOUD, EARLY_EXIT},
    "masm": {CLOUD, EXIT_ASLEEP},
    "work_stealing": {CLOUD},
    "gws": {CLOUD},
    "transmission_aware": {CLOUD, EXIT_ASLEEP},
}


@pytest.mark.parametrize("name", WHO_ANSWERS)
def test_who_answers_in_each_system(name):
    paths = run(name)
    assert len(paths) == 200
    assert set(paths.tolist()) == WHO_ANSWERS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_system_says_where_it_is_from_and_what_deviates(name):
    system = PRESETS[name]
    assert all((system.title, system.source, system.deviates))
    assert build_system(system, setting()).plan.workload.phase == "inference"


def test_titles_are_unique():
    assert len({system.title for system in PRESETS.values()}) == len(PRESETS)


def test_cuts_are_the_given_one_the_ends_or_an_objectives():
    found = {name: build_system(system, setting()).plan for name, system in PRESETS.items()}
    assert found["ours"].split_point == found["branchynet"].split_point == 2
    assert found["cloud_raw"].split_point == found["cloud_jpeg"].split_point == 0
    assert found["edge_only"].split_point == 5
    for name, values in (("delay", "delay_seconds"), ("energy", "energy_joules")):
        plan = found[f"neurosurgeon_{name}"]
        costs = getattr(plan.costs, values)
        assert costs[plan.split_point] == costs[plan.feasible].min()


def test_the_ends_may_be_taken_although_a_goal_excludes_them():
    goal = OffloadGoal(exclude_ends=True)
    assert build_system(PRESETS["edge_only"], setting(goal=goal)).plan.split_point == 5


def test_pictures_are_sent_raw_or_as_measured():
    raw, jpeg = (build_system(PRESETS[name], setting()) for name in ("cloud_raw", "cloud_jpeg"))
    assert raw.costs.upload_bytes == 3 * 8 * 8
    assert jpeg.costs.upload_bytes == JPEG_BYTES


def test_raw_pictures_have_their_own_bytes_where_a_workload_knows_those_of_a_jpeg():
    given = setting(workload=make_workload(picture_bytes=50.0), measure_picture=None)
    assert build_system(PRESETS["cloud_jpeg"], given).costs.upload_bytes == 50.0
    assert build_system(PRESETS["cloud_raw"], given).costs.upload_bytes == 192.0


def test_jpeg_without_pictures_or_bytes_says_what_to_give():
    with pytest.raises(ValueError, match="picture_bytes"):
        build_system(PRESETS["cloud_jpeg"], setting(measure_picture=None))


def test_schedulers_are_the_given_one_or_the_systems():
    assert type(build_system(PRESETS["ours"], setting()).scheduler) is RoundRobin
    assert type(build_system(PRESETS["work_stealing"], setting()).scheduler) is WorkStealing
    balancer = build_system(PRESETS["gws"], setting()).scheduler
    assert isinstance(balancer, BargainingBalancer)
    assert balancer.arrival_rate == make_workload().arrival_rate


def test_a_system_gets_a_scheduler_of_its_own():
    here = setting()
    first, second = (build_system(PRESETS["ours"], here).scheduler for _ in range(2))
    assert first is not second


def test_the_rule_is_that_of_the_setting_where_the_cloud_sleeps():
    rule = DormancyRule(mode="paper")
    assert build_system(PRESETS["ours"], setting(dormancy=rule)).dormancy is rule
    assert build_system(PRESETS["ours_awake"], setting(dormancy=rule)).dormancy is None


def test_ddnn_has_its_exit_head_on_every_node_and_sends_scores():
    ours, ddnn = (build_system(PRESETS[name], setting()) for name in ("ours", "ddnn"))
    profile, nodes = ours.plan.profile, ours.plan.fleet.nodes
    head = [
        max(
            profile.exit_flops[2] / node.effective_flops_per_second,
            (profile.exit_parameter_bytes[2] + profile.exit_activation_bytes[2] + profile.cut_bytes[2])
            / node.memory_bandwidth_bytes_per_second,
        )
        for node in nodes
    ]
    np.testing.assert_allclose(ddnn.costs.execution_seconds - ours.costs.execution_seconds, head, rtol=1e-9)
    assert ddnn.costs.exit_upload_bytes == 40.0
    assert 0 < ddnn.costs.exit_seconds < ours.costs.exit_seconds
    assert ddnn.costs.upload_bytes == ours.costs.upload_bytes


def decisions(service: Any, gap: float, delays: list[float]) -> list[bool]:
    built = build_system(System(title="x", service=service), setting(accuracy_gap=gap))
    state, found = DormancyState(), []
    for delay in delays:
        state = built.dormancy(state, delay)
        found.append(state.awake)
    return found


def test_weighted_transmission_goes_to_the_cloud_while_accuracy_is_worth_the_time():
    built = build_system(PRESETS["ours"], setting())
    nodes, master = built.plan.fleet.nodes, built.plan.fleet.coordinator
    to_master = np.mean(
        [
            8
            * built.costs.exit_upload_bytes
            / min(n.throughput_bits_per_second, master.throughput_bits_per_second)
            for n in nodes
        ]
    )
    limit = float(to_master) + 2.0 * 0.05
    found = decisions(
        WeightedTransmission(seconds_per_accuracy=2.0), 0.05, [0.999 * limit, 1.001 * limit, np.inf]
    )
    assert found == [True, False, False]


def test_least_cost_gives_strict_tasks_to_the_cloud_and_others_to_the_cheaper_side():
    slow = [10.0] * 2000
    assert not any(decisions(LeastCost(strict_share=0.0), 0.1, slow))
    assert all(decisions(LeastCost(strict_share=1.0), 0.1, slow))
    assert np.mean(decisions(LeastCost(strict_share=0.3), 0.1, slow)) == pytest.approx(0.3, abs=0.04)
    assert all(decisions(LeastCost(strict_share=0.0, energy_weight=0.0), 0.1, [0.0]))


def test_least_cost_never_needs_a_cloud_that_is_not_more_accurate():
    assert not any(decisions(LeastCost(strict_share=1.0), 0.0, [10.0] * 10))


def test_least_cost_weighs_joules():
    built = build_system(PRESETS["ours"], setting())
    fast = [
        built.costs.exit_seconds / 2 - built.costs.cloud_seconds
    ]  # the cloud is faster, and its radio dearer
    seconds_only = LeastCost(strict_share=0.0, energy_weight=0.0)
    joules_only = LeastCost(strict_share=0.0, delay_weight=0.0, energy_weight=1.0)
    assert decisions(seconds_only, 0.1, fast) == [True]
    radio = 8 * built.costs.upload_bytes / 1e6 * 0.5
    master = built.plan.fleet.coordinator
    to_master = 8 * built.costs.exit_upload_bytes / 100e6 * 0.5
    exit_joules = built.costs.exit_seconds * (master.busy_watts - master.idle_watts) + to_master
    assert decisions(joules_only, 0.1, fast) == [radio <= exit_joules]


def test_a_comparison_is_of_inference():
    with pytest.raises(ValueError, match="workload=inference"):
        setting(workload=make_workload(phase="training"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cut": "middle"}, "cut of a system"),
        ({"exits": "sometimes"}, "exit policy"),
        ({"exit_method": "best"}, "method of calibration"),
        ({"scheduler": "fastest"}, "scheduler"),
        ({"input_codec": "png"}, "input codec"),
        ({"sleeps": True, "service": LeastCost()}, "one of them"),
    ],
)
def test_systems_refuse_what_they_do_not_know(changes, words):
    with pytest.raises(ValueError, match=words):
        System(title="x", **changes)


@pytest.mark.parametrize("values", [{"strict_share": 1.5}, {"delay_weight": -1.0}, {"seed": -1}])
def test_least_cost_refuses_values_outside_their_range(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        LeastCost(**values)
