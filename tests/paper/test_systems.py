"""Table 2: rows that are those of the simulator, and verdicts on nodes, BranchyNet and MASM."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.paper import systems
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.runs import Point, run
from cloudedge_pl.paper.systems import declines, measure_table2
from cloudedge_pl.systems import PRESETS
from tests.paper.networks import flip, paper_setting, verdict


@pytest.fixture(scope="module")
def result() -> PartResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "RATES", (5.0, 20.0))
        patch.setattr(systems, "LOADS", (10.0, 40.0))
        patch.setattr(systems, "VARIATIONS", (0.0, 1.0))
        patch.setattr(systems, "SHARES", (0.0, 0.3, 0.8))
        setting = paper_setting(num_tasks=400, seeds=2, measure_picture=lambda codec, size: 12_000.0)
        return measure_table2(setting, Report())


def rows(result: PartResult) -> dict[str, dict]:
    table = result.tables["systems"]
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
    return {row["system"]: row for row in found}


def test_there_is_a_row_for_each_fleet_and_each_system(result):
    titles = [name for name, system in PRESETS.items() if f"{system.title}, 10 nodes" in rows(result)]
    assert titles == list(PRESETS)
    assert {"ours, 20 nodes", "ours, 30 nodes"} <= rows(result).keys()


def test_rows_are_means_over_the_repetitions_of_the_simulator(result):
    setting = paper_setting(num_tasks=400)
    found = [
        run(setting, PRESETS["branchynet"], Point(num_nodes=10).cut_at(13), repetition=each)
        for each in (0, 1)
    ]
    row = rows(result)["BranchyNet, 10 nodes"]
    assert row["delay_seconds"] == pytest.approx(np.mean([each.result.mean_delay_seconds for each in found]))
    assert row["energy_joules"] == pytest.approx(np.mean([each.result.mean_energy_joules for each in found]))
    assert row["occupied_joules"] == pytest.approx(np.mean([each.occupied_joules for each in found]))
    assert row["least_delay_seconds"] == min(each.result.mean_delay_seconds for each in found)
    assert row["split_point"] == 13


def test_meanings_of_energy_differ_as_they_must(result):
    ours = [rows(result)[f"ours, {nodes} nodes{cut}"] for nodes, cut in ((10, ""), (20, ", cut at 13"))]
    few, many = ours
    assert many["energy_joules"] > few["energy_joules"]  # twice as many nodes draw idle power
    assert many["active_joules"] == pytest.approx(few["active_joules"], rel=0.01)  # the work is the same
    assert many["occupied_joules"] <= few["occupied_joules"]  # tasks wait less


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, 2.0, 1.0), True),
        ((3.0, 2.0, 2.0), True),
        ((3.0, 3.0, 3.0), False),
        ((3.0, 2.0, 2.5), False),
        ((3.0, 2.999, 2.998), False),
        ((float("nan"),), False),
    ],
)
def test_a_decline_has_no_step_up_and_ends_lower(values, expected):
    assert declines(values) is expected


def test_energy_with_idle_power_rises_with_the_nodes(result):
    found = verdict(result, "all that the machines draw")
    assert not any(flip(found, "cut").holds)
    numbers = found.numbers
    assert (
        numbers["10_nodes_joules_same_cut"]
        < numbers["20_nodes_joules_same_cut"]
        < numbers["30_nodes_joules_same_cut"]
    )


def test_more_exits_make_branchynet_faster_than_ours(result):
    found = verdict(result, "sooner than BranchyNet")
    along = flip(found, "share of BranchyNet's tasks that exit")
    assert along.tried == (0.0, 0.3, 0.8)
    assert list(along.holds) == sorted(along.holds, reverse=True)
    assert not along.holds[-1]
    strict = flip(verdict(result, "sooner than MASM"), "share of MASM's tasks that need the cloud")
    assert list(strict.holds) == sorted(strict.holds)
