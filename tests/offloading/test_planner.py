"""Plans: objectives, forced and infeasible ones, what they say, and laws that hold for every fleet."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs import CodecConfig, CostFormulas
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import Fleet, Link, Workload
from cloudedge_pl.offloading import OffloadGoal, plan_dict, plan_offloading
from cloudedge_pl.offloading.table import DELAY_PARTS, ENERGY_PARTS, cost_table
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


def test_without_tight_limits_everything_runs_at_the_edge():
    profile = make_profile(1, 6)
    plan = plan_offloading(profile, make_fleet(), EASY)
    assert (plan.split_point, plan.name, plan.objective) == (6, "layer6", "deepest")
    assert plan.is_feasible
    assert plan.reasons == ("",) * 7


@pytest.mark.parametrize("end", [0, 6])
def test_an_end_that_is_asked_for_and_excluded_is_refused(end):
    def plan():
        goal = OffloadGoal(exclude_ends=True, split_point=end)
        return plan_offloading(make_profile(1, 6), make_fleet(), EASY, goal=goal)

    with pytest.raises(ValueError, match=f"split_point is {end}, an end, which exclude_ends=true leaves out"):
        plan()


def test_exclude_ends_leaves_a_part_on_either_side():
    profile = make_profile(1, 6)
    assert plan_offloading(profile, make_fleet(), EASY, goal=OffloadGoal(exclude_ends=True)).split_point == 5
    assert plan_offloading(
        profile, make_fleet(), EASY, goal=OffloadGoal(exclude_ends=True, objective="min_upload")
    ).split_point in range(1, 6)
    with pytest.raises(ValueError, match="exclude_ends leaves no split point for objective 'cloud_only'"):
        plan_offloading(
            profile, make_fleet(), EASY, goal=OffloadGoal(exclude_ends=True, objective="cloud_only")
        )


def test_cloud_only_and_edge_only():
    profile = make_profile(1, 6)
    assert (
        plan_offloading(profile, make_fleet(), EASY, goal=OffloadGoal(objective="cloud_only")).split_point
        == 0
    )
    assert (
        plan_offloading(profile, make_fleet(), EASY, goal=OffloadGoal(objective="edge_only")).split_point == 6
    )
    tight = make_fleet(memory_bytes=float(make_profile(1, 6).segment_parameter_bytes.sum()))
    with pytest.raises(InfeasiblePlanError) as error:
        plan_offloading(profile, tight, EASY, goal=OffloadGoal(objective="edge_only"))
    assert "  6 layer6" in str(error.value)
    assert "layer5" not in str(error.value)


def test_a_weight_on_one_criterion_is_that_objective():
    profile, fleet, workload = (
        make_profile(8, 8),
        make_fleet(2),
        make_workload(arrival_rate=0.5, max_delay_seconds=100),
    )
    for criterion, objective in {
        "delay": "min_delay",
        "energy": "min_energy",
        "upload": "min_upload",
    }.items():
        alone = plan_offloading(profile, fleet, workload, goal=OffloadGoal(objective=objective))
        weighted = plan_offloading(
            profile, fleet, workload, goal=OffloadGoal(objective="weighted", weights={criterion: 3.0})
        )
        assert weighted.split_point == alone.split_point


def test_a_forced_split_point_is_taken_and_judged():
    profile = make_profile(1, 6)
    tight = make_fleet(memory_bytes=1000.0)
    plan = plan_offloading(profile, tight, EASY, goal=OffloadGoal(split_point=4))
    assert (plan.split_point, plan.objective, plan.is_feasible) == (4, "forced", False)
    assert "memory" in plan.reasons[4]
    assert plan_offloading(profile, tight, EASY).split_point == 0


@pytest.mark.parametrize("split_point", [-1, 7])
def test_a_split_point_outside_is_refused(split_point):
    with pytest.raises(ValueError, match=r"outside 0\.\.6"):
        plan_offloading(make_profile(1, 6), make_fleet(), EASY, goal=OffloadGoal(split_point=split_point))


def test_reasons_give_value_limit_node_and_excess():
    profile = make_profile(1, 6)
    fleet = Fleet((make_node("big"), make_node("small", memory_bytes=1e6)))
    plan = plan_offloading(profile, fleet, EASY, goal=OffloadGoal(split_point=6))
    needed = plan.costs.memory_bytes[6]
    assert plan.reasons[6].startswith(f"memory {needed / 1e6:.3g} MB > 800 kB on small (over by ")
    assert plan.constraint("memory").slack[6] == pytest.approx(800e3 - needed)


def test_overload_is_named_with_its_utilisation_and_is_never_a_negative_delay():
    profile = make_profile(1, 6)
    busy = make_workload(arrival_rate=1e5, max_delay_seconds=10)
    plan = plan_offloading(profile, make_fleet(2), busy)
    assert plan.split_point == 0
    assert "overload: node-0 would be busy" in plan.reasons[6]
    assert "delay" not in plan.reasons[6]
    assert (plan.costs.delay_seconds >= 0).all()
    assert plan_dict(plan)["split_points"][6]["delay_seconds"] is None


def test_no_feasible_split_point_says_what_is_in_the_way_and_what_to_change():
    profile = make_profile(1, 6)
    with pytest.raises(InfeasiblePlanError) as error:
        plan_offloading(profile, make_fleet(), make_workload(max_delay_seconds=1e-9))
    lines = str(error.value).splitlines()
    assert "no split point of 'random-1' is feasible" in lines[0]
    for index in range(7):
        assert f"{index:3d} {profile.names[index]}" in lines[1 + index]
        assert "delay" in lines[1 + index]
        assert "over by" in lines[1 + index]
    assert "max_delay_seconds of the workload at least" in lines[-1]


def test_what_to_change_does_free_the_split_point():
    profile, fleet = make_profile(1, 6), make_fleet()
    table = cost_table(profile, fleet, make_workload())
    needed = float(table.delay_seconds.min())
    with pytest.raises(InfeasiblePlanError, match=f"frees split point {int(table.delay_seconds.argmin())},"):
        plan_offloading(profile, fleet, make_workload(max_delay_seconds=0.99 * needed))
    plan_offloading(profile, fleet, make_workload(max_delay_seconds=1.01 * needed))


def test_two_broken_limits_are_named_together():
    profile = make_profile(1, 6)
    with pytest.raises(
        InfeasiblePlanError, match=r"max_delay_seconds.* and max_energy_joules.*no single limit"
    ):
        plan_offloading(profile, make_fleet(max_energy_joules=1e-6), make_workload(max_delay_seconds=1e-9))


@pytest.mark.parametrize(
    ("make", "keywords", "message"),
    [
        (
            OffloadGoal,
            {"objective": "min_dely"},
            "unknown offloading objective 'min_dely'. Did you mean 'min_delay'",
        ),
        (OffloadGoal, {"memory_share": 1.5}, r"memory_share is 1.5; it must lie in \(0, 1\]"),
        (OffloadGoal, {"weights": {"dely": 1.0}}, "unknown criterion in weights 'dely'"),
        (OffloadGoal, {"weights": {"delay": 0.0}}, "at least one must be above 0"),
        (OffloadGoal, {"weights": {"delay": -1.0}}, r"weights\['delay'\] is -1.0"),
        (
            OffloadGoal,
            {"split_point": 1.5},
            "offloading: split_point is 1.5; it must be a whole number or null",
        ),
        (
            CostFormulas,
            {"waiting": "mg1"},
            "formulas: waiting is 'mg1'; it must be one of: md1, mm1, mmc, pooled, paper",
        ),
        (
            CostFormulas,
            {"memory": "big"},
            "memory is 'big'; it must be one of: auto, paper, inference, training",
        ),
        (CostFormulas, {"energy": "cubic"}, "energy is 'cubic'; it must be one of: linear, omega"),
        (CostFormulas, {"static_energy": "off"}, "static_energy is 'off'"),
        (CostFormulas, {"shares": "fair"}, "shares is 'fair'"),
        (CostFormulas, {"uplink": "mean"}, "uplink is 'mean'"),
        (CostFormulas, {"delay": "none"}, "delay is 'none'"),
        (CostFormulas, {"omega": -1.0}, "omega is -1.0"),
        (CodecConfig, {"name": "jpeg"}, "unknown codec 'jpeg'"),
        (CodecConfig, {"name": "top_k", "ratio": 0.0}, r"codec: ratio is 0.0; it must lie in \(0, 1\]"),
    ],
)
def test_bad_settings_are_named(make, keywords, message):
    with pytest.raises(ValueError, match=message):
        make(**keywords)


def test_one_queue_needs_like_nodes():
    unlike = Fleet((make_node("a"), make_node("b", flops_per_second=1e9)))
    with pytest.raises(ValueError, match="'mmc' is one queue for nodes of equal speed"):
        plan_offloading(make_profile(), unlike, EASY, formulas=CostFormulas(waiting="mmc"))
    assert plan_offloading(
        make_profile(), make_fleet(4), EASY, formulas=CostFormulas(waiting="mmc")
    ).is_feasible


def test_the_papers_options_are_its_printed_forms():
    profile, fleet = make_profile(1, 6), make_fleet(2)
    plan = plan_offloading(profile, fleet, EASY, formulas=CostFormulas.paper())
    assert (plan.costs.delay_parts["cloud"] == 0).all()
    np.testing.assert_allclose(
        plan.costs.memory_bytes,
        4 * profile.cumulative("segment_weights") + profile.cumulative("segment_map_bytes"),
    )


def test_plan_as_json_has_every_split_point():
    plan = plan_offloading(make_profile(1, 6), make_fleet(), make_workload(max_delay_seconds=float("inf")))
    content = json.loads(json.dumps(plan_dict(plan), allow_nan=False))
    assert content["split_point"] == plan.split_point
    assert content["workload"]["max_delay_seconds"] is None
    assert [point["index"] for point in content["split_points"]] == list(range(7))
    for point in content["split_points"]:
        assert set(point["slack"]) == {"memory", "master_memory", "load", "delay", "energy"}
        assert sum(point["delay_parts_seconds"].values()) == pytest.approx(point["delay_seconds"])
        assert sum(point["energy_parts_joules"].values()) == pytest.approx(point["energy_joules"])


@settings(max_examples=100)
@given(profiles(), fleets(), workloads())
def test_parts_make_the_whole_and_shares_make_one(profile, fleet, workload):
    table = cost_table(profile, fleet, workload)
    np.testing.assert_allclose(table.node_shares.sum(axis=0), 1)
    np.testing.assert_allclose(
        np.sum([table.delay_parts[part] for part in DELAY_PARTS], axis=0), table.delay_seconds
    )
    np.testing.assert_allclose(
        np.sum([table.node_energy_parts[part] for part in ENERGY_PARTS], axis=0).sum(axis=0),
        table.energy_joules * workload.arrival_rate * workload.window_seconds,
    )
    spread = table.node_utilisation.max(axis=0) - table.node_utilisation.min(axis=0)
    np.testing.assert_allclose(spread, 0, atol=1e-9 * (1 + table.node_utilisation.max()))


@settings(max_examples=150)
@given(
    profiles(), fleets(like=True), workloads(), st.integers(1, 20), st.sampled_from(["powered", "occupied"])
)
def test_more_like_nodes_never_move_the_cut_forward(profile, fleet, workload, more, static_energy):
    """Table 1's trend as a law: with M/M/1 queues and like nodes the position moves back, or stays."""
    node = fleet.nodes[0]

    def deepest(num_nodes: int) -> int:
        members = tuple(replace(node, name=f"node-{index}") for index in range(num_nodes))
        many = replace(fleet, nodes=members, master=fleet.coordinator)
        try:
            return plan_offloading(
                profile, many, workload, formulas=CostFormulas(waiting="mm1", static_energy=static_energy)
            ).split_point
        except InfeasiblePlanError:
            return -1

    few = fleet.num_nodes
    assert deepest(few) <= deepest(few + more)


@settings(max_examples=100)
@given(profiles(), fleets(), workloads(), st.floats(1, 10))
def test_relaxing_a_limit_never_moves_the_cut_forward(profile, fleet, workload, factor):
    def deepest(some_fleet: Fleet, some_workload: Workload) -> int:
        try:
            return plan_offloading(profile, some_fleet, some_workload).split_point
        except InfeasiblePlanError:
            return -1

    at_first = deepest(fleet, workload)
    roomier = replace(
        fleet,
        nodes=tuple(replace(node, memory_bytes=factor * node.memory_bytes) for node in fleet.nodes),
        master=replace(fleet.coordinator, memory_bytes=factor * fleet.coordinator.memory_bytes),
    )
    richer = replace(
        fleet,
        nodes=tuple(replace(node, max_energy_joules=factor * node.max_energy_joules) for node in fleet.nodes),
    )
    quicker = replace(
        fleet,
        link=replace(fleet.link, bandwidth_bits_per_second=factor * fleet.link.bandwidth_bits_per_second),
    )
    patient = replace(workload, max_delay_seconds=factor * workload.max_delay_seconds)
    for changed in (deepest(roomier, workload), deepest(richer, workload), deepest(fleet, patient)):
        assert changed >= at_first
    assert deepest(quicker, workload) >= at_first


def test_the_limits_of_unlike_nodes_are_the_weakest_ones():
    profile = make_profile(1, 6)
    weak = make_node("weak", memory_bytes=5e6, throughput_bits_per_second=1e5, max_energy_joules=50.0)
    strong = make_node("strong", memory_bytes=5e9, throughput_bits_per_second=1e9, max_energy_joules=5e3)
    fleet = Fleet((strong, weak), link=Link(bandwidth_bits_per_second=1e9))
    plan = plan_offloading(profile, fleet, EASY, goal=OffloadGoal(split_point=3))
    assert plan.constraint("memory").limit[3] == pytest.approx(4e6)
    assert plan.constraint("memory").where[3] == "weak"
    assert plan.constraint("delay").where[3] == "weak"
    assert plan.constraint("energy").where[3] == "weak"
    assert plan.constraint("energy").limit[3] == 50


def test_a_node_without_a_budget_is_not_the_tightest():
    busy = make_node("busy", busy_watts=50.0)
    thrifty = make_node("thrifty", max_energy_joules=1e4)
    plan = plan_offloading(make_profile(1, 6), Fleet((busy, thrifty)), EASY)
    assert plan.constraint("energy").where == ("thrifty",) * 7
    free = plan_offloading(make_profile(1, 6), Fleet((make_node("other"), busy)), EASY)
    assert free.constraint("energy").limit[6] == np.inf
    assert free.constraint("energy").pressure[6] == 0


def test_the_masters_memory_limits_the_exit_head():
    profile = make_profile(1, 6)
    small = make_node("boss", memory_bytes=1000.0)
    plan = plan_offloading(profile, Fleet((make_node(),), master=small), EASY)
    assert plan.split_point == 0
    assert "exit head and edge part" in plan.reasons[3]
    assert "on boss" in plan.reasons[3]


def test_a_plan_that_cuts_nothing_says_so_and_how_to_cut():
    profile, fleet = make_profile(1, 6), make_fleet()
    notes = [plan_offloading(profile, fleet, EASY, goal=OffloadGoal(split_point=at)).uncut for at in range(7)]
    assert "split point 0 of 0..6 cuts nothing: the whole network runs in the cloud" in notes[0]
    assert "runs at the edge" in notes[6]
    assert all("exclude_ends" in note for note in (notes[0], notes[6]))
    assert notes[1:6] == [""] * 5


def test_pickle_and_copy():
    import copy
    import pickle

    plan = plan_offloading(make_profile(1, 6), make_fleet(), EASY)
    for twin in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert plan_dict(twin) == plan_dict(plan)


@pytest.mark.parametrize("objective", ["deepest", "min_delay", "min_upload"])
def test_every_plan_is_plain_json(objective):
    import json

    profile, fleet = make_profile(1, 6), make_fleet()
    for split_point in (None, *range(7)):
        plan = plan_offloading(
            profile, fleet, EASY, goal=OffloadGoal(split_point=split_point, objective=objective)
        )
        assert json.loads(json.dumps(plan_dict(plan)))["split_point"] == plan.split_point
