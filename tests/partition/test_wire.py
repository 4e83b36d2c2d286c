"""Cut tensors on the wire: both ends together are the codec, and between them are the bytes that are planned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cloudedge_pl.costs import CODECS, CodecConfig
from cloudedge_pl.partition.codecs import Codec, build_codec
from cloudedge_pl.partition.wire import Wire, wires_of
from tests.offloading.cases import make_profile

NAMES = sorted(CODECS)
SHAPES = [(8, 4, 4), (5, 5, 6), (9, 12), (7,)]
CASES = [(name, shape) for name in NAMES for shape in SHAPES]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wired(name: str, shape: tuple[int, ...], ratio: float, dtype: torch.dtype) -> tuple[Codec | None, Wire]:
    codec = build_codec(CodecConfig(name, ratio=ratio), [shape])
    (wire,) = wires_of(codec, [(shape, dtype)])
    return codec, wire


def sent(wire: Wire, tensor: Tensor) -> tuple[Tensor, ...]:
    given = wire.encoder(tensor)
    return given if isinstance(given, tuple) else (given,)


@given(
    st.sampled_from(CASES),
    st.floats(0.01, 1),
    st.integers(0, 2**31),
    st.sampled_from([1, 3]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_both_ends_together_are_the_codec(case, ratio, seed, batch, dtype):
    name, shape = case
    tensor = normal(seed, batch, *shape).to(dtype)
    with torch.no_grad():
        codec, wire = wired(name, shape, ratio, dtype)
        expected = tensor if codec is None else codec((tensor,))[0]
        between = sent(wire, tensor)
        arrived = wire.decoder(*between)
    assert len(between) == len(wire.names(0))
    assert all(len(each) == batch for each in between)
    assert arrived.dtype == expected.dtype
    assert torch.equal(arrived, expected)


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("ratio", [0.02, 0.25, 1.0])
def test_what_is_sent_has_the_bytes_that_are_planned(name, shape, ratio):
    wire = wired(name, shape, ratio, torch.float32)[1]
    got = sum(each.nbytes for each in sent(wire, normal(0, 2, *shape))) / 2
    cut_bytes = np.array([768, 4 * math.prod(shape), 40])
    planned = replace(make_profile(0, 2), cut_shapes=((), (shape,), ()), cut_bytes=cut_bytes)
    assert got == CodecConfig(name, ratio=ratio).sent_bytes(planned)[1]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_sample_that_is_not_finite_arrives_as_nan_and_spoils_no_other(bad):
    tensor = normal(0, 3, 8, 4, 4)
    tensor[1, 2, 3, 1] = bad
    codec, wire = wired("int8", (8, 4, 4), 0.25, torch.float32)
    arrived = wire.decoder(*sent(wire, tensor))
    assert arrived[1].isnan().all()
    assert torch.equal(arrived[[0, 2]], codec((tensor,))[0][[0, 2]])


def test_whole_numbers_are_sent_as_they_are():
    codec = build_codec(CodecConfig("int8"), [(4,), (4,)])
    first, second = wires_of(codec, [((4,), torch.int64), ((4,), torch.float32)])
    assert first.unchanged
    assert first.names(0) == ("cut_0",)
    assert second.names(1) == ("cut_1", "cut_1_zero", "cut_1_scale")


def test_the_ends_of_a_bottleneck_hold_a_half_each():
    codec, wire = wired("bottleneck", (8, 4, 4), 0.25, torch.float32)
    shapes = [[tuple(each.shape) for each in end.parameters()] for end in (wire.encoder, wire.decoder)]
    assert shapes == [[(2, 8, 1, 1)], [(8, 2, 1, 1), (8,)]]
    assert isinstance(codec, nn.Module)


def test_a_codec_of_ones_own_needs_a_form_on_the_wire():
    class Own(Codec):
        pass

    with pytest.raises(ValueError, match=r"Own has no form on the wire"):
        wires_of(Own(1), [((4,), torch.float32)])
