"""Bytes of every codec by hand, laws of their ratio, and configs that send the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs import CODECS, CodecConfig
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.transmission import download_bytes, upload_bytes
from cloudedge_pl.fleet import Workload
from tests.offloading.cases import make_profile


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
        up = upload_bytes(profile, Workload(), CodecConfig(codec))
        np.testing.assert_array_equal(up[1:-1], expected)
        assert up[0] == 3 * 8 * 8
    with pytest.raises(ValueError, match="unknown codec 'int4'"):
        upload_bytes(profile, Workload(), CodecConfig("int4"))


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
    training = Workload(phase="training")
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
    training = Workload(phase="training")
    up, down = (
        of(profile, training, CodecConfig("top_k", ratio=ratio)) for of in (upload_bytes, download_bytes)
    )
    np.testing.assert_allclose(up, [192, 4 * values + places, 4 * values + places, 0])
    np.testing.assert_allclose(down, [0, 4 * values, 4 * values, 0])
    np.testing.assert_array_equal(
        download_bytes(profile, Workload(phase="inference"), CodecConfig("top_k", ratio=ratio)), 0
    )


@settings(max_examples=100)
@given(
    st.integers(0, 1000),
    st.sampled_from(sorted(CODECS)),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
)
def test_less_is_sent_where_less_is_kept(seed, codec, low, high):
    profile, training = make_profile(seed, 6), Workload(phase="training")
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


def test_a_ratio_counts_where_the_codec_uses_it():
    for name in CODECS:
        config, other = CodecConfig(name, ratio=0.5), CodecConfig(name, ratio=0.25)
        profile = code_shapes((64, 8, 8))
        same_bytes = np.array_equal(config.sent_bytes(profile), other.sent_bytes(profile))
        assert config.encodes_like(other) == same_bytes == (not config.uses_ratio)
        assert config.encodes_like(CodecConfig(name, ratio=0.5))
    assert not CodecConfig("int8").encodes_like(CodecConfig("float16"))
