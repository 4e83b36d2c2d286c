"""The basic ant system, the particle swarm, and the printed form of ATSA."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.scheduling import TaskWindow, create_scheduler, schedule
from cloudedge_pl.scheduling.families import generate

TIMES = generate("unrelated", 40, 4, seed=0)


@pytest.mark.parametrize("name", ["aco", "pso"])
def test_search_beats_chance_and_learns(name):
    found = schedule(TIMES, name, evaluations=3000)
    assert found.makespan_seconds < schedule(TIMES, "random").makespan_seconds
    assert found.history_seconds[-1] < 0.9 * found.history_seconds[0]
    assert len(found.history_seconds) == 3000


def test_the_printed_form_heads_for_least_total_work_whatever_the_loads():
    """Where one node is the fastest for every task, the printed objective drives the work there."""
    times = np.random.default_rng(1).uniform(1, 2, (30, 1)) * np.array([[1.0, 1.5, 2.0, 2.5]])
    printed = schedule(times, "atsa_paper", evaluations=20000, evaporation_rate=0.05)
    improved = schedule(times, "atsa")
    assert printed.tasks_per_node[0] > 0.8 * len(times)
    assert printed.makespan_seconds > 1.5 * improved.makespan_seconds

    def work(assignment) -> float:
        return float(times[np.arange(len(times)), assignment.node].sum())

    assert work(printed) < work(improved)


def test_the_printed_heuristic_is_memory_alone():
    """Of two nodes with equal times the roomier one is preferred, and loses its appeal as it fills."""
    window = TaskWindow(np.broadcast_to(np.array([1.0, 1.0]), (20, 2)), np.full(20, 1.0))
    from cloudedge_pl.scheduling import NodeState

    state = NodeState(np.zeros(2), np.array([1000.0, 10.0]), np.ones(2, dtype=bool))
    assignment = create_scheduler("atsa_paper", evaluations=1).assign(window, state)
    assert assignment.tasks_per_node[0] > assignment.tasks_per_node[1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("aco", {"evaporation_rate": 1.0}),
        ("aco", {"evaluations": 0}),
        ("atsa_paper", {"alpha": 0.0}),
        ("pso", {"inertia": 1.0}),
        ("pso", {"particles": 0}),
        ("exact", {"time_limit_seconds": 0.0}),
    ],
)
def test_options_out_of_range(name, options):
    with pytest.raises(ValueError, match=f"{name}: {next(iter(options))} is .* must"):
        create_scheduler(name, **options)


@pytest.mark.parametrize("name", ["aco", "pso", "atsa_paper"])
def test_a_window_with_few_schedules_takes_few_samples(name: str) -> None:
    """The fleet's test asks task by task: a search of 10,000 for each of its ten nodes would take seconds."""
    times = np.linspace(1.0, 2.0, 10)[None]
    one = schedule(times, name)
    assert len(one.history_seconds) <= 50 * 10
    assert one.node.tolist() == [0]
    assert len(schedule(np.repeat(times, 6, axis=0), name).history_seconds) == 10_000
