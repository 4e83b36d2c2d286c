"""The runs of a sweep: what was swept, groups that differ in their seed only, and the CSV file."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudedge_pl.reports.run_rows import RunRow, parameter, typed
from cloudedge_pl.reports.sweep_groups import Group, Runs, grouped


def leave(
    folder: Path,
    *overrides: str,
    state: str = "done",
    metrics: Mapping[str, float] | None = None,
    **more: object,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    seed = dict(parameter(each) for each in overrides).get("seed")
    row = {
        "command": "simulate",
        "overrides": overrides,
        "state": state,
        "seed": seed,
        "metrics": metrics or {},
    }
    RunRow(**(row | more)).save(folder)  # type: ignore[arg-type]  # a row as a mapping


def swept(folder: Path) -> Path:
    """Two schedulers on three fleets with two seeds; the delay is 100 * nodes + seed, ten times that for lpt."""
    number = 0
    for scheduler, factor in (("fcfs", 1), ("lpt", 10)):
        for nodes in (30, 10, 20):
            for seed in (0, 1):
                delay = factor * (100 * nodes + seed)
                overrides = [f"scheduler={scheduler}", f"fleet.num_nodes={nodes}", f"seed={seed}"]
                metrics = {"tasks": 5, "mean_delay_seconds": delay}
                leave(folder / str(number), *overrides, metrics=metrics)
                number += 1
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return swept(tmp_path / "sweep")


def test_axis_and_lines_are_those_with_the_most_values(sweep: Path) -> None:
    found = grouped(Runs.below([sweep]))
    assert (found.metric, found.x, found.lines) == ("mean_delay_seconds", "fleet.num_nodes", "scheduler")
    assert found.over == ("seed",)
    assert [(group.line, group.x) for group in found.groups] == [
        (line, x) for line in ("fcfs", "lpt") for x in (10, 20, 30)
    ]
    assert [group.values for group in found.of_line("lpt")] == [
        (10000, 10010),
        (20000, 20010),
        (30000, 30010),
    ]


def test_what_is_named_is_taken(sweep: Path) -> None:
    found = grouped(Runs.below([sweep]), metric="tasks", x="scheduler", lines="none")
    assert (found.metric, found.x, found.lines) == ("tasks", "scheduler", None)
    assert found.over == ("seed", "fleet.num_nodes")
    assert [(group.x, len(group.values)) for group in found.groups] == [("fcfs", 6), ("lpt", 6)]


def test_the_seed_is_the_axis_if_nothing_else_was_swept(tmp_path: Path) -> None:
    for seed in (2, 0, 1):
        leave(tmp_path / str(seed), f"seed={seed}", metrics={"loss": seed})
    found = grouped(Runs.below([tmp_path]))
    assert (found.metric, found.x, found.over) == ("loss", "seed", ())
    assert [group.x for group in found.groups] == [0, 1, 2]


def test_one_run_has_no_axis(tmp_path: Path) -> None:
    leave(tmp_path, metrics={"loss": 1.5})
    found = grouped(Runs.below([tmp_path]))
    assert found.x is None
    assert found.groups[0].values == (1.5,)


def test_a_search_has_points(tmp_path: Path) -> None:
    for number in range(12):
        given = (f"a={0.1 * number}", f"b={0.2 * number}")
        leave(tmp_path / str(number), *given, metrics={"loss": number})
    found = grouped(Runs.below([tmp_path]))
    assert (found.x, found.lines, found.search, found.over) == ("a", None, True, ())


def test_a_metric_may_be_the_axis(sweep: Path) -> None:
    found = grouped(Runs.below([sweep]), metric="tasks", x="mean_delay_seconds")
    assert (found.search, found.lines) == (True, None)
    assert len(found.groups) == 12


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"metric": "mean_delay"}, "unknown metric 'mean_delay'. Did you mean 'mean_delay_seconds'"),
        ({"x": "num_nodes"}, "unknown parameter or metric, x 'num_nodes'. Did you mean 'fleet.num_nodes'"),
        ({"lines": "schedulers"}, "unknown parameter, lines 'schedulers'. Did you mean 'scheduler'"),
    ],
)
def test_an_unknown_name_is_refused(sweep: Path, asked: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        grouped(Runs.below([sweep]), **asked)


@pytest.mark.parametrize(
    "asked", [{"metric": "half"}, {"metric": "half", "lines": "a"}, {"metric": "nothing"}, {"x": "half"}]
)
def test_what_no_finished_run_has_a_number_of_is_not_drawn(tmp_path: Path, asked: dict[str, str]) -> None:
    for a in (1, 2):
        leave(tmp_path / str(a), f"a={a}", metrics={"nothing": math.nan, "tasks": a})
    leave(tmp_path / "3", "a=3", state="interrupted", metrics={"half": 4})
    runs = Runs.below([tmp_path])
    assert grouped(runs).metric == "tasks"
    with pytest.raises(ValueError, match=f"unknown .*{asked.get('x', asked.get('metric'))}"):
        grouped(runs, **asked)


def test_unfinished_runs_stay_in_the_file_but_not_in_the_groups(sweep: Path, tmp_path: Path) -> None:
    leave(sweep / "90", "seed=7", state="failed", error='ValueError: "a, b"')
    leave(sweep / "91", "seed=8", state="interrupted", error="SIGTERM", metrics={"mean_delay_seconds": 1e9})
    leave(sweep / "92", "seed=9", state="running")
    job = {"job": 93, "overrides": ["seed=10"], "state": "not started"}
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [job, {**job, "state": "done"}]}))
    runs = Runs.below([sweep, sweep / "0"])
    assert max(value for group in grouped(runs).groups for value in group.values) < 1e9
    with runs.save(tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [
        *["done"] * 12,
        "failed",
        "interrupted",
        "running",
        "not started",
    ]
    assert rows[12]["error"] == 'ValueError: "a, b"'
    assert [row["seed"] for row in rows[12:15]] == ["7", "8", "9"]
    assert rows[0]["fleet.num_nodes"] == "30"
    assert float(rows[0]["mean_delay_seconds"]) == 3000


def test_a_key_that_is_not_given_has_the_value_of_the_config(tmp_path: Path) -> None:
    leave(tmp_path / "a", "scheduler=lpt", "fleet.num_nodes=3", metrics={"loss": 1.0})
    leave(tmp_path / "b", metrics={"loss": 2.0})
    hydra = tmp_path / "b" / ".hydra"
    hydra.mkdir()
    (hydra / "config.yaml").write_text("fleet: {num_nodes: 10}\nscheduler: {_target_: x}\n")
    (hydra / "hydra.yaml").write_text("hydra: {runtime: {choices: {scheduler: atsa}}}\n")
    runs = Runs.below([tmp_path])
    assert [dict(run.parameters) for run in runs.runs] == [
        {"scheduler": "lpt", "fleet.num_nodes": 3},
        {"scheduler": "atsa", "fleet.num_nodes": 10},
    ]


def test_no_run_and_no_finished_run_say_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no run"):
        Runs.below([tmp_path])
    leave(tmp_path / "0", state="failed")
    with pytest.raises(ValueError, match="no run came to its end"):
        grouped(Runs.below([tmp_path]))


@pytest.mark.parametrize("content", ["", "3", "{", '{"command": 3}', '{"command": "a", "state": "odd"}'])
def test_a_damaged_row_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "row.json").write_text(content)
    with pytest.raises(ValueError, match=r"row\.json is not the row of a run"):
        Runs.below([tmp_path])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_the_interval_is_students(values: list[float]) -> None:
    group = Group(x=None, line=None, values=tuple(values))
    error = statistics.stdev(values) / math.sqrt(len(values))
    low, high = group.around("interval")
    half = stats.t(len(values) - 1).ppf(0.975) * error
    assert low == pytest.approx(statistics.mean(values) - half, abs=1e-6, rel=1e-9)
    assert high == pytest.approx(statistics.mean(values) + half, abs=1e-6, rel=1e-9)
    assert group.around("range") == (min(values), max(values))


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 0.001), ("True", True), ("null", None), ("'3'", "3"), ("[1,2]", "[1,2]"), ("", "")],
)
def test_values_of_overrides(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)
