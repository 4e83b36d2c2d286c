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
@given(st.lists(st.one_of(st.floats(1e-3, 10.0), st.just(math.inf)), min_size=1, max_size=60))
def test_the_average_counts_every_finite_delay_whatever_is_decided(series: list[float]) -> None:
    states = run(DormancyRule(smoothing=0.3, warmup_windows=2), series)
    average, heard = math.nan, 0
    for delay, state in zip(series, states, strict=True):
        if math.isfinite(delay):
            heard += 1
            weight = max(0.3, 1 / heard)
            average = delay if heard == 1 else (1 - weight) * average + weight * delay
        assert state.measurements == heard
        assert state.average_seconds == pytest.approx(average, nan_ok=True)


def link(log_sd: float, correlation: float, seed: int, windows: int = 1000) -> list[float]:
    """Delays about 1 s whose logarithm is a first-order autoregressive process."""
    noise = np.random.default_rng(seed).standard_normal(windows)
    for window in range(1, windows):
        noise[window] = correlation * noise[window - 1] + math.sqrt(1 - correlation**2) * noise[window]
    return np.exp(log_sd * noise).tolist()


@pytest.mark.parametrize("correlation", [0.0, 0.8])
@pytest.mark.parametrize("log_sd", [0.3, 0.6])
def test_noise_neither_sinks_the_average_nor_makes_the_cloud_flap(log_sd: float, correlation: float) -> None:
    runs = [run(DormancyRule(), link(log_sd, correlation, seed)) for seed in range(20)]
    average = np.mean([[state.average_seconds for state in states[200:]] for states in runs])
    assert average == pytest.approx(math.exp(log_sd**2 / 2), rel=0.04)
    awake = np.array([[state.awake for state in states] for states in runs])
    assert np.abs(np.diff(awake.astype(int), axis=1)).sum(axis=1).max() <= 44
    assert 1 - awake.mean() < 0.15


def test_hysteresis_needs_less_to_stay_asleep_than_to_fall_asleep() -> None:
    rule = DormancyRule(
        sleep_ratio=2.0, wake_ratio=1.2, smoothing=1e-9, warmup_windows=10**6, dwell_windows=1
    )
    settled = run(rule, [1.0] * 10**4)[-1]
    rule = DormancyRule(sleep_ratio=2.0, wake_ratio=1.2, smoothing=1e-9, warmup_windows=1, dwell_windows=1)
    awake = []
    for delay in [1.9, 2.1, 1.5, 1.25, 1.19, 1.9]:
        settled = next_state(rule, settled, delay)
        awake.append(settled.awake)
    assert awake == [True, False, False, False, True, True]


def test_the_cloud_changes_after_so_many_delays_in_a_row() -> None:
    rule = DormancyRule(smoothing=1e-9, warmup_windows=1, dwell_windows=3)
    quiet = [1.0] * 1000
    states = run(rule, [*quiet, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0])
    assert [state.awake for state in states[1000:]] == [True] * 5 + [False] * 6 + [True]


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_link_that_changes_for_good_is_used_again(factor: float) -> None:
    states = run(DormancyRule(), [1.0] * 100 + [factor] * 200)
    asleep = [window for window, state in enumerate(states) if not state.awake]
    assert all(100 <= window < 180 for window in asleep)
    assert bool(asleep) == (factor > 1)


@pytest.mark.parametrize("mode", ["hysteresis", "paper"])
def test_an_outage_is_slept_through_and_leaves_no_trace(mode) -> None:
    rule = DormancyRule(mode=mode)
    before, during, after = [1.0] * 50, [math.inf] * 30, [1.0] * 10
    states = run(rule, before + during + after)
    assert not any(state.awake for state in states[50:80])
    assert all(state.awake for state in states[82:])
    assert states[-1].average_seconds == 1.0
    assert not run(rule, [math.inf])[0].awake
    assert run(rule, [math.inf, *before])[-1].awake


@pytest.mark.parametrize("delay", [math.nan, -1.0])
def test_what_is_no_delay_is_refused(delay: float) -> None:
    with pytest.raises(ValueError, match="delay_seconds"):
        next_state(DormancyRule(), DormancyState(), delay)


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
        {"dwell_windows": 0},
        {"dwell_windows": 1.5},
    ],
)
def test_bad_rules_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="dormancy"):
        DormancyRule(**options)


def test_state_survives_as_plain_values() -> None:
    state = DormancyState(False, 1.5, 3, 2)
    assert DormancyState(**state.to_dict()) == state
