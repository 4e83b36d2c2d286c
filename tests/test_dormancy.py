"""The sleep rule: its modes, its laws."""

from __future__ import annotations

import functools
import itertools
import math
import subprocess
import sys
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.dormancy import DormancyRule, DormancyState, next_state, timed
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.dormancy_kernel import advance as compiled_advance

delays = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=60)


def run(rule: DormancyRule, series: list[float]) -> list[DormancyState]:
    states, state = [], DormancyState()
    for delay in series:
        state = next_state(rule, state, delay)
        states.append(state)
    return states


@settings(max_examples=100)
@given(delays)
def test_paper_mode_sleeps_exactly_above_the_mean_so_far(series: list[float]) -> None:
    states = run(DormancyRule(mode="paper"), series)
    for index, state in enumerate(states):
        mean = np.mean(series[: index + 1])
        assert state.average_seconds == pytest.approx(mean)
        if abs(series[index] - mean) > 1e-9:
            assert state.awake == (series[index] < mean)


@settings(max_examples=100)
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
        {"mode": "sometimes"},
        {"sleep_ratio": 1.0, "wake_ratio": 1.2},
        {"wake_ratio": 0.0},
        {"smoothing": 0.0},
        {"smoothing": 1.5},
        {"warmup_windows": 0},
        {"dwell_windows": 0},
        {"dwell_windows": 1.5},
        {"dwell_seconds": -1.0},
        {"share_asleep": 0.0},
        {"share_asleep": 1.0},
        {"probe_bytes": 0.0},
        {"mode": "paper", "dwell_seconds": 1.0},
        {"mode": "never", "dwell_seconds": 1.0},
        {"mode": "always", "dwell_seconds": 1.0},
    ],
)
def test_bad_rules_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="dormancy"):
        DormancyRule(**options)


def test_state_survives_as_plain_values() -> None:
    state = DormancyState(False, 1.5, 3, 2)
    assert DormancyState.from_dict(state.to_dict()) == state


def test_states_of_earlier_versions_load_or_are_refused_by_name() -> None:
    old = {"awake": False, "average_seconds": 1.5, "measurements": 3, "against": 2}
    assert DormancyState.from_dict(old) == DormancyState(False, 1.5, 3, 2)
    with pytest.raises(CheckpointError, match="sleeping_windows"):
        DormancyState.from_dict({"awake": False, "sleeping_windows": 2})


def test_importing_the_rule_does_not_import_numba() -> None:
    code = "import sys, cloudedge_pl.dormancy; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- modes that came later: never, always, deadline, quantile ---


def lognormal_delays(num: int, deviation: float, correlation: float, seed: int) -> list[float]:
    random, value, delays = np.random.default_rng(seed), 0.0, []
    for number in range(num):
        innovation = float(random.standard_normal())
        value = (
            innovation if number == 0 else correlation * value + math.sqrt(1 - correlation**2) * innovation
        )
        delays.append(0.05 * math.exp(deviation * value))
    return delays


def states(rule: DormancyRule, delays: list[float], **also: Any) -> list[DormancyState]:
    state, found = DormancyState(), []
    for number, delay in enumerate(delays):
        state = next_state(rule, state, delay, clock_seconds=float(number), **also)
        found.append(state)
    return found


@pytest.mark.parametrize(("mode", "awake"), [("never", True), ("always", False)])
def test_never_and_always_keep_the_cloud_as_it_is(mode: Any, awake: bool) -> None:
    found = states(DormancyRule(mode=mode), [0.1, 5.0, math.inf, 0.1])
    assert [state.awake for state in found] == [awake] * 4


@pytest.mark.parametrize("correlation", [0.0, 0.8])
@pytest.mark.parametrize("dwell", [{"dwell_windows": 1}, {"dwell_windows": 3}, {"dwell_seconds": 8.0}])
@pytest.mark.parametrize("deviation", [0.1, 0.35, 0.6])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_quantile_sleeps_for_the_share_that_it_is_asked_for(
    share: float, deviation: float, dwell: dict[str, Any], correlation: float
) -> None:
    rule = DormancyRule(mode="quantile", share_asleep=share, **dwell)
    for seed in range(3):
        found = states(rule, lognormal_delays(1300, deviation, correlation, seed))[300:]
        assert abs(np.mean([not state.awake for state in found]) - share) < 0.05


@pytest.mark.parametrize("dwell", [1, 4])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_quantiles_are_unbiased_whatever_the_dwell(share: float, dwell: int) -> None:
    rule = DormancyRule(mode="quantile", share_asleep=share, dwell_windows=dwell)
    found = states(rule, lognormal_delays(20_000, 0.3, 0.0, 1))[1000:]
    expected = math.log(0.05) + 0.3 * NormalDist().inv_cdf(1 - share)
    assert np.mean([math.log(state.average_seconds) for state in found]) == pytest.approx(expected, abs=0.01)


def test_without_a_dwell_the_cloud_sleeps_exactly_above_the_quantile() -> None:
    rule = DormancyRule(mode="quantile", dwell_windows=1, warmup_windows=1)
    series = lognormal_delays(500, 0.4, 0.8, 2)
    found = states(rule, series)
    for number in range(1, len(series)):
        assert found[number].awake == (series[number] <= found[number - 1].average_seconds)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05, 0.1, 0.3, 1.7])
def test_on_a_link_that_does_not_vary_the_quantile_is_its_delay(delay: float) -> None:
    for state in states(DormancyRule(mode="quantile"), [delay] * 200):
        assert state.awake
        assert state.average_seconds == delay


def test_the_quantile_follows_a_link_that_changes_for_good() -> None:
    series = lognormal_delays(3000, 0.3, 0.0, 4)
    series = series[:1000] + [10.0 * delay for delay in series[1000:]]
    found = states(DormancyRule(mode="quantile"), series)[2000:]
    assert abs(np.mean([not state.awake for state in found]) - 0.3) < 0.05


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.floats(0.0, 10.0) | st.just(math.inf), st.floats(-1.0, 10.0)), min_size=1, max_size=60
    )
)
def test_deadline_sleeps_exactly_where_the_answer_would_be_late(windows: list[tuple[float, float]]) -> None:
    rule, state = DormancyRule(mode="deadline", dwell_windows=1), DormancyState()
    for delay, limit in windows:
        state = next_state(rule, state, delay, limit_seconds=limit)
        assert state.awake == (delay <= limit and delay < math.inf)


def test_deadline_with_a_dwell_needs_as_many_late_windows_in_a_row() -> None:
    rule = DormancyRule(mode="deadline", dwell_windows=2)
    found = states(rule, [9.0, 1.0, 9.0, 9.0, 1.0, 9.0, 1.0, 1.0], limit_seconds=2.0)
    assert [state.awake for state in found] == [True, True, True, False, False, False, False, True]


@pytest.mark.parametrize("warmup", [1, 10])
def test_after_an_outage_the_cloud_sleeps_for_the_dwell(warmup: int) -> None:
    rule = DormancyRule(dwell_seconds=4.0, dwell_windows=1, warmup_windows=warmup)
    found = states(rule, [1.0, 1.0, math.inf, *[1.0] * 6])
    assert [state.awake for state in found] == [True] * 2 + [False] * 4 + [True] * 3


def test_a_clock_that_starts_anew_keeps_no_dwell_of_the_old_one() -> None:
    rule = DormancyRule(dwell_seconds=5.0, dwell_windows=1, warmup_windows=1)
    asleep = DormancyState(False, 1.0, 100, since_seconds=5000.0)
    assert next_state(rule, asleep, 1.0, clock_seconds=0.5).awake
    assert not next_state(rule, asleep, 1.0, clock_seconds=5004.0).awake


@settings(max_examples=100)
@given(
    delays=st.lists(st.floats(0.0, 10.0) | st.just(math.inf), min_size=1, max_size=200),
    mode=st.sampled_from(["hysteresis", "quantile", "deadline"]),
    dwell_seconds=st.floats(0.0, 20.0),
    dwell_windows=st.integers(1, 5),
)
def test_no_change_comes_inside_the_dwell(
    delays: list[float], mode: Any, dwell_seconds: float, dwell_windows: int
) -> None:
    rule = DormancyRule(
        mode=mode,
        dwell_seconds=dwell_seconds,
        dwell_windows=dwell_windows,
        warmup_windows=1,
        share_asleep=0.5,
    )
    found = states(rule, delays, limit_seconds=1.0)
    changes = [number for number in range(1, len(found)) if found[number].awake != found[number - 1].awake]
    for before, after in itertools.pairwise(changes):
        if math.isfinite(delays[after]):  # an outage puts the cloud to sleep at once
            assert after - before >= max(dwell_seconds, dwell_windows)


@settings(max_examples=100)
@given(
    mode=st.sampled_from(["hysteresis", "paper", "quantile", "deadline", "never", "always"]),
    delays=st.lists(st.floats(0.0, 10.0) | st.just(math.inf), min_size=1, max_size=50),
)
def test_packed_states_are_the_same_states(mode: Any, delays: list[float]) -> None:
    for state in states(DormancyRule(mode=mode), delays, limit_seconds=1.0):
        copy = DormancyState.unpacked(state.packed())
        assert str(copy) == str(state)  # nan equals nan in text


def test_compiled_and_plain_rule_are_one() -> None:
    for mode in ("hysteresis", "paper", "quantile", "deadline"):
        rule, state = DormancyRule(mode=mode), DormancyState()  # type: ignore[arg-type]  # a name of each
        values = state.packed()
        for number, delay in enumerate(lognormal_delays(300, 0.5, 0.5, 3)):
            state = next_state(rule, state, delay, limit_seconds=0.06, clock_seconds=float(number))
            compiled_advance(rule.packed(), values, delay, 0.06, float(number))
            np.testing.assert_allclose(values, state.packed(), rtol=1e-12)


@settings(max_examples=50)
@given(
    outages=st.sets(st.integers(0, 199), max_size=40),
    dwell=st.integers(1, 5),
    dwell_seconds=st.floats(0.0, 9.0),
)
def test_outages_leave_no_trace_in_the_quantile(outages: set[int], dwell: int, dwell_seconds: float) -> None:
    rule = DormancyRule(mode="quantile", dwell_windows=dwell, dwell_seconds=dwell_seconds)
    series = lognormal_delays(200, 0.3, 0.0, 5)
    plain = [state.average_seconds for state in states(rule, series)]
    broken = [d for at, delay in enumerate(series) for d in ([math.inf, delay] if at in outages else [delay])]
    found = states(rule, broken)
    assert [state.average_seconds for state, d in zip(found, broken, strict=True) if d < math.inf] == plain
    assert not any(state.awake for state, d in zip(found, broken, strict=True) if d == math.inf)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([0.0, 5e-324, 1e-300, 1e-3, 1.0, 1e300]), min_size=2, max_size=60))
def test_absurd_delays_overflow_nothing(series: list[float]) -> None:
    rule = DormancyRule(mode="quantile", smoothing=1.0, warmup_windows=1, dwell_windows=2)
    for state in states(rule, series):
        assert math.isfinite(state.average_seconds)
        assert math.isfinite(state.margin)


def test_a_rule_is_given_the_times_that_it_takes() -> None:
    given: list[float] = []

    def plain(state: DormancyState, delay_seconds: float) -> DormancyState:
        return state

    def knowing(state: DormancyState, delay_seconds: float, *, clock_seconds: float = 0.0) -> DormancyState:
        given.append(clock_seconds)
        return state

    for rule in (plain, knowing):
        timed(rule)(DormancyState(), 1.0, limit_seconds=2.0, clock_seconds=3.0)
    assert given == [3.0]
    late = functools.partial(next_state, DormancyRule(mode="deadline", dwell_windows=1))
    assert not timed(late)(DormancyState(), 1.0, limit_seconds=0.5, clock_seconds=0.0).awake
