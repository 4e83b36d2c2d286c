"""The exact scheduler in any units: proofs that hold, memory to the last byte, backlogs that decide the makespan."""

import numpy as np
import pytest

from cloudedge_pl.scheduling import NodeState, TaskWindow, create_scheduler
from tests.scheduling.problems import least_makespan


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7, 1e12])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_called_proven_is_optimal_in_any_unit(unit, seed):
    times = np.random.default_rng(seed).uniform(1, 9, (7, 3)) * unit
    window, state = TaskWindow(times), NodeState.idle(3)
    assignment = create_scheduler("exact", start=False).assign(window, state)
    least = least_makespan(window, state)
    assert assignment.makespan_seconds == pytest.approx(least, rel=1e-6)
    assert assignment.lower_bound_seconds <= least
    assert assignment.gap <= 2e-6


@pytest.mark.parametrize("short_bytes", [0, 1])
def test_memory_counts_to_the_byte(short_bytes):
    # Node 0 is quick and holds the two largest tasks to the byte; a byte less, and one of them must go to node 1.
    times = np.array([[1.0, 9.0], [1.0, 9.0], [1.0, 9.0]])
    need = np.array([4e9, 3e9 + 1, 1e9])
    room = np.array([need[:2].sum() - short_bytes, np.inf])
    state = NodeState(np.zeros(2), room, np.ones(2, dtype=bool))
    window = TaskWindow(times, need, queue_holds_memory=True)
    node = create_scheduler("exact", start=False).assign(window, state).node
    assert need[node == 0].sum() <= room[0]
    assert (node == 0).sum() == 2


@pytest.mark.parametrize("start", [True, False])
def test_a_backlog_that_decides_the_makespan_leaves_the_rest_optimal(start):
    random = np.random.default_rng(5)
    window, idle = TaskWindow(random.uniform(1, 9, (8, 3))), NodeState.idle(3)
    busy = NodeState(np.array([0.0, 0.0, 1e3]), idle.free_memory_bytes, idle.available)
    two = TaskWindow(window.times_seconds[:, :2])
    loads = create_scheduler("exact", start=start).assign(window, busy).loads_seconds
    assert loads.max() == 1e3
    assert loads[:2].max() == pytest.approx(least_makespan(two, NodeState.idle(2)), rel=1e-6)


@pytest.mark.parametrize("gap", [-0.1, 1.01, 2, np.inf])
def test_a_gap_that_proves_nothing_is_refused(gap):
    with pytest.raises(ValueError, match=r"exact: gap is .*; it must lie in \[0, 1\]"):
        create_scheduler("exact", gap=gap)
