"""Figure 7: execution times, convergence, and the claims about them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cloudedge_pl.paper import schedules
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.schedule_claims import REMARKABLE, fewer_evaluations, less_time, remarkably_less_time
from cloudedge_pl.paper.schedules import SCHEDULERS, SEARCHES, measure_fig7, paper_windows
from cloudedge_pl.paper.verdict import FAILS
from cloudedge_pl.paper.windows import Outcomes
from tests.paper.networks import flip, paper_setting, tiny_setting

SIZES, SEEDS = (1, 20), 4


@cache
def small() -> PartResult:
    """Figure 7 with small windows: everything is as in the paper's setting but their number and size."""
    return measure_fig7(paper_setting(schedule_sizes=SIZES, seeds=SEEDS), Report())


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = (schedules.TASKS_AXIS, schedules.NODES_AXIS, schedules.WORK_AXIS)
    monkeypatch.setattr(schedules, "TRIED", dict(zip(axes, [(1, 20), (1.0, 10.0), (1.0, 10.0)], strict=True)))
    monkeypatch.setattr(
        schedules, "TRIED_AS_PRINTED", dict(zip(axes, [(1, 20), (5.0,), (10.0,)], strict=True))
    )


def outcomes(*makespans: float, evaluations: int = 1) -> Outcomes:
    made = np.array(makespans)
    histories = tuple(np.array([9.0] * (evaluations - 1) + [each]) for each in makespans)
    return Outcomes(makespan_seconds=made, bound_seconds=np.ones_like(made), histories_seconds=histories)


def test_times_are_compared_by_the_median_of_their_ratios():
    assert less_time(outcomes(1.0, 2.0, 9.0), outcomes(2.0, 4.0, 1.0)) == (True, 0.5)
    assert less_time(outcomes(1.0), outcomes(1.0)) == (False, 1.0)
    edge = 1 - REMARKABLE
    assert remarkably_less_time(outcomes(edge), outcomes(1.0)) == (True, edge)
    assert remarkably_less_time(outcomes(edge + 0.01), outcomes(1.0))[0] is False


def test_a_search_that_ends_early_with_a_longer_time_is_not_the_faster_one():
    assert fewer_evaluations(outcomes(2.0, evaluations=3), outcomes(2.0, evaluations=6)) == (True, 0.5)
    assert fewer_evaluations(outcomes(3.0, evaluations=3), outcomes(2.0, evaluations=6)) == (False, 0.5)
    assert fewer_evaluations(outcomes(2.0, evaluations=6), outcomes(2.0, evaluations=6))[0] is False


def test_tables_hold_what_the_windows_took():
    runs = small().tables["runs"].columns
    times = small().tables["times"].columns
    for name in SCHEDULERS:
        for size in SIZES:
            own = [
                seconds
                for seconds, *key in zip(runs["time_seconds"], runs["scheduler"], runs["tasks"], strict=True)
                if key == [name, size]
            ]
            (median,) = [
                seconds
                for seconds, *key in zip(
                    times["time_seconds"], times["scheduler"], times["tasks"], strict=True
                )
                if key == [name, size]
            ]
            assert len(own) == SEEDS
            assert median == np.median(own)
    assert min(times["above_bound_share"]) > -1e-12
    assert set(small().tables["convergence"].columns["scheduler"]) == set(SEARCHES)


def test_one_task_makes_no_difference_and_twenty_do():
    less = small().verdicts[0]
    tasks = flip(less, "tasks")
    assert tasks.holds[0] is False
    assert tasks.holds[-1] is True
    assert less.numbers["time of atsa over fcfs, 1 tasks"] == pytest.approx(1)
    assert less.numbers["time of atsa over fcfs, 20 tasks"] < 0.9


def test_the_printed_form_takes_longer_than_fcfs():
    printed = small().verdicts[3]
    assert "as printed" in printed.claim
    assert printed.numbers["time of atsa_paper over fcfs, 20 tasks"] > 1
    assert printed.state == FAILS


def test_equal_tasks_need_no_search():
    assert "their times are the same" in " ".join(small().notes)


def test_windows_are_of_the_network_and_the_slowest_node():
    setting = tiny_setting()
    windows = paper_windows(setting, 5)
    assert windows.picture_flops == setting.profile.flops[-1]
    assert windows.slowest_flops_per_second == pytest.approx(48e9 * 0.3)


def test_progress_ascends_to_the_whole():
    steps: list[tuple[float, float]] = []

    class Noted(Report):
        def step(self, text: str, done: float = 0, total: float | None = None) -> None:
            steps.append((done, total or 0.0))

    measure_fig7(tiny_setting(), Noted())
    done = [each / total for each, total in steps]
    assert done == sorted(done)
    assert done[0] == 0
    assert 0.5 < done[-1] < 1
