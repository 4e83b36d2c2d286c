"""The scheduling benchmark prints what it says it prints, and its bound and peers are right."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.scheduling import schedule
from cloudedge_pl.scheduling.families import generate

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "schedule.py"))
COLUMNS = {"family", "tasks", "nodes", "scheduler", "seed", "seconds", "makespan", "lower_bound", "ratio"}


def test_json_has_a_row_for_every_call(capsys):
    schedulers = ["atsa", "aco", "pso", "lpt"]
    BENCHMARK["main"](["--json", "--sizes", "12x3", "--seeds", "2", "--schedulers", *schedulers])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 4 * 2 * 4
    for row in rows:
        assert row.keys() >= COLUMNS
        assert row["ratio"] == pytest.approx(row["makespan"] / row["lower_bound"])
        assert row["ratio"] >= 1 - 1e-9
        assert row["seconds"] > 0
        if row["scheduler"] == "atsa":
            assert row["evaluations_to_aco"] is None or row["evaluations_to_aco"] >= 1
    identical = [row for row in rows if row["family"] == "identical" and row["scheduler"] == "atsa"]
    assert [row["ratio"] for row in identical] == [1.0, 1.0]


def test_the_lp_bound_lies_between_the_mean_load_and_the_optimum():
    times = generate("unrelated", 9, 3, seed=1)
    bound = BENCHMARK["lp_bound"](times)
    assert bound >= times.min(axis=1).sum() / 3 - 1e-9
    assert bound <= schedule(times, "exact").makespan_seconds + 1e-9


@pytest.mark.parametrize(("peer", "package"), [("cp_sat", "ortools"), ("mealpy_ga", "mealpy")])
def test_peers_return_a_schedule_no_better_than_the_optimum(peer, package):
    pytest.importorskip(package)
    times = generate("correlated", 8, 3, seed=2)
    best = schedule(times, "exact").makespan_seconds
    (answer,) = BENCHMARK["PEERS"][peer][1](times, [1.0], 0)
    assert answer[0] == 1.0
    assert np.isfinite(answer[1])
    assert answer[1] >= best * (1 - 1e-6)
    if peer == "cp_sat":
        assert answer[1] <= best * (1 + 1e-4)
