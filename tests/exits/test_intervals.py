"""Exact binomial bounds against their definition and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudedge_pl.exits import binomial_interval, binomial_upper_bound


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.001, 0.5))
def test_at_the_upper_bound_so_few_events_have_probability_delta(
    trials: int, share: float, delta: float
) -> None:
    events = min(int(share * trials), trials - 1)
    bound = float(binomial_upper_bound(np.array(events), trials, delta))
    assert stats.binom.cdf(events, trials, bound) == pytest.approx(delta, rel=1e-6)
    assert bound > events / trials or delta > 0.3


def test_the_ends() -> None:
    assert binomial_interval(0, 0) == (0.0, 1.0)
    assert binomial_interval(0, 10)[0] == 0
    assert binomial_interval(10, 10)[1] == 1
    assert binomial_interval(10, 10)[0] == pytest.approx(0.025**0.1)


@pytest.mark.parametrize("probability", [0.01, 0.2, 0.7])
def test_the_interval_covers_as_often_as_it_says(probability: float) -> None:
    trials = 60
    counts = np.arange(trials + 1)
    covered = [
        low <= probability <= high for low, high in (binomial_interval(int(k), trials) for k in counts)
    ]
    assert stats.binom.pmf(counts, trials, probability)[covered].sum() >= 0.95


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="events is 4"):
        binomial_upper_bound(np.array([1, 4]), 3, 0.05)
    with pytest.raises(ValueError, match="delta is 0"):
        binomial_upper_bound(np.array(1), 3, 0)
