"""The simulator's benchmark prints what it says it prints, and its checks can fail."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import queue_models

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "simulate.py"))
SMALL = ["--tasks", "3e3", "--runs", "2", "--repeats", "1", "--simpy-tasks", "2000"]


def rows_of(capsys, *arguments):
    BENCHMARK["main"](["--json", *SMALL, *arguments])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_model_waits_as_its_recursion_says(capsys):
    rows = rows_of(capsys, "--parts", "queues")
    assert [(row["model"], row["utilisation"]) for row in rows] == [
        (model, utilisation)
        for model in ("M/M/1", "M/D/1", "M/G/1", "M/M/c")
        for utilisation in (0.5, 0.7, 0.9)
    ]
    for row in rows:
        assert row["numba"]
        assert row["largest_difference"] < 1e-6
        assert row["error"] == pytest.approx(row["mean_wait"] / row["closed_form"] - 1)


def test_a_wrong_wait_is_seen(monkeypatch):
    right = queue_models.simulated_waits
    monkeypatch.setattr(queue_models, "simulated_waits", lambda *given: 1.05 * right(*given))
    row = queue_models.queue_row("M/D/1", 0.5, 60_000, 2)
    assert row["largest_difference"] > 0.05
    assert row["error"] > 3 * row["standard_error"] > 0


def test_the_tandem_is_compared_with_the_product_form(capsys):
    (row,) = rows_of(capsys, "--parts", "tandem", "--tasks", "2e4")
    assert np.all(np.abs(row["error"]) < 0.5)
    assert 0 < row["joint_distance"] < 0.1


def test_ours_and_simpy_s_records_are_equal_and_timed(capsys):
    (row,) = rows_of(capsys, "--parts", "simpy")
    assert row["largest_difference"] < 1e-9
    assert row["tasks"] == 2000
    assert row["ratio"] == pytest.approx(row["simpy_seconds"] / row["seconds"])


def test_speed_counts_tasks_and_a_large_fleet_its_memory(capsys):
    arguments = ("--parts", "speed", "fleet", "--fleet-tasks", "2000", "--fleet-nodes", "20")
    speed, fleet = rows_of(capsys, *arguments)
    assert speed["tasks_per_second"] == pytest.approx(3000 / speed["seconds"])
    assert speed["answered"] == fleet["answered"] == 1.0
    assert (fleet["nodes"], fleet["tasks"]) == (20, 2000)
    assert 1e7 < fleet["peak_rss_bytes"] < 4e9


@pytest.mark.slow
def test_the_share_of_a_training_step(capsys):
    (row,) = rows_of(capsys, "--parts", "step")
    assert (row["batch"], row["size"], row["steps"]) == (128, 32, 1)
    assert 0 < row["share"] < 1
    assert row["share"] == pytest.approx(row["simulation_seconds"] / row["step_seconds"])


@pytest.mark.parametrize("tasks", ["0", "1.5", "many"])
def test_wrong_numbers_are_answered_clearly(tasks, capsys):
    with pytest.raises(SystemExit):
        BENCHMARK["main"](["--tasks", tasks])
    assert f"{tasks!r} is not a whole number of at least 1" in capsys.readouterr().err
