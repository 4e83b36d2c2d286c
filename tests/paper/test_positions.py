"""Table 1: the positions, and where the claim about them ends."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.memory import edge_memory_bytes
from cloudedge_pl.offloading import plan_offloading
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.positions import (
    NONE,
    moves_back,
    never_forward,
    paper_conditions,
    positions,
    waiting_variants,
    with_last_node,
)
from cloudedge_pl.paper.verdict import CONDITIONAL
from tests.paper.networks import flip, measured, paper_setting, resnet, tiny_setting, verdict


@pytest.mark.parametrize(
    ("waiting", "expected"), [("mm1", [11, 19, 25]), ("md1", [13, 23, 31]), ("printed", [16, 32, 34])]
)
def test_the_position_moves_back_with_more_nodes(waiting, expected):
    formulas = CostFormulas.paper() if waiting == "printed" else CostFormulas(waiting=waiting)
    setting = paper_setting(profile=resnet(num_classes=1000))
    assert positions(setting, replace(paper_conditions(setting), formulas=formulas)) == expected


def test_the_table_holds_the_positions_of_the_plans():
    columns = measured("table1").tables["positions"].columns
    rows = dict(zip(zip(columns["waiting"], columns["nodes"], strict=True), columns["position"], strict=True))
    assert [rows["M/D/1", count] for count in (10, 20, 30)] == [13, 23, 31]
    assert "13, 23 and 31 (M/D/1)" in measured("table1").verdicts[0].measured


def test_the_claim_ends_where_a_joining_node_cannot_hold_the_ten_nodes_part():
    """The smallest memory limits all nodes: it must be 1 / 0.8 of what ten nodes run, or the position moves forward."""
    memory = edge_memory_bytes(resnet(), paper_setting().workload)
    found = flip(verdict(measured("table1"), "never moves forward"), "memory of one node that joins")
    ((least, _),) = found.holds_in
    assert least - 0.1 < memory[13] / 0.8 / 1e6 <= least


def test_a_fleet_of_like_nodes_never_has_its_position_further_in_front():
    weaker = verdict(measured("table1"), "never moves forward")
    for axis in ("link rate", "arrival rate", "longest delay allowed", "memory of every node", "formulas"):
        assert all(flip(weaker, axis).holds)


def test_both_claims_hold_under_conditions():
    assert {each.state for each in measured("table1").verdicts} == {CONDITIONAL}


@pytest.mark.parametrize(
    ("found", "back", "forward"),
    [
        ([NONE, 3, 5], True, False),
        ([3, 3, 5], True, False),
        ([5, 5, 5], False, False),
        ([3, 7, 5], False, True),
        ([NONE, NONE], False, False),
    ],
)
def test_no_position_counts_as_the_one_before_all_others(found, back, forward):
    assert moves_back(found) == back
    assert never_forward(found) != forward


def test_the_last_node_joins_larger_fleets_only():
    setting = paper_setting()
    fleet = with_last_node(paper_conditions(setting).fleet, 10, memory_bytes=1e6)
    assert fleet(10) == setting.fleet(num_nodes=10, variation=0.0)
    memories = fleet(20).array("memory_bytes", with_master=True)
    assert memories.tolist() == [4e9] * 19 + [1e6, 4e9]


def test_the_formulas_of_the_setting_are_compared():
    assert list(waiting_variants(CostFormulas())) == ["M/D/1", "M/M/1", "all formulas as printed"]
    pooled = CostFormulas(waiting="pooled")
    assert waiting_variants(pooled)["as configured"] == pooled


def test_limits_that_nothing_keeps_leave_no_position():
    workload = replace(paper_setting().workload, max_delay_seconds=1e-6)
    result = PARTS["table1"].measure(tiny_setting(workload=workload), Report())
    assert set(result.tables["positions"].columns["position"]) == {NONE}
    assert "none, none and none" in result.verdicts[0].measured


def test_the_commands_of_a_user_find_the_same_positions():
    """Composed as typed, so a renamed key shows here."""
    expected = {"fleet.num_nodes=20": 23, "waiting=mm1": 19, "formulas=paper": 32}
    commands = measured("table1").commands
    assert len(commands) == len(expected)
    for command, (ending, position) in zip(commands, expected.items(), strict=True):
        assert command.endswith(ending)
        _, _, *overrides = shlex.split(command)
        with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
            cfg = compose("plan", overrides)
        assert list(cfg.input_shape) == [3, 224, 224]
        plan = plan_offloading(
            resnet(),
            instantiate(cfg.fleet),
            instantiate(cfg.workload),
            formulas=instantiate(cfg.formulas),
            codec=instantiate(cfg.codec),
        )
        assert plan.split_point == position
