"""Waiting times against a simulated queue, textbook values, limits, and the printed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs.queueing import (
    erlang_c,
    md1_waiting_seconds,
    mdc_waiting_seconds,
    mm1_waiting_seconds,
    mmc_waiting_seconds,
    paper_waiting_seconds,
)

RATES = st.floats(0.01, 100)
LOADS = st.floats(0.01, 0.99)


def simulated_wait(rate: float, draw_service: object, servers: int, tasks: int = 200_000) -> float:
    """First come, first served before ``servers`` like servers, task by task."""
    random = np.random.default_rng(0)
    arrivals = np.cumsum(random.exponential(1 / rate, tasks))
    services = draw_service(random, tasks)  # type: ignore[operator]  # a function of (generator, size)
    free = [0.0] * servers
    waits = np.empty(tasks)
    for index, (arrival, service) in enumerate(zip(arrivals, services, strict=True)):
        server = free.index(min(free))
        start = max(arrival, free[server])
        free[server] = start + service
        waits[index] = start - arrival
    return float(waits[tasks // 10 :].mean())


def fixed(random: np.random.Generator, size: int) -> np.ndarray:
    return np.full(size, 0.1)


def exponential(random: np.random.Generator, size: int) -> np.ndarray:
    return random.exponential(0.1, size)


def test_queues_wait_as_long_as_simulated_ones():
    assert md1_waiting_seconds(np.array(7.0), np.array(0.1)) == pytest.approx(
        simulated_wait(7, fixed, 1), rel=0.05
    )
    assert mm1_waiting_seconds(np.array(7.0), np.array(0.1)) == pytest.approx(
        simulated_wait(7, exponential, 1), rel=0.05
    )
    assert mmc_waiting_seconds(3, 24.0, np.array(0.1)) == pytest.approx(
        simulated_wait(24, exponential, 3), rel=0.05
    )
    assert mdc_waiting_seconds(3, 24.0, np.array(0.1)) == pytest.approx(
        simulated_wait(24, fixed, 3), rel=0.05
    )
    assert mdc_waiting_seconds(1, 7.0, np.array(0.1)) == md1_waiting_seconds(np.array(7.0), np.array(0.1))
    assert mdc_waiting_seconds(3, 30.0, np.array(0.1)) == math.inf


def test_erlang_c_by_its_definition():
    for servers, load in [(1, 0.3), (2, 1.5), (10, 7.0), (30, 29.0)]:
        top = load**servers / math.factorial(servers) * servers / (servers - load)
        expected = top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)
        assert float(erlang_c(servers, np.array(load))) == pytest.approx(expected)


def test_erlang_c_with_very_many_servers_is_finite():
    assert 0 <= float(erlang_c(5000, np.array(4900.0))) <= 1


@settings(max_examples=200)
@given(RATES, LOADS)
def test_one_server_is_mm1_and_md1_is_half(rate, load):
    service = np.array(load / rate)
    mm1 = mm1_waiting_seconds(np.array(rate), service)
    mu = rate / load
    assert mm1 == pytest.approx(rate / (mu * (mu - rate)))
    assert mmc_waiting_seconds(1, rate, service) == pytest.approx(mm1)
    assert 2 * md1_waiting_seconds(np.array(rate), service) == pytest.approx(mm1)


@settings(max_examples=100)
@given(RATES, LOADS, st.integers(2, 40))
def test_pooling_waits_less_than_separate_queues(rate, load, servers):
    service = np.array(load / rate)
    assert mmc_waiting_seconds(servers, servers * rate, service) <= mm1_waiting_seconds(
        np.array(rate), service
    )


@settings(max_examples=100)
@given(RATES, st.floats(1.0, 50))
def test_overload_waits_for_ever_and_never_less_than_nothing(rate, load):
    service = np.array(load / rate)
    if rate * service >= 1:
        for wait in (
            mm1_waiting_seconds(np.array(rate), service),
            md1_waiting_seconds(np.array(rate), service),
            mmc_waiting_seconds(1, rate, service),
            paper_waiting_seconds(np.array(rate), service, np.array(1e9)),
        ):
            assert wait == math.inf


def test_no_work_waits_for_nothing():
    zero = np.zeros(2)
    for wait in (
        mm1_waiting_seconds(np.array(5.0), zero),
        md1_waiting_seconds(np.array(5.0), zero),
        mmc_waiting_seconds(4, 5.0, zero),
        paper_waiting_seconds(np.array(5.0), zero, zero),
    ):
        np.testing.assert_array_equal(wait, zero)


def test_the_printed_form_is_as_printed():
    rate, flops, speed = 3.0, 2e9, 10e9
    printed = rate * flops / (speed * (speed - rate * flops))
    got = paper_waiting_seconds(np.array(rate), np.array(flops / speed), np.array(flops))
    assert got == pytest.approx(printed)
    assert got < 1e-9  # its missing factor Z makes waiting vanish
