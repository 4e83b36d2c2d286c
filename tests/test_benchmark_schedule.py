"""The scheduling benchmark prints what it says it prints, and its bound and peers are right."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.scheduling import schedule
from cloudedge_pl.scheduling.families import FAMILIES, MEMORY_BINDS, generate, generate_window

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "schedule.py"))
COLUMNS = {"family", "tasks", "nodes", "scheduler", "seed", "seconds", "makespan", "lower_bound", "ratio"}


def test_json_has_a_row_for_every_call(capsys):
    schedulers = ["atsa", "aco", "pso", "lpt"]
    BENCHMARK["main"](["--json", "--sizes", "12x3", "--seeds", "2", "--schedulers", *schedulers])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = {(family, seed, name) for family in FAMILIES for seed in range(2) for name in schedulers}
    missing = expected - {(row["family"], row["seed"], row["scheduler"]) for row in rows}
    assert all(family in MEMORY_BINDS and name != "atsa" for family, _, name in missing)  # no packing found
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


@pytest.mark.parametrize(
    ("peer", "package"), [("cp_sat", "ortools"), ("cp_sat_hinted", "ortools"), ("mealpy_ga", "mealpy")]
)
@pytest.mark.parametrize("family", ["correlated", "restricted", "memory_tight"])
def test_peers_return_a_schedule_no_better_than_the_optimum(family, peer, package):
    pytest.importorskip(package)
    window, state = generate_window(family, 8, 3, seed=2)
    best = schedule(window, "exact", state=state).makespan_seconds
    makespan = BENCHMARK["PEERS"][peer][1](window, state, 1.0, 0)
    assert np.isfinite(makespan)
    assert makespan >= best * (1 - 1e-6)
    if package == "ortools":
        assert makespan <= best * (1 + 1e-4)


SMALL = ["--sizes", "12x3", "--families", "unrelated", "--seeds", "2"]


def test_tables_of_peers_and_evaluations_follow_the_rows(capsys):
    BENCHMARK["main"]([*SMALL, "--schedulers", "atsa", "aco", "--exact-seconds", "5"])
    printed = capsys.readouterr().out
    peers, evaluations = printed.split("\n\natsa over the best")[1].split("\n\nEvaluations until")
    (row,) = (line for line in peers.splitlines() if "unrelated" in line)
    median, worst = map(float, row.split(" | ")[1:3])
    assert 1.0 <= median <= worst
    (row,) = (line for line in evaluations.splitlines() if "unrelated" in line)
    assert int(row.split("|")[3]) >= 1
    assert row.split("|")[4].strip() == ""  # pso was not run


def test_rows_of_an_earlier_run_go_into_the_tables(capsys, tmp_path):
    BENCHMARK["main"]([*SMALL, "--json", "--schedulers", "atsa", "lpt"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    quarter = [
        {**row, "scheduler": "slow@9s", "makespan": row["makespan"] / 4, "ratio": row["ratio"] / 4}
        for row in rows
        if row["scheduler"] == "atsa"
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows, *quarter])))
    BENCHMARK["main"]([*SMALL, "--schedulers", "atsa", "--rows", str(tmp_path / "rows.jsonl")])
    printed = capsys.readouterr().out
    assert "| unrelated | 12x3 | atsa | " in printed.replace("  ", " ")
    assert printed.count("| lpt |") == 1
    peers = printed.split("\n\natsa over the best")[1]
    assert "| unrelated 12x3 | 4.0000 | 4.0000 | 4.0000 | 4.0000 |" in peers


def test_a_scheduler_that_is_never_reached_is_said_to_be():
    where = {"family": "uniform", "tasks": 3, "nodes": 2}
    rows = [
        {**where, "seed": 0, "scheduler": "atsa", "evaluations_to_pso": None},
        {**where, "seed": 0, "scheduler": "pso", "evaluations_to_end": 7},
    ]
    assert BENCHMARK["evaluations_table"](rows).endswith("| uniform 3x2 |  |  | never | 7 |")


def test_a_peer_is_timed_and_a_missing_one_is_named(capsys, monkeypatch):
    peers = {"quick": ("numpy", lambda *_: 99.0), "gone": ("no_such_package", lambda *_: 1.0)}
    monkeypatch.setitem(BENCHMARK["main"].__globals__, "PEERS", peers)
    BENCHMARK["main"]([*SMALL, "--json", "--schedulers", "lpt", "--peers", "--peer-seconds", "7"])
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert {row["scheduler"] for row in rows} == {"lpt", "quick@7s"}
    assert all(0 < row["seconds"] < 1 for row in rows)
    assert "left out: gone, as no_such_package is not installed" in printed.err


def test_the_largest_windows_are_of_identical_tasks(capsys):
    BENCHMARK["main"](["--json", "--sizes", "100000x1000", "--seeds", "1", "--schedulers", "atsa", "lpt"])
    printed = capsys.readouterr()
    (row,) = map(json.loads, printed.out.splitlines())
    assert (row["family"], row["scheduler"], row["ratio"]) == ("identical", "atsa", 1.0)
    assert "unrelated 100000x1000, left out: atsa, lpt" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sizes", "12"], "'12' is not a size; write tasks x nodes, such as 200x10"),
        (["--sizes", "0x5"], "'0x5' is not a size"),
        (["--seeds", "0"], "'0' is not a whole number of at least 1"),
        (["--exact-seconds", "-1"], "'-1' is not a number of seconds above 0"),
        (["--schedulers", "exact"], "exact is run by --exact-seconds"),
    ],
)
def test_wrong_arguments_are_answered_clearly(arguments, said, capsys):
    with pytest.raises(SystemExit):
        BENCHMARK["main"](arguments)
    assert said in capsys.readouterr().err


def test_windows_that_suit_no_scheduler_are_named():
    with pytest.raises(SystemExit, match="nothing was run: every scheduler is left out"):
        BENCHMARK["main"](["--sizes", "10000x1000", "--seeds", "1", "--schedulers", "aco", "pso"])
