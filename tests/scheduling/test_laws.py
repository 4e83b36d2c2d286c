"""What holds for every scheduler and every problem."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.scheduling import SCHEDULERS, NodeState, TaskWindow, create_scheduler
from tests.scheduling.problems import least_makespan, loads_of, may_run, memory_holds, packings, problems

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

law = settings(max_examples=60)


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


@pytest.mark.parametrize("name", ["atsa", "exact"])
@law
@given(problem=packings())
def test_tasks_that_share_memory_to_the_last_byte_are_packed(name, problem):
    window, state = problem
    node = make(name).assign(window, state).node
    assert all(may_run(window, state, task, at) for task, at in enumerate(node))
    assert memory_holds(window, state, node)


@pytest.mark.parametrize("name", ["atsa", "exact"])
def test_memory_without_limit_packs_beside_scarce_memory(name):
    window = TaskWindow(
        np.array([[1, 2], [1, math.inf], [math.inf, 2]]), np.array([4.0, 3, 2]), queue_holds_memory=True
    )
    state = NodeState(np.zeros(2), np.array([5.0, math.inf]), np.ones(2, dtype=bool))
    assert make(name).assign(window, state).node.tolist() == [1, 0, 1]


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
@settings(max_examples=15)
@given(problem=problems(), seed=st.integers(0, 99))
def test_the_same_seed_makes_the_same_schedule(name, problem, seed):
    window, state = problem
    try:
        once = make(name, seed).assign(window, state)
    except ValueError:
        return
    np.testing.assert_array_equal(make(name, seed).assign(window, state).node, once.node)


def _window(seed: int, scale: float, names: tuple[str, ...] = ()) -> tuple[TaskWindow, NodeState]:
    """Twelve unlike tasks that share the memory of four nodes, one of which is busy; seconds times ``scale``."""
    random = np.random.default_rng(seed)
    times, need = random.uniform(1, 9, (12, 4)), random.uniform(1, 4, 12)
    ready = np.array([0.0, 2.0, 0.0, 0.0])
    window = TaskWindow(times * scale, need, queue_holds_memory=True)
    return window, NodeState(ready * scale, np.array([14.0, 14.0, 14.0, math.inf]), np.ones(4, bool), names)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1e4, 1e9, 2.0**-40, 2.0**40])
def test_the_unit_of_time_changes_no_schedule(name, scale):
    for seed in range(3):
        plain, scaled = (make(name).assign(*_window(seed, unit)) for unit in (1.0, scale))
        np.testing.assert_array_equal(scaled.node, plain.node)
        assert scaled.lower_bound_seconds == pytest.approx(scale * plain.lower_bound_seconds, rel=1e-7)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("scale", [1e-6, 1e9, 2.0**-40, 2.0**40])
def test_the_unit_of_memory_changes_no_schedule(name, scale):
    for seed in range(3):
        window, state = _window(seed, 1.0)
        plain = make(name).assign(window, state)
        other = make(name).assign(
            replace(window, memory_bytes=window.memory_bytes * scale),
            replace(state, free_memory_bytes=state.free_memory_bytes * scale),
        )
        np.testing.assert_array_equal(other.node, plain.node)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_power_of_two_changes_no_bit_over_several_windows(name):
    """The second and third window start from what the first one taught."""
    plain, scaled = make(name), make(name)
    for seed in range(3):
        once, twice = plain.assign(*_window(seed, 1.0)), scaled.assign(*_window(seed, 2.0**30))
        np.testing.assert_array_equal(twice.node, once.node)
        np.testing.assert_array_equal(twice.loads_seconds, once.loads_seconds * 2.0**30)
        np.testing.assert_array_equal(twice.history_seconds, once.history_seconds * 2.0**30)
        assert twice.lower_bound_seconds == once.lower_bound_seconds * 2.0**30


@pytest.mark.parametrize("name", SCHEDULERS)
def test_tasks_that_take_no_time_run_beside_any_backlog(name):
    window = TaskWindow(np.zeros((3, 2)))
    state = NodeState(np.array([1e12, 1e10]), np.full(2, math.inf), np.ones(2, dtype=bool))
    assert make(name).assign(window, state).makespan_seconds == 1e12


@pytest.mark.parametrize("name", ["aco", "atsa_paper", "pso"])
def test_a_task_without_room_is_answered_with_what_is_left(name):
    window = TaskWindow(np.ones((2, 1)), np.array([6.0, 5.0]), queue_holds_memory=True)
    state = NodeState(np.zeros(1), np.array([10.0]), np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match=r"task 1 fits no node: it needs 5 B .* free memory .* is 4 B"):
        make(name).assign(window, state)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_names_of_nodes_change_no_schedule(name):
    for seed in range(3):
        plain, renamed = (
            make(name).assign(*_window(seed, 1.0, names)) for names in ((), ("z", "10", "a b", "é"))
        )
        np.testing.assert_array_equal(renamed.node, plain.node)
