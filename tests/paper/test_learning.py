"""Fig. 9: verdicts on synthetic curves, whose answers are known, and what the part leaves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.paper.learning import (
    CLAIMED_SHARE,
    PAPER_EPOCHS,
    better_than_branchynet,
    compare_learning,
    same_as_plain,
)
from cloudedge_pl.paper.part import PartResult
from cloudedge_pl.paper.verdict import CONDITIONAL, FAILS, HOLDS
from cloudedge_pl.reports.paper.learning import save_learning
from tests.paper.learning_cases import BRANCHYNET, OURS, PLAIN, STEPS, Curves, curve, curves, plan

FALLING = 0.9 * np.exp(-STEPS / 20) + 0.02


def flips(verdict: object) -> dict[str, object]:
    return {flip.axis: flip for flip in verdict.flips}


def test_thirty_of_the_papers_epochs_are_less_than_a_fifth_of_its_training() -> None:
    assert pytest.approx(64_000 / (50_000 / 128)) == PAPER_EPOCHS
    assert pytest.approx(30 * 50_000 / 128 / 64_000) == CLAIMED_SHARE


def test_equal_curves_have_the_same_error_and_none_is_better() -> None:
    found = curves(FALLING, FALLING, FALLING, spread=(0.0, 0.0, 0.0))
    same = same_as_plain(found, plan())
    assert same.numbers["largest_difference_points"] == pytest.approx(0)
    assert same.numbers["same_from_share_percent"] == pytest.approx(5)  # from the first validation on
    assert flips(same)["answers of"].holds == (
        True,
        True,
        False,
    )  # the exit head is wrong more often by 5 points
    assert same.state == CONDITIONAL
    assert better_than_branchynet(found).state == FAILS


def test_the_error_is_the_same_from_where_no_later_difference_is_above_the_margin() -> None:
    more = np.where(STEPS == 64, 0.03, np.where(STEPS == 120, 0.02, 0.0))  # at 40% and at 75% of the training
    found = same_as_plain(curves(FALLING + more, FALLING, FALLING), plan(margin_share=0.01))
    assert found.numbers["same_from_share_percent"] == pytest.approx(80)
    assert found.numbers["largest_difference_points"] == pytest.approx(3)
    assert flips(found)["share of the training"].holds_in == ((80.0, 100.0),)
    margins = flips(found)["margin"]
    assert margins.holds_in[0][0] == pytest.approx(3, abs=0.011)  # the exact margin is one of those tried
    assert found.state == CONDITIONAL
    assert "at every validation at most 3.0 points above" in found.measured


def test_no_margin_makes_a_large_difference_none() -> None:
    found = same_as_plain(curves(FALLING + 0.3, FALLING, FALLING + 0.001), plan())
    assert flips(found)["margin"].tried == (0, 0.25, 0.5, 1, 2, 5)
    assert not any(flips(found)["margin"].holds)


def test_what_happens_before_the_papers_30_epochs_does_not_count() -> None:
    more = np.where(STEPS / STEPS[-1] < CLAIMED_SHARE, 0.3, 0.0)
    found = same_as_plain(curves(FALLING + more, FALLING, FALLING), plan())
    assert found.numbers["largest_difference_points"] == pytest.approx(0)
    assert flips(found)["share of the training"].changes is False
    assert flips(found)["share of the training"].tried[0] == 20


def test_an_error_that_stays_above_is_not_the_same() -> None:
    found = same_as_plain(curves(FALLING + 0.6, FALLING, FALLING, spread=(0.0, 0.01)), plan())
    assert found.state == FAILS or not any(flips(found)["share of the training"].holds)
    assert math.isnan(found.numbers["same_from_share_percent"])
    assert found.numbers["final_difference_points"] == pytest.approx(60.5)


def test_the_difference_that_dormancy_makes_is_told_by_branchynets_cloud_path() -> None:
    found = same_as_plain(curves(FALLING + 0.1, FALLING, FALLING), plan())
    cloud = flips(found)["state of the cloud"]
    assert dict(zip(cloud.tried, cloud.holds, strict=True)) == {
        "asleep by the rule": False,
        "always awake": True,
    }


def test_better_needs_an_interval_below_zero() -> None:
    near, far = (-0.004, 0.002, -0.003), (-0.04, -0.045, -0.035)
    assert better_than_branchynet(curves(FALLING, FALLING, FALLING, near)).state == FAILS
    better = better_than_branchynet(curves(FALLING, FALLING, FALLING, far))
    assert better.state == HOLDS
    half = 4.303 * 0.5 / math.sqrt(3)  # Student's quantile for three pairs, spread of 0.5 points
    assert better.numbers["final_difference_points"] == pytest.approx(-4)
    assert better.numbers["final_difference_high_points"] == pytest.approx(-4 + half, rel=1e-3)


def test_better_at_the_end_only_holds_under_that_condition() -> None:
    less = np.where(STEPS > 120, -0.01, 0.01)
    found = better_than_branchynet(curves(FALLING + less, FALLING, FALLING, (0.0, 0.001, -0.001)))
    assert found.state == CONDITIONAL
    parts = flips(found)["part of the training"]
    assert dict(zip(parts.tried, parts.holds, strict=True)) == {
        "first half": False,
        "third quarter": False,
        "last quarter": True,
    }


def test_one_seed_shows_no_difference() -> None:
    found = better_than_branchynet(curves(FALLING - 0.01, FALLING, FALLING))
    assert found.state == FAILS
    assert "one seed shows no spread" in found.measured


def test_the_tables_hold_every_run_and_survive_json() -> None:
    found = compare_learning(
        curves(FALLING, FALLING + 0.01, FALLING, (0.0, 0.01, 0.02)), plan(), ["cloudedge train seed=0"]
    )
    again = PartResult.from_json(found.to_json())
    assert again.files("fig9") == {
        "errors": "fig9.csv",
        "curves": "fig9_curves.csv",
        "differences": "fig9_differences.csv",
    }
    assert again.tables["curves"].num_rows == 3 * 3 * len(STEPS)
    assert again.tables["differences"].num_rows == 2 * len(STEPS)
    errors = again.tables["errors"].columns
    assert errors["system"] == ("collaborative",) * 3 + ("BranchyNet",) * 3 + ("plain ResNet-34",)
    ours = 0.01 + np.mean(FALLING[STEPS > 120])
    assert errors["error_share"][0] == pytest.approx(ours)
    assert errors["lowest_seed_share"][0] == pytest.approx(ours - 0.01)
    assert errors["highest_seed_share"][0] == pytest.approx(ours + 0.01)
    assert again.commands == ("cloudedge train seed=0",)


@pytest.mark.parametrize("spread", [(0.0,), (0.0, 0.01, 0.02)])
def test_it_is_drawn_from_the_tables(tmp_path: Path, spread: tuple[float, ...]) -> None:
    errors = np.where(STEPS == 160, 0.0, FALLING)  # no error at all has no place on a logarithmic axis
    found = compare_learning(curves(FALLING, errors, FALLING, spread), plan(), [])
    path = save_learning(PartResult.from_json(found.to_json()), tmp_path / "fig9.png")
    assert path.stat().st_size > 10_000


def test_a_single_validation_is_enough() -> None:
    one = np.array([1])
    short = Curves.of([curve(system, 0, np.array([0.9]), one) for system in (OURS, BRANCHYNET, PLAIN)])
    found = compare_learning(short, plan(seeds=1), [])
    assert found.verdicts[0].numbers["largest_difference_points"] == 0
    assert "dry run" in found.notes[0]
