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
    waits = schedule_stream(tasks, np.array([0.0, 1.0, 1.0]), scheduler, node, tasks_per_window=1)
    np.testing.assert_array_equal(waits.start_seconds, [0.0, 2.0, 4.0])
    np.testing.assert_array_equal(waits.opened_seconds, [0.0, 1.0, 1.0, 2.0, 4.0])


@pytest.mark.parametrize("name", ["fcfs", "round_robin", "min_min", "atsa", "exact", "pso"])
@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), reschedule=st.booleans(), by_time=st.booleans())
def test_memory_is_never_overdrawn_and_no_task_is_lost(name, seed, reschedule, by_time):
    """Every task fits a node; a few fill the fleet, so that most have to wait for others to end."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 15))
    need, room = random.integers(1, 7, count).astype(float), np.array([7.0, 8.0])
    times = random.uniform(0.5, 3, (count, 2)) * (random.random((count, 1)) < 0.8)
    tasks = TaskWindow(times, need, queue_holds_memory=True)
    arrival = np.cumsum(random.exponential(0.3, count))
    size = {"seconds_per_window": 1.0} if by_time else {"tasks_per_window": 3}
    options = {"evaluations": 20} if name in ("atsa", "pso") else {}
    state = NodeState(np.array([0.0, 1.0]), room, np.ones(2, dtype=bool))
    stream = schedule_stream(tasks, arrival, {"name": name, **options}, state, reschedule=reschedule, **size)
    assert np.isfinite(stream.finish_seconds).all()
    assert (stream.start_seconds >= arrival - 1e-9).all()
    for moment in stream.start_seconds:
        for at in range(2):
            begun, over = stream.start_seconds <= moment, stream.finish_seconds <= moment + 1e-9
            runs = begun & ~over & (stream.node == at)
            assert need[runs].sum() <= room[at]


def test_a_task_that_waits_for_memory_is_overtaken_by_none():
    tasks = TaskWindow(np.full((4, 1), 2.0), np.array([6.0, 9.0, 1.0, 1.0]), queue_holds_memory=True)
    node = NodeState(np.zeros(1), np.array([10.0]), np.ones(1, dtype=bool))
    stream = schedule_stream(tasks, np.zeros(4), "lpt", node, tasks_per_window=4)
    assert stream.start_seconds[0] == 0.0
    assert stream.start_seconds[1] == 2.0
    assert (stream.start_seconds[2:] > 2.0).all()


@pytest.mark.parametrize("queue_holds_memory", [False, True])
def test_a_task_that_fits_nowhere_is_named_by_its_place_in_the_stream(queue_holds_memory):
    tasks = TaskWindow(
        np.full((4, 1), 2.0), np.array([6.0, 6.0, 11.0, 6.0]), queue_holds_memory=queue_holds_memory
    )
    node = NodeState(np.zeros(1), np.array([10.0]), np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match=r"task 2 fits no node: it needs 11 B .* 10 B"):
        schedule_stream(tasks, np.arange(4.0), "fcfs", node, tasks_per_window=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("size", [{"tasks_per_window": 2}, {"seconds_per_window": 1.0}])
def test_an_arrival_that_is_no_time_is_refused_with_its_place(bad, size):
    arrival = np.arange(6.0)
    arrival[2] = bad
    with pytest.raises(ValueError, match=rf"arrival_seconds\[2\] is {bad}; it must be finite and >= 0"):
        schedule_stream(TWO_EQUAL_NODES, arrival, "fcfs", **size)


def test_a_window_counts_whole_tasks_and_a_scheduler_may_be_named():
    made = schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), create_scheduler("fcfs"), tasks_per_window=2)
    for size in (np.int64(2), np.uint8(2)):
        named = schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), "fcfs", tasks_per_window=size)
        np.testing.assert_array_equal(named.finish_seconds, made.finish_seconds)
    for size in (2.0, 2.5, True, "2", np.nan):
        with pytest.raises(ValueError, match=r"tasks_per_window is .* must be a whole number"):
            schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), "fcfs", tasks_per_window=size)
    with pytest.raises(ValueError, match="Did you mean 'fcfs'"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), "fcfss", tasks_per_window=2)
    with pytest.raises(ValueError, match="has no name"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), {"evaluations": 9}, tasks_per_window=2)
    with pytest.raises(ValueError, match="scheduler is 3; it must be a name"):
        schedule_stream(TWO_EQUAL_NODES, np.arange(6.0), 3, tasks_per_window=2)


def test_deadlines_count_from_the_start_and_misses_are_reported():
    tasks = TaskWindow(np.full((3, 1), 2.0), deadline_seconds=np.array([9.0, 3.5, 5.0]))
    stream = schedule_stream(tasks, np.array([0.0, 1.0, 1.0]), create_scheduler("fcfs"), tasks_per_window=3)
    # The window opens at 1; the earliest deadline goes first.
    np.testing.assert_array_equal(stream.finish_seconds, [7.0, 3.0, 5.0])
    assert stream.missed_deadlines.tolist() == []
    late = schedule_stream(tasks, np.array([0.0, 2.0, 2.0]), create_scheduler("fcfs"), tasks_per_window=3)
    assert late.missed_deadlines.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["fcfs", "min_min", "atsa"])
@settings(max_examples=30)
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
