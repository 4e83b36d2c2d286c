"""The sleep rule: its two modes, its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.dormancy import DormancyRule, DormancyState, next_state

delays = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=60)


def run(rule: DormancyRule, series: list[float]) -> list[DormancyState]:
    states, state = [], DormancyState()
    for delay in series:
        state = next_state(rule, state, delay)
        states.append(state)
    return states


@settings(deadline=None, derandomize=True, max_examples=100)
@given(delays)
def test_paper_mode_sleeps_exactly_above_the_mean_so_far(series: list[float]) -> None:
    states = run(DormancyRule(mode="paper"), series)
    for index, state in enumerate(states):
        mean = np.mean(series[: index + 1])
        assert state.average_seconds == pytest.approx(mean)
        if abs(series[index] - mean) > 1e-9:
            assert state.awake == (series[index] < mean)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(delays)
def test_delays_asleep_never_enter_the_average(series: list[float]) -> None:
    rule = DormancyRule(smoothing=0.3, warmup_windows=2, max_sleep_windows=7)
    states = run(rule, series)
    average, heard = math.nan, 0
    for index, (delay, state) in enumerate(zip(series, states, strict=True)):
        assert state.awake or index >= 2
        if state.awake:
            heard += 1
            weight = max(0.3, 1 / heard)
            average = delay if heard == 1 else (1 - weight) * average + weight * delay
        assert state.average_seconds == pytest.approx(average)
        assert state.sleeping_windows <= 7


def test_hysteresis_needs_less_to_stay_asleep_than_to_fall_asleep() -> None:
    rule = DormancyRule(sleep_ratio=2.0, wake_ratio=1.2, smoothing=1e-9, warmup_windows=50)
    states = run(rule, [1.0] * 50 + [1.9, 2.1, 1.5, 1.25, 1.19, 1.9])
    assert [state.awake for state in states[50:]] == [True, False, False, False, True, True]


def test_a_link_that_stays_slow_is_used_again() -> None:
    rule = DormancyRule(smoothing=0.5, warmup_windows=1, max_sleep_windows=5)
    states = run(rule, [1.0] + [3.0] * 60)
    assert not states[1].awake
    assert all(state.awake for state in states[-20:])


def test_symmetric_noise_keeps_the_default_awake_more_than_the_paper() -> None:
    series = np.exp(0.1 * np.random.default_rng(0).standard_normal(2000)).tolist()
    share = {
        mode: np.mean([not s.awake for s in run(DormancyRule(mode=mode), series)])
        for mode in ("hysteresis", "paper")
    }
    assert share["hysteresis"] < 0.05
    assert 0.4 < share["paper"] < 0.6


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "never"},
        {"sleep_ratio": 1.0, "wake_ratio": 1.2},
        {"wake_ratio": 0.0},
        {"smoothing": 0.0},
        {"smoothing": 1.5},
        {"warmup_windows": 0},
        {"max_sleep_windows": 0},
    ],
)
def test_bad_rules_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="dormancy"):
        DormancyRule(**options)


def test_state_survives_as_plain_values() -> None:
    state = DormancyState(False, 1.5, 3, 2)
    assert DormancyState(**state.to_dict()) == state
