"""What fits where, and what is said if nothing does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.scheduling import NodeState, TaskWindow, schedule
from cloudedge_pl.scheduling.instance import Instance


def state(**columns) -> NodeState:
    plain = {"ready_seconds": [0.0, 0.0], "free_memory_bytes": [8.0, 5.0], "available": [True, True]}
    return NodeState(**{key: np.array(value) for key, value in {**plain, **columns}.items()})


def test_a_task_without_node_is_named_with_what_it_lacks():
    times = np.array([[1.0, 1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"task 1 fits no node: it needs 9 B .* is 8 B, of node 0"):
        Instance.of(TaskWindow(times, np.array([1.0, 9.0])), state())
    with pytest.raises(ValueError, match=r"is 5 B, of node 1"):
        Instance.of(TaskWindow(times, np.array([1.0, 9.0])), state(available=[False, True]))
    with pytest.raises(ValueError, match=r"task 0 fits no node: none of the 2 nodes is available"):
        Instance.of(TaskWindow(times), state(available=[False, False]))
    with pytest.raises(
        ValueError, match=r"task 1 fits no node: its times_seconds are inf on every one of the 1"
    ):
        Instance.of(TaskWindow(np.array([[1.0, 1.0], [1.0, np.inf]])), state(available=[False, True]))


@pytest.mark.parametrize("scheduler", ["fcfs", "atsa", "lpt", "min_min", "aco", "pso", "work_stealing"])
def test_a_full_memory_is_reported_with_what_is_left(scheduler):
    window = TaskWindow(
        np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0]]), np.full(3, 4.5), queue_holds_memory=True
    )
    with pytest.raises(ValueError, match=r"task \d fits no node: it needs 4.5 B"):
        schedule(window, scheduler, state=state())
    alone = TaskWindow(window.times_seconds, window.memory_bytes)
    assert schedule(alone, scheduler, state=state()).node.shape == (3,)


def test_window_and_state_must_agree():
    with pytest.raises(ValueError, match="times for 3 nodes, the state describes 2"):
        Instance.of(TaskWindow(np.ones((2, 3))), state())


def test_identical_tasks_are_recognised_in_any_storage():
    row = np.array([1.0, 2.0])
    for times in (
        np.broadcast_to(row, (4, 2)),
        np.tile(row, (4, 1)),
        np.asfortranarray(np.tile(row, (4, 1))),
    ):
        assert Instance.of(TaskWindow(times), state()).identical
        assert not Instance.of(TaskWindow(times, np.array([1.0, 1.0, 1.0, 2.0])), state()).identical
    assert not Instance.of(TaskWindow(np.array([[1.0, 2.0], [1.0, 2.1]])), state()).identical


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_the_order_at_a_node_meets_every_deadline_if_any_order_does(seed):
    random = np.random.default_rng(seed)
    tasks = int(random.integers(1, 6))
    times = random.integers(1, 5, tasks).astype(float)
    deadline = random.integers(2, 16, tasks).astype(float)
    window = TaskWindow(times[:, None], deadline_seconds=deadline)
    node = NodeState(np.array([1.0]), np.array([np.inf]), np.array([True]))
    assignment = schedule(window, "fcfs", state=node)
    possible = any(
        all(1.0 + sum(times[list(order[: k + 1])]) <= deadline[order[k]] for k in range(tasks))
        for order in itertools.permutations(range(tasks))
    )
    assert (len(assignment.missed_deadlines) == 0) == possible
    finish = Instance.of(window, node).finish_seconds(assignment.node)
    order = sorted(range(tasks), key=lambda task: (deadline[task], task))
    for place, task in enumerate(order):
        assert finish[task] == 1.0 + sum(times[order[: place + 1]])
    assert set(assignment.missed_deadlines) == {i for i in range(tasks) if finish[i] > deadline[i]}
