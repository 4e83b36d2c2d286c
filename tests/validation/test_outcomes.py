"""The comparison: deviations by hand, and reasons by what else differs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cloudedge_pl.validation.outcomes import Comparison, Outcome, percentiles, shares

REAL = Outcome(
    requests=100,
    failed=1,
    median_seconds=0.2,
    p95_seconds=0.5,
    uploaded_bytes=2000.0,
    share_asleep=0.1,
    by_node={"node-0": 0.7, "node-1": 0.3},
    by_path={"cloud": 0.9, "exit": 0.1},
)


def compared(**changes: object) -> Comparison:
    return Comparison(condition="busy", arrival_rate=10.0, real=REAL, simulated=replace(REAL, **changes))  # type: ignore[arg-type]


def test_deviations_are_shares_of_what_was_measured() -> None:
    found = compared(median_seconds=0.19, p95_seconds=0.62)
    assert found.median_deviation == pytest.approx(-0.05)
    assert found.p95_deviation == pytest.approx(0.24)
    assert not found.within_aim
    assert compared(median_seconds=0.219, p95_seconds=0.41).within_aim
    assert not compared(median_seconds=0.221).within_aim


def test_reasons_follow_from_what_else_differs() -> None:
    assert compared().reasons() == []
    (nodes,) = compared(by_node={"node-0": 1.0}).reasons()
    assert nodes.startswith("Nodes get other shares")
    (paths,) = compared(by_path={"cloud": 1.0}).reasons()
    assert paths.startswith("Exit head and cloud")
    (rest,) = compared(median_seconds=0.1).reasons()
    assert rest.startswith("Who answers is the same")


def test_row_and_dict_have_both_sides() -> None:
    row = compared(median_seconds=0.1).row()
    assert (row["real_median_seconds"], row["simulated_median_seconds"]) == (0.2, 0.1)
    assert row["failed"] == 1
    whole = compared().to_dict()
    assert whole["real"] == whole["simulated"]
    assert whole["within_aim"]


def test_percentiles_and_shares() -> None:
    assert percentiles(np.arange(1.0, 102.0)) == (51.0, 96.0)
    assert math.isnan(percentiles(np.zeros(0))[0])
    assert shares(["b", "a", "a", "a"]) == {"a": 0.75, "b": 0.25}
    assert shares([]) == {}
