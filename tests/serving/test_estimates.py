"""What the master learns: the time of a node, and the delay to the cloud as for one sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.serving.estimates import RoundTrip, ServiceEstimate

seconds = st.floats(1e-4, 10.0)


@given(st.lists(seconds, min_size=1, max_size=30), st.floats(0.05, 1.0))
def test_the_estimate_is_the_mean_at_first_and_then_exponentially_weighted(
    values: list[float], smoothing: float
) -> None:
    estimate = ServiceEstimate(smoothing=smoothing)
    expected = 0.0
    for number, value in enumerate(values, 1):
        estimate.add(value, 0.0)
        weight = max(smoothing, 1 / number)
        expected = (1 - weight) * expected + weight * value
    assert estimate.mean_seconds == pytest.approx(expected)
    assert estimate.measurements == len(values)


def test_without_a_measurement_a_node_is_taken_for_the_fastest() -> None:
    assert ServiceEstimate().at(0.0, 0.25) == 0.25
    assert math.isnan(ServiceEstimate().mean_seconds)


@given(seconds, seconds, st.floats(0, 100), st.floats(0, 100))
def test_an_estimate_that_is_not_renewed_falls_to_the_fastest_node_s(
    own: float, fastest: float, early: float, later: float
) -> None:
    estimate = ServiceEstimate(half_life_seconds=10.0)
    estimate.add(own, 0.0)
    assert estimate.at(0.0, fastest) == pytest.approx(own)
    first, second = estimate.at(early, fastest), estimate.at(early + later, fastest)
    if own <= fastest:
        assert first == second == own
    else:
        assert own >= first >= second >= fastest * (1 - 1e-12)
        assert estimate.at(10.0, fastest) == pytest.approx((own + fastest) / 2)


@given(
    st.floats(0.0, 1.0),
    st.floats(0.001, 0.1),
    st.lists(st.integers(1, 16), min_size=2, max_size=50).filter(lambda counts: len(set(counts)) > 1),
)
def test_calls_of_any_number_of_samples_show_the_time_of_one(
    fixed: float, each: float, counts: list[int]
) -> None:
    times = RoundTrip()
    for samples in counts:
        times.add(fixed + each * samples, samples)
    assert times.line == pytest.approx((fixed, each), rel=1e-4, abs=1e-6)
    for samples in (1, 3, 16):
        taken = 2 * (fixed + each * samples)  # on a link that has become twice as slow
        assert times.of_one(taken, samples) == pytest.approx(2 * (fixed + each), rel=1e-3)


def test_calls_of_one_size_say_nothing_of_another() -> None:
    times = RoundTrip()
    assert times.expected_seconds(1) == 0
    assert times.of_one(0.3, 4) == 0.3
    for _ in range(5):
        times.add(0.4, 4)
    assert times.of_one(0.8, 4) == pytest.approx(0.8)
    assert times.expected_seconds(8) == pytest.approx(0.4)


@given(st.lists(st.tuples(seconds, st.integers(1, 8)), min_size=1, max_size=40))
def test_the_line_never_predicts_less_than_nothing(calls: list[tuple[float, int]]) -> None:
    times = RoundTrip()
    for taken, samples in calls:
        times.add(taken, samples)
    assert min(times.line) >= -1e-12
    assert np.isfinite(times.of_one(1.0, 8))
