"""Prices: the dual bound, and how often the matrix is looked at for it."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.scheduling import pricing
from cloudedge_pl.scheduling.families import generate


def dual(times: np.ndarray, ready: np.ndarray, log_price: np.ndarray) -> float:
    price = np.exp(log_price - log_price.max())
    price /= price.sum()
    return float((times * price).min(axis=1).sum() + price @ ready)


def unlimited(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Memory of tasks and capacity of nodes that bind nowhere."""
    return np.zeros(times.shape[0]), np.full(times.shape[1], np.inf)


@pytest.mark.parametrize("sample", [1 << 20, 600, 90])
@pytest.mark.parametrize("updates", [1, 2, 3, 5, 20, 150])
def test_no_more_updates_than_allowed_and_the_bound_is_that_of_the_prices(monkeypatch, sample, updates):
    spent = []
    ascend = pricing._ascend

    def counted(*args):
        answer = ascend(*args)
        spent.append(answer[3])
        return answer

    monkeypatch.setattr(pricing, "SAMPLE", sample)
    monkeypatch.setattr(pricing, "_ascend", counted)
    times, ready = generate("unrelated", 90, 10, seed=0), np.linspace(0, 50, 10)
    bound, log_price, _, passes = pricing.prices(times, ready, *unlimited(times), np.zeros((1, 10)), updates)
    assert 1 <= sum(spent) <= updates
    assert passes <= updates
    assert bound == pytest.approx(dual(times, ready, log_price), rel=1e-12)


def test_the_best_of_the_starts_is_where_it_starts():
    times, ready = generate("correlated", 80, 6, seed=1), np.zeros(6)
    good = pricing.prices(times, ready, *unlimited(times), np.zeros((1, 6)), 150)[1]
    bad = np.linspace(-9, 9, 6)
    for starts in ([bad, good, -bad], [good, bad], [bad, -bad, good]):
        bound, log_price, *_ = pricing.prices(times, ready, *unlimited(times), np.array(starts), len(starts))
        np.testing.assert_array_equal(log_price, good)
        assert bound == pytest.approx(dual(times, ready, good), rel=1e-12)


def test_prices_that_are_far_off_are_found_again():
    times, ready = generate("correlated", 200, 10, seed=2), np.zeros(10)
    best = pricing.prices(times, ready, *unlimited(times), np.zeros((1, 10)), 150)[0]
    off = np.zeros((1, 10))
    off[0, 3] = -9.0
    assert pricing.prices(times, ready, *unlimited(times), off, 150)[0] >= best * 0.999
