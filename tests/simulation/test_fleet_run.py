"""A stream of tasks through a fleet: pieces change nothing, ends are ends, and sums equal what the records say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import DataError
from cloudedge_pl.exits import Outcomes
from cloudedge_pl.scheduling import create_scheduler
from cloudedge_pl.simulation.arrivals import PoissonArrivals
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.fleet_run import FleetRun, SimulationResult, simulate
from cloudedge_pl.simulation.scenario import QueueLimits, Scenario
from cloudedge_pl.simulation.sure_tasks import Accuracy, SureTasks
from cloudedge_pl.simulation.task_records import DTYPES, PATHS, TaskRecords
from cloudedge_pl.simulation.task_source import TaskSource
from cloudedge_pl.simulation.tasks import ServiceNoise, TaskClass
from tests.simulation.test_engine import costs, fleet

CLASSES = (
    TaskClass(name="plain", share=3.0, deadline_seconds=0.2),
    TaskClass(name="large", size=2.0, work=2.0),
)
SCENARIO = Scenario(
    churn=Churn(failures_per_hour=60.0, repair_seconds=5.0),
    service=ServiceNoise(jitter=0.3),
    queues=QueueLimits(node_tasks=5, policy="reject"),
)


def source(rate: float = 100.0, share: float = 0.5) -> SureTasks:
    tasks = TaskSource(
        arrivals=PoissonArrivals(tasks_per_second=rate), classes=CLASSES, noise=SCENARIO.service, seed=1
    )
    return SureTasks(tasks, share=share, audit_share=0.1, seed=2)


def run(**options: Any) -> SimulationResult:
    given: dict[str, Any] = {
        "num_tasks": 3000,
        "scenario": SCENARIO,
        "dormancy": DormancyRule(warmup_windows=2),
        "exits": True,
        "classes": ["plain", "large"],
        "seed": 3,
    }
    return simulate(costs(3), fleet(3), source(), create_scheduler("min_completion"), **(given | options))


def assert_same(one: TaskRecords, other: TaskRecords) -> None:
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("end", [{}, {"num_tasks": None, "until_seconds": 17.3}])
def test_the_length_of_the_pieces_changes_nothing(end: dict[str, Any]) -> None:
    whole, pieces = run(**end), run(piece=700, **end)
    assert whole.records is not None
    assert pieces.records is not None
    assert_same(whole.records, pieces.records)
    assert whole.summary == pieces.summary
    assert whole.asleep is not None
    assert pieces.asleep is not None
    np.testing.assert_array_equal(whole.asleep, pieces.asleep)


def test_without_records_the_summary_is_the_same_to_1_percent() -> None:
    kept, sums = run(piece=500), run(piece=500, keep_records=False)
    assert sums.records is None
    assert_close(kept.summary, sums.summary, "summary")
    assert kept.summary["rejected"] > 0
    assert kept.summary["deadline_misses"] > 0
    assert {"cloud", "exit_asleep", "early_exit"} <= kept.summary["answered_by"].keys()


def assert_close(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for name in one:
            assert_close(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list):
        for index, (ours, theirs) in enumerate(zip(one, other, strict=True)):
            assert_close(ours, theirs, f"{where}[{index}]")
    elif isinstance(one, float):
        # Ranks of a small group lie between two delays, of which the sketch takes the lower.
        assert one == pytest.approx(other, rel=0.05 if "p9" in where or "p5" in where else 1e-9), where
    else:
        assert one == other, where


def test_a_run_that_ends_at_a_time_has_the_arrivals_until_then() -> None:
    found = run(num_tasks=None, until_seconds=5.0)
    whole = run(num_tasks=None, until_seconds=20.0)
    assert found.records is not None
    assert whole.records is not None
    count = len(found.records)
    assert count == int((whole.records.arrival_seconds <= 5.0).sum())
    assert found.totals.clock_seconds == 5.0
    done = found.records.answered_seconds <= 5.0
    np.testing.assert_array_equal(
        found.records.answered_seconds[done], whole.records.answered_seconds[:count][done]
    )
    in_flight = found.records.path == next(path for path, name in PATHS.items() if name == "in_flight")
    np.testing.assert_array_equal(in_flight, ~(whole.records.path[:count] == -1) & ~done)


def test_whichever_end_comes_first() -> None:
    assert run(num_tasks=100, until_seconds=1e6).summary["answered"] <= 100
    assert run(num_tasks=100, until_seconds=1e6).totals.clock_seconds < 100
    assert run(num_tasks=100_000, until_seconds=2.0).totals.clock_seconds == 2.0


def test_a_run_can_be_looked_at_before_its_end() -> None:
    names = [each.name for each in CLASSES]
    scheduler = create_scheduler("min_completion")
    going = FleetRun(costs(3), fleet(3), source(), scheduler, num_tasks=1000, piece=100, classes=names)
    assert next(going.pieces()) == 100
    summary = going.result().summary
    assert summary["tasks"] == 100 == summary["answered"] + summary["rejected"] + summary["in_flight"]
    assert summary["in_flight"] > 0


def test_joules_are_idle_power_and_those_of_the_tasks() -> None:
    found = run(scenario=Scenario())
    assert found.records is not None
    machines = fleet(3).array("idle_watts", with_master=True)
    idle = float(machines.sum()) * found.totals.clock_seconds
    assert found.totals.joules == pytest.approx(idle + float(found.records.joules.sum()))


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="neither num_tasks nor until_seconds"):
        run(num_tasks=None)
    with pytest.raises(ValueError, match="num_tasks is 0"):
        run(num_tasks=0)


def test_sure_tasks_and_audits_have_their_shares_and_do_not_depend_on_pieces() -> None:
    whole = source().next(20_000)
    assert whole.exits.mean() == pytest.approx(0.5, abs=0.02)
    assert whole.audited.sum() / whole.exits.sum() == pytest.approx(0.1, abs=0.02)
    assert not (whole.audited > whole.exits).any()
    again = source()
    parts = [again.next(count) for count in (1, 8191, 3, 11_805)]
    for name in ("exits", "audited"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)
        )


def outcomes() -> Outcomes:
    return Outcomes(
        sample=np.arange(4),
        label=np.array([0, 1, 2, -1]),
        exit_class=np.array([0, 0, 0, 0]),
        exit_score=np.array([0.9, 0.2, 0.8, 0.1]),
        cloud_class=np.array([1, 1, 2, 0]),
        path=np.zeros(4),
    )


def test_samples_are_replayed_and_their_answers_counted() -> None:
    table = outcomes()
    tasks = TaskSource(arrivals=PoissonArrivals(tasks_per_second=100.0))
    accuracy = Accuracy(table)
    found = simulate(
        costs(3),
        fleet(3),
        SureTasks(tasks, sure=table.exits(0.5)),
        create_scheduler("min_completion"),
        num_tasks=2000,
        exits=True,
        observe=accuracy.add,
    )
    assert found.records is not None
    sample, path = found.records.sample, found.records.path
    np.testing.assert_array_equal(np.unique(sample), np.arange(4))
    np.testing.assert_array_equal(path == 2, np.isin(sample, (0, 2)))
    report = accuracy.report()
    assert report["accuracy_by_path"]["cloud"] == 1.0
    early = report["accuracy_by_path"]["early_exit"]
    assert early == pytest.approx((sample == 0).sum() / np.isin(sample, (0, 2)).sum())
    assert report["labelled_answers"] == int((sample < 3).sum())
    assert report["accuracy"] == pytest.approx(((sample == 0) | (sample == 1)).sum() / (sample < 3).sum())


def test_an_empty_table_of_outcomes_is_refused() -> None:
    with pytest.raises(DataError, match="have no sample"):
        SureTasks(source(), sure=np.zeros(0, dtype=bool))


def test_tasks_without_a_deadline_have_no_share_of_misses() -> None:
    class Endless:
        def next(self, num_tasks: int) -> Any:
            tasks = source().next(num_tasks)
            return replace(tasks, deadline_seconds=np.full(len(tasks), math.inf))

    options: dict[str, Any] = {"num_tasks": 200, "classes": ["plain", "large"], "keep_records": False}
    found = simulate(costs(3), fleet(3), Endless(), create_scheduler("min_completion"), **options)
    assert found.summary["deadline_miss_share"] is None
