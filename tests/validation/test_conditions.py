"""Conditions that check themselves, and arrivals that depend on the seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.validation.conditions import CONDITIONS, Condition, Span, poisson


@given(rate=st.floats(0.01, 200), seed=st.integers(0, 1000))
def test_arrivals_ascend_within_the_span_and_one_is_measured(rate: float, seed: int) -> None:
    span = Span(warmup_seconds=1.0, seconds=4.0)
    times = poisson(rate, span, seed)
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < span.end_seconds
    assert (times >= span.warmup_seconds).any()
    assert np.array_equal(times, poisson(rate, span, seed))


def test_arrivals_have_their_rate() -> None:
    times = poisson(50.0, Span(warmup_seconds=0.0, seconds=400.0), 3)
    assert len(times) / 400 == pytest.approx(50.0, rel=0.03)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # exponential


def test_shares_of_time_are_of_the_time_that_is_measured() -> None:
    span = Span(warmup_seconds=2.0, seconds=10.0)
    assert (span.at(0.0), span.at(0.5), span.at(1.0)) == (2.0, 7.0, span.end_seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"load": 0.0},
        {"load": 1.0},
        {"link_load": 1.5},
        {"slow_factor": 0.5},
        {"slow_from": 0.7, "slow_until": 0.5},
        {"outage_from": -0.1},
        {"dies_at": 1.0},
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"condition: .*it must"):
        Condition(**{"about": "x", "load": 0.5, **changes})


def test_the_five_conditions() -> None:
    assert list(CONDITIONS) == ["idle", "busy", "slow_link", "outage", "dead_node"]
    assert CONDITIONS["idle"].load < CONDITIONS["busy"].load
