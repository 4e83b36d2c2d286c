"""The windows of Figure 7, and when a search counts as converged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.paper.windows import NUM_NODES, Outcomes, Windows, evaluations_to, run_schedulers


def windows(num_tasks: int = 8, **changes: float) -> Windows:
    return Windows(picture_flops=6e9, slowest_flops_per_second=2e9, num_tasks=num_tasks, **changes)


@given(seed=st.integers(0, 1000), node_ratio=st.floats(1, 50), task_ratio=st.floats(1, 100))
def test_times_lie_between_a_picture_on_the_fastest_and_the_largest_task_on_the_slowest_node(
    seed: int, node_ratio: float, task_ratio: float
):
    times = windows(node_ratio=node_ratio, task_ratio=task_ratio).window(seed).times_seconds
    assert times.shape == (8, NUM_NODES)
    assert times.min() >= 3.0 / node_ratio * (1 - 1e-12)
    assert times.max() <= 3.0 * task_ratio * (1 + 1e-12)
    np.testing.assert_allclose(times * times[0, 0], np.outer(times[:, 0], times[0]))  # work over speed


def test_a_larger_window_starts_with_the_tasks_of_a_smaller_one():
    np.testing.assert_array_equal(windows(20).window(3).times_seconds[:8], windows(8).window(3).times_seconds)


def test_equal_tasks_on_like_nodes_take_the_same_time_everywhere():
    assert np.unique(windows(node_ratio=1.0, task_ratio=1.0).window(0).times_seconds).tolist() == [3.0]


@pytest.mark.parametrize(
    ("history", "goal", "expected"),
    [
        ([5.0, 4.0, 2.0, 2.0], 2.0, 3),
        ([5.0, 2.01, 2.0], 2.0, 2),
        ([2.0], 2.0, 1),
        ([5.0, 2.0, 3.0], 2.0, np.inf),  # the printed form may end with a longer makespan
        ([2.0, 3.0, 2.0], 2.0, 3),
        ([5.0, 4.0], 2.0, np.inf),
    ],
)
def test_evaluations_until_a_makespan_stays_near_its_goal(history, goal, expected):
    assert evaluations_to(np.array(history), goal) == expected


def test_outcomes_relate_to_the_bound():
    found = Outcomes(
        makespan_seconds=np.array([2.0, 3.0]),
        bound_seconds=np.array([2.0, 2.0]),
        histories_seconds=(np.array([4.0, 2.0]), np.array([3.0])),
    )
    assert found.above_bound.tolist() == [0.0, 0.5]
    assert found.converged().tolist() == [2, 1]
    assert found.reached().tolist() == [2, np.inf]
    assert found.above_bound_at(np.array([1, 2, 9])).tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]]


def test_every_scheduler_gets_the_same_windows_and_the_highest_bound():
    found = run_schedulers(windows(30), ("fcfs", "atsa"), [0, 1])
    assert (found["fcfs"].bound_seconds == found["atsa"].bound_seconds).all()
    assert (found["atsa"].makespan_seconds <= found["fcfs"].makespan_seconds).all()
    assert (found["atsa"].makespan_seconds >= found["atsa"].bound_seconds * (1 - 1e-12)).all()
