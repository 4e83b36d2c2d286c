"""What holds for every scheduler and every problem."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.scheduling import SCHEDULERS, NodeState, TaskWindow, create_scheduler
from tests.scheduling.problems import least_makespan, loads_of, may_run, memory_holds, problems

OPTIONS = {
    "aco": {"evaluations": 60, "ants": 5},
    "atsa": {"evaluations": 100},
    "atsa_paper": {"evaluations": 60, "ants": 5},
    "exact": {"time_limit_seconds": 5.0},
    "pso": {"evaluations": 100, "particles": 10},
}
SEARCHING = ("aco", "atsa", "pso")
DETERMINISTIC = ("fcfs", "lpt", "max_min", "min_completion", "min_min", "sufferage")
"""Those that look at times only; the others know nodes by their place (whose turn it is) or draw lots."""

law = settings(deadline=None, derandomize=True, max_examples=60)


def make(name: str, seed: int = 0, **options):
    return create_scheduler(name, seed=seed, **{**OPTIONS.get(name, {}), **options})


@pytest.mark.parametrize("name", SCHEDULERS)
@law
@given(problem=problems())
def test_every_task_runs_once_where_it_may(name, problem):
    window, state = problem
    fits = [
        any(may_run(window, state, i, j) for j in range(state.num_nodes)) for i in range(window.num_tasks)
    ]
    if not all(fits):
        with pytest.raises(ValueError, match=f"task {fits.index(False)} fits no node"):
            make(name).assign(window, state)
        return
    try:
        assignment = make(name).assign(window, state)
    except ValueError:
        # Where tasks share a node's memory, a rule of thumb may not find a packing, or there may be none.
        assert window.queue_holds_memory
        return
    assert assignment.node.shape == (window.num_tasks,)
    assert all(may_run(window, state, task, at) for task, at in enumerate(assignment.node))
    assert memory_holds(window, state, assignment.node)
    loads = loads_of(window, state, assignment.node)
    np.testing.assert_allclose(assignment.loads_seconds, loads, rtol=1e-12, atol=1e-12)
    assert assignment.makespan_seconds == assignment.loads_seconds.max()
    assert assignment.tasks_per_node.sum() == window.num_tasks
    assert not assignment.tasks_per_node[~state.available].any()
    assert assignment.lower_bound_seconds <= assignment.makespan_seconds
    assert assignment.gap >= 0


@pytest.mark.parametrize("name", ["lpt", "atsa", "exact"])
@law
@given(problem=problems(max_tasks=5, max_nodes=3))
def test_no_schedule_is_below_the_bound_and_exact_is_the_best_of_all(name, problem):
    window, state = problem
    least = least_makespan(window, state)
    try:
        assignment = make(name).assign(window, state)
    except ValueError:
        assert math.isinf(least) or name != "exact"
        return
    assert assignment.lower_bound_seconds <= least * (1 + 1e-9)
    assert assignment.makespan_seconds >= least * (1 - 1e-9)
    if name == "exact":
        assert assignment.makespan_seconds == pytest.approx(least, rel=1e-5)


@law
@given(problem=problems(max_tasks=8, max_nodes=4))
def test_exact_is_never_worse_than_atsa(problem):
    window, state = problem
    try:
        ours = make("atsa").assign(window, state)
    except ValueError:
        return
    assert make("exact").assign(window, state).makespan_seconds <= ours.makespan_seconds * (1 + 1e-9)


@pytest.mark.parametrize("name", ["atsa", "min_completion", "exact"])
@law
@given(problem=problems(max_tasks=6, max_nodes=3, identical=True))
def test_identical_tasks_are_scheduled_optimally(name, problem):
    window, state = problem
    least = least_makespan(window, state)
    try:
        assignment = make(name).assign(window, state)
    except ValueError:
        assert math.isinf(least)
        return
    assert assignment.makespan_seconds == pytest.approx(least, rel=1e-12)
    assert assignment.lower_bound_seconds == assignment.makespan_seconds


@pytest.mark.parametrize("name", DETERMINISTIC)
@law
@given(seed=st.integers(0, 10**6), identical=st.booleans())
def test_permuting_the_nodes_permutes_the_schedule(name, seed, identical):
    random = np.random.default_rng(seed)
    tasks, nodes = int(random.integers(2, 14)), int(random.integers(2, 6))
    times = random.uniform(1, 9, (1 if identical else tasks, nodes))
    ready, order = random.uniform(0, 3, nodes), random.permutation(nodes)
    times = np.broadcast_to(times, (tasks, nodes))
    idle = NodeState.idle(nodes)
    plain = make(name).assign(TaskWindow(times), NodeState(ready, idle.free_memory_bytes, idle.available))
    turned = make(name).assign(
        TaskWindow(times[:, order]), NodeState(ready[order], idle.free_memory_bytes, idle.available)
    )
    np.testing.assert_array_equal(order[turned.node], plain.node)


@pytest.mark.parametrize("name", SEARCHING)
@law
@given(problem=problems(max_tasks=12, max_nodes=4), seed=st.integers(0, 99), few=st.integers(1, 40))
def test_the_best_so_far_never_gets_worse(name, problem, seed, few):
    window, state = problem
    try:
        short = make(name, seed, evaluations=few).assign(window, state)
    except ValueError:
        return
    long = make(name, seed, evaluations=4 * few).assign(window, state)
    assert (np.diff(long.history_seconds[np.isfinite(long.history_seconds)]) <= 0).all()
    assert long.history_seconds[-1] == pytest.approx(long.makespan_seconds, rel=1e-12, abs=1e-12)
    assert long.makespan_seconds <= short.makespan_seconds * (1 + 1e-12)


@pytest.mark.parametrize("name", SCHEDULERS)
@settings(deadline=None, derandomize=True, max_examples=15)
@given(problem=problems(), seed=st.integers(0, 99))
def test_the_same_seed_makes_the_same_schedule(name, problem, seed):
    window, state = problem
    try:
        once = make(name, seed).assign(window, state)
    except ValueError:
        return
    np.testing.assert_array_equal(make(name, seed).assign(window, state).node, once.node)
