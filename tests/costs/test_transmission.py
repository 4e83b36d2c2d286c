"""Bytes across the cut, transfers, and the terminals' uplink by kernel density."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cloudedge_pl.costs import transmission
from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.transmission import (
    download_bytes,
    log_kernel_inverse_rate,
    paper_inverse_rate,
    terminal_seconds,
    transfer_seconds,
    upload_bytes,
)
from cloudedge_pl.fleet import Fleet, Link, Workload
from tests.offloading.cases import make_node, make_profile

RATES = st.lists(st.floats(1e5, 1e8), min_size=1, max_size=8)


def test_bytes_at_the_ends_and_between():
    profile = make_profile(4, 5)
    up = upload_bytes(profile, Workload(phase="inference"), CodecConfig("none"))
    assert up[0] == 3 * 8 * 8  # one byte per element of the picture
    assert up[-1] == 0
    np.testing.assert_array_equal(up[1:-1], profile.cut_bytes[1:-1])
    assert upload_bytes(profile, Workload(input_bytes=99.0))[0] == 99
    assert upload_bytes(profile, Workload(input_bytes=99.0, picture_bytes=40.0))[0] == 40


def test_only_training_sends_gradients_back_and_none_for_the_input():
    profile = make_profile(4, 5)
    np.testing.assert_array_equal(download_bytes(profile, Workload(phase="inference")), np.zeros(6))
    down = download_bytes(profile, Workload(phase="training", optimizer_slots=1), CodecConfig("none"))
    assert down[0] == down[-1] == 0
    np.testing.assert_array_equal(down[1:-1], profile.cut_bytes[1:-1])


def test_a_transfer_takes_the_slower_of_link_and_interface():
    nodes = (make_node("a", throughput_bits_per_second=1e6), make_node("b", throughput_bits_per_second=1e9))
    fleet = Fleet(nodes, link=Link(bandwidth_bits_per_second=8e6, propagation_seconds=0.25))
    seconds = transfer_seconds(np.array([0.0, 1e6]), fleet)
    np.testing.assert_allclose(seconds, [[0.0, 8.25], [0.0, 1.25]])


def test_nothing_to_send_takes_no_time_not_even_propagation():
    fleet = Fleet((make_node(),), link=Link(propagation_seconds=3.0))
    assert transfer_seconds(np.array([0.0]), fleet)[0, 0] == 0


def test_the_printed_transfer_divides_elements_by_bits():
    profile = make_profile(1, 3)
    fleet = Fleet((make_node(throughput_bits_per_second=1e6),))
    elements = np.r_[3 * 8 * 8, profile.segment_map_bytes / 4]
    np.testing.assert_allclose(transmission.paper_transfer_seconds(profile, fleet)[0], elements / 1e6)


@settings(max_examples=50)
@given(RATES)
def test_log_kernel_is_the_integral_over_the_estimated_density(rates):
    """By quadrature over a density built with scipy's normal distribution."""
    logs = np.log(rates)
    width = np.std(logs, ddof=1) * (4 / (3 * len(rates))) ** 0.2 if len(rates) > 1 else 0.0
    if width < 1e-3:
        expected = float(np.mean(1 / np.asarray(rates)))
        assert log_kernel_inverse_rate(rates) == pytest.approx(expected, rel=1e-5)
        return

    def integrand(log_rate: float) -> float:
        return float(np.mean(stats.norm.pdf(log_rate, logs, width)) * np.exp(-log_rate))

    low, high = logs.min() - 12 * width - width**2, logs.max() + 12 * width
    expected, _ = integrate.quad(integrand, low, high, points=sorted(logs), limit=400, epsabs=0, epsrel=1e-9)
    assert log_kernel_inverse_rate(rates) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=100)
@given(RATES, st.floats(0.1, 10))
def test_uplink_laws(rates, factor):
    slow = log_kernel_inverse_rate(rates)
    assert slow >= 1 / np.mean(rates) * (1 - 1e-12)  # Jensen: never 1 / E[v]
    assert log_kernel_inverse_rate([factor * rate for rate in rates]) == pytest.approx(slow / factor)
    assert log_kernel_inverse_rate(rates[::-1]) == pytest.approx(slow)


def test_one_rate_is_its_inverse():
    assert log_kernel_inverse_rate([4e6]) == paper_inverse_rate([4e6]) == pytest.approx(1 / 4e6)
    assert terminal_seconds(1e6, [8e6]) == pytest.approx(1.0)


def test_the_printed_estimate_by_quadrature():
    rates = np.array([20e6, 30e6, 54e6])
    width = np.std(rates, ddof=1) * (4 / 9) ** 0.2

    def integrand(rate: float) -> float:
        return float(np.exp(-(((rate - rates) / width) ** 2)).sum() / (3 * width) / rate)

    expected, _ = integrate.quad(integrand, rates.min(), rates.max() + 8 * width, epsabs=0, limit=400)
    assert paper_inverse_rate(list(rates)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rates", "message"), [([], "at least one"), ([1e6, 0.0], r"rate\[1\] is 0"), ([-1.0], "-1")]
)
def test_bad_rates_are_named(rates, message):
    for estimate in transmission.INVERSE_RATES.values():
        with pytest.raises(ValueError, match=message):
            estimate(rates)


def test_unknown_estimate_names_those_there_are():
    with pytest.raises(ValueError, match="log_kernel, paper"):
        terminal_seconds(1.0, [1e6], "median")
