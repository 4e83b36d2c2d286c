"""Intervals of means, against the tabulated quantiles of Student's distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloudedge_pl.paper.statistics import mean_interval


@pytest.mark.parametrize(("number", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776), (11, 2.228)])
def test_the_interval_is_that_of_students_table(number: int, quantile: float) -> None:
    differences = np.random.default_rng(number).normal(1.0, 2.0, number)
    found = mean_interval(differences)
    half = quantile * differences.std(ddof=1) / math.sqrt(number)
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=1e-3)


def test_one_pair_shows_no_spread() -> None:
    found = mean_interval(np.array([0.5]))
    assert (found.mean, found.low, found.high) == (0.5, -math.inf, math.inf)


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(0.3, 1.0, 3)) for _ in range(2000)]
    assert np.mean([each.low <= 0.3 <= each.high for each in found]) == pytest.approx(0.95, abs=0.015)
