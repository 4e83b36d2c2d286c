"""Bytes across the cut, transfers, and the terminals' uplink by kernel density."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cloudedge_pl.costs import transmission
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


def test_only_training_sends_gradients_back_and_none_for_the_input():
    profile = make_profile(4, 5)
    np.testing.assert_array_equal(download_bytes(profile, Workload(phase="inference")), np.zeros(6))
    down = download_bytes(profile, Workload(phase="training", optimizer_slots=1), CodecConfig("none"))
    assert down[0] == down[-1] == 0
    np.testing.assert_array_equal(down[1:-1], profile.cut_bytes[1:-1])


<<<<<<< HEAD
=======
def test_codecs_count_elements():
    profile = make_profile(7, 4)
    elements = np.array([sum(np.prod(shape) for shape in shapes) for shapes in profile.cut_shapes])[1:-1]
    tensors = np.array([len(shapes) for shapes in profile.cut_shapes])[1:-1]
    for codec, expected in {
        "none": 4 * elements,
        "float32": 4 * elements,
        "float16": 2 * elements,
        "bfloat16": 2 * elements,
        "int8": elements + 8 * tensors,
    }.items():
        up = upload_bytes(profile, Workload(phase="inference"), CodecConfig(codec))
        np.testing.assert_array_equal(up[1:-1], expected)
        assert up[0] == 3 * 8 * 8
    with pytest.raises(ValueError, match="unknown codec 'int4'"):
        upload_bytes(profile, Workload(phase="inference"), CodecConfig("int4"))


def code_shapes(*shapes: tuple[int, ...], element_bytes: float = 4.0) -> CostProfile:
    """A network of three segments that these tensors leave at split points 1 and 2."""
    profile = make_profile(0, 3)
    size = element_bytes * sum(math.prod(shape) for shape in shapes)
    return replace(
        profile,
        cut_shapes=(profile.cut_shapes[0], shapes, shapes, profile.cut_shapes[-1]),
        cut_bytes=np.array([profile.cut_bytes[0], size, size, profile.cut_bytes[-1]]),
    )


@pytest.mark.parametrize(
    ("shapes", "ratio", "element_bytes", "expected"),
    [
        ([(64, 8, 8)], 0.25, 4, 4 * 16 * 64),
        ([(64, 8, 8)], 0.25, 2, 2 * 16 * 64),  # a network in half precision
        ([(64, 8, 8), (3, 4, 4)], 0.25, 4, 4 * (16 * 64 + 1 * 16)),
        ([(3, 4, 4)], 0.01, 4, 4 * 16),  # one channel at least
        ([(7, 7, 40)], 0.1, 4, 4 * 4 * 49),  # channels last
        ([(50, 768)], 0.5, 4, 4 * 384 * 50),  # tokens
        ([(100,)], 0.25, 4, 4 * 25),
        ([()], 0.25, 4, 4),
        ([(64, 8, 8)], 1.0, 4, 4 * 64 * 64),
    ],
)
def test_a_bottleneck_sends_fewer_channels(shapes, ratio, element_bytes, expected):
    profile = code_shapes(*shapes, element_bytes=element_bytes)
    training = Workload(phase="training", optimizer_slots=1)
    np.testing.assert_allclose(
        upload_bytes(profile, training, CodecConfig("bottleneck", ratio=ratio)), [192, expected, expected, 0]
    )
    np.testing.assert_allclose(
        download_bytes(profile, training, CodecConfig("bottleneck", ratio=ratio)), [0, expected, expected, 0]
    )


@pytest.mark.parametrize(
    ("shapes", "ratio", "values", "places"),
    [
        ([(64, 8, 8)], 0.25, 1024, 512),  # a bit an element is less than 4 bytes a value
        ([(64, 8, 8)], 0.01, 41, 164),  # and here it is more
        ([(64, 8, 8), (5, 2)], 0.25, 1024 + 2, 512 + 2),
        ([(3,)], 0.01, 1, 1),
    ],
)
def test_top_k_sends_values_and_places_and_gets_values_back(shapes, ratio, values, places):
    profile = code_shapes(*shapes)
    training = Workload(phase="training", optimizer_slots=1)
    up, down = (
        of(profile, training, CodecConfig("top_k", ratio=ratio)) for of in (upload_bytes, download_bytes)
    )
    np.testing.assert_allclose(up, [192, 4 * values + places, 4 * values + places, 0])
    np.testing.assert_allclose(down, [0, 4 * values, 4 * values, 0])
    np.testing.assert_array_equal(
        download_bytes(profile, Workload(phase="inference"), CodecConfig("top_k", ratio=ratio)), 0
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.integers(0, 1000),
    st.sampled_from(sorted(CODECS)),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
)
def test_less_is_sent_where_less_is_kept(seed, codec, low, high):
    profile, training = make_profile(seed, 6), Workload(phase="training", optimizer_slots=1)
    low, high = sorted((low, high))
    for count in (upload_bytes, download_bytes):
        less, more = (
            count(profile, training, CodecConfig(codec, ratio=low)),
            count(profile, training, CodecConfig(codec, ratio=high)),
        )
        assert (less <= more + 1e-9).all()
        assert (less[1:-1] > 0).all()
    assert (
        download_bytes(profile, training, CodecConfig(codec, ratio=low))
        <= upload_bytes(profile, training, CodecConfig(codec, ratio=low))
    ).all()


@pytest.mark.parametrize("codec", ["bottleneck", "top_k"])
@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan")])
def test_a_ratio_outside_its_range_is_named(codec, ratio):
    with pytest.raises(ValueError, match=r"codec: ratio is .*; it must (lie in \(0, 1\]|be a number)"):
        CodecConfig(codec, ratio=ratio)


>>>>>>> 809b60d (One set of defaults for Python and the commands, _target_ throughout conf, models from one base file; errors, Scheduler, SplitChain and pareto_front exported; images, evaporation_rate)
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


@settings(max_examples=50, deadline=None, derandomize=True)
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


@settings(max_examples=100, deadline=None, derandomize=True)
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
