"""The closed forms and recursions that the simulation's benchmark compares with are right themselves."""

from __future__ import annotations

import numpy as np
import pytest
from queueing_theory import controlled_mean, erlang_wait, joint_distance, pollaczek_khinchine, waits_of


def test_textbook_values():
    assert pollaczek_khinchine(0.8, 1.0, 2.0) == pytest.approx(4.0)  # M/M/1: rho / (mu - lambda)
    assert pollaczek_khinchine(0.8, 1.0, 1.0) == pytest.approx(2.0)  # M/D/1: half of it
    assert erlang_wait(0.8, 1.0, 1) == pytest.approx(4.0)
    rho = 0.9  # M/M/2: rho^2 / (mu (1 - rho^2))
    assert erlang_wait(1.8, 1.0, 2) == pytest.approx(rho**2 / (1 - rho**2))


def test_erlang_wait_does_not_overflow():
    assert 0 < erlang_wait(990.0, 1.0, 1000) < 0.1


@pytest.mark.parametrize("servers", [1, 3])
def test_waits_are_those_of_a_queue_that_is_walked_through(servers):
    random = np.random.default_rng(0)
    arrivals, seconds = random.exponential(size=300).cumsum(), random.exponential(0.9 * servers, size=300)
    free, expected = np.zeros(servers), []
    for arrival, service in zip(arrivals, seconds, strict=True):
        first = int(free.argmin())
        expected.append(max(free[first] - arrival, 0.0))
        free[first] = max(free[first], arrival) + service
    assert max(expected) > 1
    np.testing.assert_allclose(waits_of(arrivals, seconds, servers), expected, atol=1e-9)


def test_controls_narrow_the_estimate_and_keep_it_right():
    rho, runs, count = 0.7, 5, 200_000
    random = np.random.default_rng(1)
    gaps, seconds = random.exponential(size=(runs, count)), random.exponential(rho, size=(runs, count))
    waits = np.array([waits_of(each.cumsum(), served) for each, served in zip(gaps, seconds, strict=True)])
    exact = pollaczek_khinchine(1.0, rho, 2 * rho**2)
    estimate = controlled_mean(waits, gaps, seconds, (1.0, rho, 2 * rho**2))
    plain = waits.mean(axis=1).std(ddof=1) / np.sqrt(runs)
    assert estimate.standard_error < plain
    assert abs(estimate.mean - exact) < 3 * estimate.standard_error < 0.03 * exact


def test_a_constant_service_time_is_no_control():
    waits, gaps = np.arange(40_000.0).reshape(1, -1) % 7, np.ones((1, 40_000))
    estimate = controlled_mean(waits, gaps, gaps, (1.0, 1.0, 1.0))
    assert estimate.mean == pytest.approx(3.0, abs=1e-3)
    assert np.isnan(estimate.standard_error)  # of two batches nothing can be said


def test_joint_distance_is_that_of_two_distributions():
    rhos, random = (0.7, 0.8), np.random.default_rng(2)
    counts = np.column_stack([random.geometric(1 - rho, 400_000) - 1 for rho in rhos])
    assert joint_distance(counts, rhos) < 0.01
    assert joint_distance(np.repeat(counts[:, :1], 2, axis=1), rhos) > 0.3  # as if the stations were in step
    assert joint_distance(np.zeros((5, 2), dtype=int), rhos) == pytest.approx(1 - 0.3 * 0.2)
