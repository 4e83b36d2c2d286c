"""The list schedulers do what their names say, by hand-worked examples and literal restatements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.scheduling import NodeState, TaskWindow, create_scheduler, schedule

TIMES = np.array([[4.0, 6.0], [2.0, 3.5], [5.0, 4.0], [1.0, 9.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 0 -> node 0 (both idle, the faster), busy to 4; 1 -> node 1, to 3.5; 2 -> node 1, to 7.5; 3 -> node 0.
        ("fcfs", [0, 1, 1, 0]),
        ("round_robin", [0, 1, 0, 1]),
        # 0 -> 0 (4); 1 -> 1 (3.5 < 6); 2 -> 1 (7.5 < 9); 3 -> 0 (5 < 16).
        ("min_completion", [0, 1, 1, 0]),
        # by shortest time: 0 (4), 2 (4), 1 (2), 3 (1): 0 -> 0; 2 -> 1; 1 -> 0 (6 < 7.5); 3 -> 0 (7 < 13).
        ("lpt", [0, 0, 1, 0]),
        # 3 suffers 8: -> 0; then 2 suffers 2 (6 - 4): -> 1; then 0 suffers 5: -> 0; then 1 -> 0 (7 < 7.5).
        ("sufferage", [0, 0, 1, 0]),
    ],
)
def test_a_small_example(name, expected):
    assert schedule(TIMES, name).node.tolist() == expected


def test_fcfs_minds_neither_speed_nor_backlog_to_come():
    slow_but_free = NodeState(np.array([1.0, 0.0]), np.full(2, np.inf), np.ones(2, dtype=bool))
    assert schedule(np.array([[1.0, 50.0]]), "fcfs", state=slow_but_free).node.tolist() == [1]
    window = TaskWindow(np.array([[1.0, 50.0]]))
    assert schedule(window, "min_completion", state=slow_but_free).node.tolist() == [0]


def test_the_turn_goes_on_and_passes_over_who_may_not():
    scheduler = create_scheduler("round_robin")
    state = NodeState(np.zeros(3), np.full(3, np.inf), np.array([True, False, True]))
    assert scheduler.assign(TaskWindow(np.ones((3, 3))), state).node.tolist() == [0, 2, 0]
    assert scheduler.assign(TaskWindow(np.ones((2, 3))), state).node.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("name", "urgency"),
    [
        ("min_min", lambda done: -min(done)),
        ("max_min", lambda done: min(done)),
        ("sufferage", lambda done: sorted(done)[1] - sorted(done)[0]),
    ],
)
@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_completions_are_renewed_after_every_task(name, urgency, seed):
    random = np.random.default_rng(seed)
    times = random.uniform(1, 9, (int(random.integers(2, 15)), int(random.integers(2, 5))))
    ready = [0.0] * times.shape[1]
    left, node = set(range(len(times))), [-1] * len(times)
    while left:
        done = {i: [ready[j] + times[i, j] for j in range(len(ready))] for i in left}
        task = max(left, key=lambda i: urgency(done[i]))
        at = int(np.argmin(done[task]))
        ready[at], node[task] = done[task][at], at
        left.remove(task)
    assert schedule(times, name).node.tolist() == node


def test_an_idle_node_takes_the_last_task_of_the_longest_queue():
    # Dealt out: node 0 gets 0, 2, 4; node 1 gets 1, 3, 5. Node 1 is done at 3, when node 0 runs task 0 until 10 and
    # has 2 and 4 waiting: it takes 4, then 2.
    times = np.array([[10.0, 1.0]] * 6)
    assert schedule(times, "work_stealing").node.tolist() == [0, 1, 1, 1, 1, 1]


def test_random_draws_evenly_and_anew_in_every_window():
    scheduler = create_scheduler("random", seed=5)
    window, state = TaskWindow(np.ones((3000, 3))), NodeState.idle(3)
    first, second = scheduler.assign(window, state), scheduler.assign(window, state)
    assert (np.abs(first.tasks_per_node - 1000) < 120).all()
    assert (first.node != second.node).any()
