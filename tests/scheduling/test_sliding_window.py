"""Streams of tasks through a sliding window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.scheduling import NodeState, TaskWindow, create_scheduler
from cloudedge_pl.scheduling.sliding_window import schedule_stream

TWO_EQUAL_NODES = TaskWindow(np.full((6, 2), 4.0))


def test_windows_open_by_count_and_with_the_last_task():
    stream = schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), create_scheduler("fcfs"), tasks_per_window=4)
    np.testing.assert_array_equal(stream.opened_seconds, [3.0, 5.0])


def test_windows_open_by_time_where_tasks_have_arrived():
    arrival = np.array([0.0, 1.0, 1.5, 2.0, 9.0, 9.5])
    stream = schedule_stream(TWO_EQUAL_NODES, arrival, create_scheduler("fcfs"), seconds_per_window=2.0)
    np.testing.assert_array_equal(stream.opened_seconds, [0.0, 2.0, 10.0])


def test_a_waiting_task_moves_when_a_better_node_has_become_free_and_a_running_one_stays():
    # Both tasks of the first window go to the fast node. In the second, task 1 still waits, and the burst of short
    # tasks makes it worth moving; task 0 runs and stays.
    times = np.array([[2.0, 9.0], [3.0, 5.2], *[[1.0, 90.0]] * 4])
    arrival = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    free = schedule_stream(TaskWindow(times), arrival, create_scheduler("atsa"), tasks_per_window=2)
    kept = schedule_stream(
        TaskWindow(times), arrival, create_scheduler("atsa"), tasks_per_window=2, reschedule=False
    )
    assert (free.moved, kept.moved) == (1, 0)
    assert (free.node[1], kept.node[1]) == (1, 0)
    assert kept.node[0] == free.node[0] == 0
    assert free.start_seconds[0] == kept.start_seconds[0] == 0.0
    assert free.finish_seconds.max() < kept.finish_seconds.max()


def test_memory_is_free_again_when_a_task_has_ended():
    tasks = TaskWindow(np.full((3, 1), 2.0), np.full(3, 6.0), queue_holds_memory=True)
    node = NodeState(np.zeros(1), np.array([10.0]), np.ones(1, dtype=bool))
    scheduler = create_scheduler("min_completion")
    late = schedule_stream(tasks, np.array([0.0, 2.0, 5.0]), scheduler, node, tasks_per_window=1)
    np.testing.assert_array_equal(late.start_seconds, [0.0, 2.0, 5.0])
    with pytest.raises(ValueError, match=r"task 0 fits no node: it needs 6 bytes .* 4 bytes"):
        schedule_stream(tasks, np.array([0.0, 1.0, 5.0]), scheduler, node, tasks_per_window=1)


def test_deadlines_count_from_the_start_and_misses_are_reported():
    tasks = TaskWindow(np.full((3, 1), 2.0), deadline_seconds=np.array([9.0, 3.5, 5.0]))
    stream = schedule_stream(tasks, np.array([0.0, 1.0, 1.0]), create_scheduler("fcfs"), tasks_per_window=3)
    # The window opens at 1; the earliest deadline goes first.
    np.testing.assert_array_equal(stream.finish_seconds, [7.0, 3.0, 5.0])
    assert stream.missed_deadlines.tolist() == []
    late = schedule_stream(tasks, np.array([0.0, 2.0, 2.0]), create_scheduler("fcfs"), tasks_per_window=3)
    assert late.missed_deadlines.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["fcfs", "min_min", "atsa"])
@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 10**6), reschedule=st.booleans(), by_time=st.booleans())
def test_nothing_starts_before_it_is_known_and_no_node_runs_two_at_once(name, seed, reschedule, by_time):
    random = np.random.default_rng(seed)
    tasks = TaskWindow(random.uniform(0.5, 4, (int(random.integers(1, 25)), 3)))
    arrival = np.cumsum(random.exponential(0.7, tasks.num_tasks))
    size = {"seconds_per_window": 2.0} if by_time else {"tasks_per_window": 4}
    stream = schedule_stream(tasks, arrival, create_scheduler(name), reschedule=reschedule, **size)
    assert (stream.start_seconds >= arrival - 1e-9).all()
    ran = tasks.times_seconds[np.arange(tasks.num_tasks), stream.node]
    np.testing.assert_allclose(stream.finish_seconds - stream.start_seconds, ran)
    for node in range(3):
        mine = np.flatnonzero(stream.node == node)
        mine = mine[np.argsort(stream.start_seconds[mine])]
        assert (stream.start_seconds[mine][1:] >= stream.finish_seconds[mine][:-1] - 1e-9).all()


def test_a_window_is_given_once_and_arrivals_ascend():
    scheduler = create_scheduler("fcfs")
    with pytest.raises(ValueError, match="give one of them"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), scheduler)
    with pytest.raises(ValueError, match="give one of them"):
        schedule_stream(
            TWO_EQUAL_NODES, np.arange(6.0), scheduler, tasks_per_window=2, seconds_per_window=1.0
        )
    with pytest.raises(ValueError, match="ascending"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0)[::-1], scheduler, tasks_per_window=2)
    with pytest.raises(ValueError, match="tasks_per_window is 0"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), scheduler, tasks_per_window=0)
