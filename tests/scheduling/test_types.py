"""Windows and node states check themselves."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow

TIMES = np.array([[1.0, 2.0], [3.0, np.inf]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times_seconds": np.ones(3)}, r"shape \(3,\); expected \[num_tasks, num_nodes\]"),
        ({"times_seconds": np.ones((3, 0))}, "at least one node"),
        ({"times_seconds": np.array([[1.0, -2.0]])}, r"times_seconds\[0, 1\] is -2"),
        ({"times_seconds": np.array([[1.0], [np.nan]])}, r"times_seconds\[1, 0\] is nan"),
        ({"memory_bytes": np.array([1.0])}, r"memory_bytes has shape \(1,\); expected \[2\]"),
        ({"memory_bytes": np.array([1.0, -1.0])}, r"memory_bytes\[1\] is -1"),
        ({"memory_bytes": np.array([np.inf, 1.0])}, r"memory_bytes\[0\] is inf"),
        ({"deadline_seconds": np.array([np.nan, 2.0])}, r"deadline_seconds\[0\] is nan"),
    ],
)
def test_a_wrong_window_is_refused_with_place_and_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskWindow(**{"times_seconds": TIMES, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ready_seconds": np.ones((2, 2))}, "ready_seconds has shape"),
        ({"ready_seconds": np.array([0.0, -1.0])}, r"ready_seconds\[1\] is -1"),
        ({"free_memory_bytes": np.array([1.0, -1.0])}, r"free_memory_bytes\[1\] is -1"),
        ({"available": np.ones(3, dtype=bool)}, r"available has shape \(3,\)"),
        ({"names": ("a", "a")}, "2 unique labels"),
    ],
)
def test_a_wrong_state_is_refused(arguments, message):
    plain = {
        "ready_seconds": np.zeros(2),
        "free_memory_bytes": np.full(2, np.inf),
        "available": np.ones(2, dtype=bool),
    }
    with pytest.raises(ValueError, match=message):
        NodeState(**{**plain, **arguments})


def test_what_is_left_out_does_not_matter():
    window = TaskWindow(TIMES)
    assert (window.num_tasks, window.num_nodes) == (2, 2)
    np.testing.assert_array_equal(window.memory_bytes, [0, 0])
    np.testing.assert_array_equal(window.deadline_seconds, [np.inf, np.inf])
    assert NodeState.idle(2).names == ("0", "1")


def test_a_broadcast_row_is_not_copied():
    row = np.broadcast_to(np.array([1.0, 2.0]), (10**9, 2))
    assert TaskWindow(row[:1000]).times_seconds.strides[0] == 0


def test_work_over_speed():
    window = TaskWindow.from_work(
        np.array([6.0, 12.0]), np.array([2.0, 3.0]), memory_bytes=np.array([1.0, 2.0])
    )
    np.testing.assert_array_equal(window.times_seconds, [[3, 2], [6, 4]])
    with pytest.raises(ValueError, match=r"speed_flops_per_second\[1\] is 0"):
        TaskWindow.from_work(np.ones(2), np.array([1.0, 0.0]))


def test_gap_is_the_share_above_the_bound():
    def made(load: float, bound: float) -> Assignment:
        return Assignment(np.zeros(1, dtype=np.int64), np.array([load, 0.0]), bound, np.array([load]))

    assert made(3.0, 2.0).gap == 0.5
    assert made(0.0, 0.0).gap == 0.0
    assert made(1.0, 0.0).gap == np.inf
