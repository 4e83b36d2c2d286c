"""The registry: names, options and what is said of wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.scheduling import SCHEDULERS, NodeState, Scheduler, TaskWindow, create_scheduler, schedule

TIMES = np.random.default_rng(0).uniform(1, 9, (12, 4))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_answers_and_keeps_a_plain_state(name):
    scheduler = create_scheduler(name, seed=1)
    assert isinstance(scheduler, Scheduler)
    assignment = schedule(TIMES, scheduler)
    assert assignment.node.shape == (12,)
    assert assignment.node.dtype == np.int64
    assert _plain(scheduler.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"evaporation_rate": 0.0},
        {"evaporation_rate": 1.0},
        {"alpha": 0.5},
        {"beta": 11.0},
        {"deposit": 0.0},
        {"ants": 0},
        {"evaluations": 0},
    ],
)
def test_an_option_out_of_range_is_named_with_its_range(options):
    with pytest.raises(ValueError, match=f"atsa: {next(iter(options))} is .* must"):
        create_scheduler("atsa", **options)


def test_unknown_names_and_options_are_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown scheduler 'asta'\. Did you mean 'atsa'"):
        create_scheduler("asta")
    with pytest.raises(ValueError, match=r"option of scheduler 'atsa', 'ant'\. Did you mean 'ants'"):
        create_scheduler("atsa", ant=3)
    with pytest.raises(ValueError, match="seed is -1"):
        create_scheduler("atsa", seed=-1)


def test_options_go_with_a_name_only():
    with pytest.raises(ValueError, match="options"):
        schedule(TIMES, create_scheduler("fcfs"), ants=3)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_resumed_scheduler_goes_on_as_if_it_had_not_stopped(name):
    windows = [TaskWindow(np.random.default_rng(seed).uniform(1, 9, (15, 4))) for seed in range(4)]
    state = NodeState.idle(4)
    whole, first, second = (create_scheduler(name, seed=3) for _ in range(3))
    expected = [whole.assign(window, state).node for window in windows]
    for window in windows[:2]:
        first.assign(window, state)
    second.load_state_dict(first.state_dict())
    for window, node in zip(windows[2:], expected[2:], strict=True):
        np.testing.assert_array_equal(second.assign(window, state).node, node)


def _plain(value) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _plain(part) for key, part in value.items())
    if type(value) is list:
        return all(map(_plain, value))
    return type(value) in (int, float, str, bool, type(None))
