"""Codecs of the cut tensors: what arrives, what comes back, and that the planner counts what they send."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from cloudedge_pl.costs import CODECS, CodecConfig
from cloudedge_pl.costs.transmission import download_bytes, upload_bytes
from cloudedge_pl.fleet import Workload
from cloudedge_pl.partition import profile, trace
from cloudedge_pl.partition.codecs import ChannelPair, build_codec
from tests.offloading.cases import make_profile
from tests.partition.nets import Residual

NAMES = sorted(set(CODECS) - {"none"})
CASTS = ["float32", "float16", "bfloat16"]
SHAPES = [(8, 4, 4), (5, 5, 6), (9, 12), (7,), ()]
SHAPE = arrays.array_shapes(min_dims=2, max_dims=4, max_side=6)
SEED = st.integers(0, 2**31)


def floats(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Arrays [B, ...] of float32, with many equal elements."""
    return arrays.arrays(np.float32, SHAPE, elements=st.floats(low, high, width=32, allow_subnormal=False))


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def send(name: str, tensor: Tensor, ratio: float = 0.25) -> Tensor:
    """What arrives of one tensor."""
    codec = build_codec(CodecConfig(name, ratio=ratio), [tuple(tensor.shape[1:])])
    (arrived,) = codec((tensor,))
    return arrived


# --- each codec by itself ---


@settings(max_examples=200)
@given(floats(-1e4, 1e4))
def test_int8_errs_by_half_a_step_and_uses_256_levels(values):
    arrived = send("int8", torch.from_numpy(values)).numpy()
    for sample, got in zip(values.astype(np.float64), arrived, strict=True):
        step = (sample.max() - sample.min()) / 255
        assert np.abs(got - sample).max() <= step / 2 + 4e-7 * np.abs(sample).max()
        assert len(np.unique(got)) <= 256
        if step == 0:
            np.testing.assert_array_equal(got, sample)


def test_int8_is_its_formula():
    sample = normal(0, 3, 4, 5, 5)
    arrived = send("int8", sample)
    for x, got in zip(sample.double(), arrived, strict=True):
        zero, scale = float(x.min()), float(x.max() - x.min()) / 255
        levels = [round((float(value) - zero) / scale) for value in x.flatten()]
        expected = torch.tensor([zero + level * scale for level in levels]).view(x.shape)
        torch.testing.assert_close(got, expected.float())
        assert min(levels) == 0
        assert max(levels) == 255


def test_int8_keeps_the_zeros_behind_a_relu():
    sample = normal(1, 4, 6, 5, 5).relu()
    assert (send("int8", sample)[sample == 0] == 0).all()


@pytest.mark.parametrize("constant", [0.0, 1.0, -0.1, 3e-39, 1e30, 65504.0])
def test_int8_of_a_constant_is_exact(constant):
    sample = torch.full((2, 3, 4), constant)
    sample[1, 0, 0] = 7.0  # the other sample's range is its own business
    assert torch.equal(send("int8", sample)[0], sample[0])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", [*CASTS, "int8", "top_k"])
def test_no_codec_hides_inf_or_nan(name, bad):
    sample = normal(2, 3, 4, 4)
    sample[1, 2, 3] = bad
    arrived = send(name, sample)
    assert not arrived[1].isfinite().all()
    assert arrived[[0, 2]].isfinite().all()
    assert math.isfinite(bad) or arrived[1, 2, 3].isnan() or arrived[1, 2, 3] == bad


@settings(max_examples=200)
@given(floats(-1e5, 1e5))
def test_casts_are_exact_to_their_rounding(values):
    tensor = torch.from_numpy(values)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(send("float16", tensor).numpy(), values.astype(np.float16))
    bits = values.view(np.uint32).astype(np.uint64)  # bfloat16: the upper half, to nearest, ties to even
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(send("bfloat16", tensor).numpy(), rounded)
    assert send("float32", tensor) is tensor
    doubles = values.astype(np.float64) / 3
    np.testing.assert_array_equal(
        send("float32", torch.from_numpy(doubles)).numpy(), doubles.astype(np.float32)
    )


@settings(max_examples=200)
@given(floats(0.5, 100), SEED, st.floats(0.01, 1))
def test_top_k_keeps_exactly_k_the_largest(values, seed, ratio):
    signs = np.random.default_rng(seed).choice([-1, 1], values.shape).astype(np.float32)
    values = values * signs
    arrived = send("top_k", torch.from_numpy(values), ratio).numpy()
    for sample, got in zip(values, arrived, strict=True):
        k = max(1, round(ratio * sample.size))
        assert np.count_nonzero(got) == k
        np.testing.assert_array_equal(got[got != 0], sample[got != 0])
        largest = sorted(np.abs(sample).ravel(), reverse=True)[:k]
        np.testing.assert_array_equal(sorted(np.abs(got[got != 0]), reverse=True), largest)


@pytest.mark.parametrize("shape", [(12, 4, 4), (6, 6, 12), (9, 12), (12,), (12, 3, 4, 5)])
def test_a_bottleneck_starts_as_an_orthogonal_projection(shape):
    torch.manual_seed(0)
    codec = build_codec(CodecConfig("bottleneck", ratio=0.25), [shape]).double()
    tensor = normal(0, 5, *shape).double()
    (once,) = codec((tensor,))
    (twice,) = codec((once,))
    torch.testing.assert_close(twice, once, atol=1e-5, rtol=0)
    torch.testing.assert_close((once * (tensor - once)).sum(), torch.zeros(()).double(), atol=1e-3, rtol=0)
    channels = once.movedim(1 + shape.index(12), -1).reshape(-1, 12)
    assert torch.linalg.matrix_rank(channels, rtol=1e-5) == 3
    assert send("bottleneck", tensor, 1.0) is tensor


def test_a_bottleneck_is_two_matrices():
    torch.manual_seed(0)
    codec = build_codec(CodecConfig("bottleneck", ratio=0.5), [(8, 4, 4), (9, 12)])
    maps, tokens = codec.pairs
    assert isinstance(maps.down, nn.Conv2d)
    assert isinstance(tokens.down, nn.Linear)
    for parameter in codec.parameters():
        nn.init.normal_(parameter)
    x, t = normal(0, 2, 8, 4, 4), normal(1, 2, 9, 12)
    got_x, got_t = codec((x, t))
    down, up = (layer.weight.flatten(1) for layer in (maps.down, maps.up))
    expected = torch.einsum("ck,kd,bdhw->bchw", up, down, x) + maps.up.bias.view(-1, 1, 1)
    torch.testing.assert_close(got_x, expected, atol=1e-4, rtol=1e-4)
    expected = t @ tokens.down.weight.T @ tokens.up.weight.T + tokens.up.bias
    torch.testing.assert_close(got_t, expected, atol=1e-4, rtol=1e-4)


def test_a_bottleneck_learns_what_it_loses():
    """Maps of two hidden channels fit through a bottleneck of two, once it has learned which."""
    torch.manual_seed(0)
    mixing = torch.randn(8, 2)
    maps = torch.einsum("ck,bkhw->bchw", mixing, torch.randn(16, 2, 4, 4)) + 1
    codec = build_codec(CodecConfig("bottleneck", ratio=0.25), [(8, 4, 4)])
    optimizer = torch.optim.Adam(codec.parameters(), lr=0.02)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = (codec((maps,))[0] - maps).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_only_a_bottleneck_draws_random_numbers_and_only_when_it_is_built():
    state = torch.get_rng_state()
    codecs = [
        build_codec(CodecConfig(name, ratio=0.5), [(8, 4, 4)]) for name in NAMES if name != "bottleneck"
    ]
    assert torch.equal(torch.get_rng_state(), state)
    codecs.append(build_codec(CodecConfig("bottleneck", ratio=0.5), [(8, 4, 4)]))
    state = torch.get_rng_state()
    for codec in codecs:
        codec((normal(0, 2, 8, 4, 4),))
    assert torch.equal(torch.get_rng_state(), state)


# --- gradients ---


@settings(max_examples=50)
@given(SHAPE, SEED, st.sampled_from([*CASTS, "int8"]))
def test_rounding_passes_the_gradient_straight_through(shape, seed, name):
    """Behind y = code(x), L = sum(w y^2) has dL/dx = 2 w y, with y as the cloud got it."""
    x, w = normal(seed, *shape).requires_grad_(), normal(seed + 1, *shape)
    y = send(name, x)
    (w * y.square()).sum().backward()
    assert torch.equal(x.grad, 2 * w * y.detach())


@settings(max_examples=50)
@given(SHAPE, SEED, st.floats(0.05, 1))
def test_top_k_masks_the_gradient(shape, seed, ratio):
    x, w = normal(seed, *shape).requires_grad_(), normal(seed + 1, *shape)
    y = send("top_k", x, ratio)
    (w * y.square()).sum().backward()
    assert torch.equal(x.grad, torch.where(y.detach() != 0, 2 * w * x.detach(), 0.0))


def test_a_bottlenecks_gradients_are_exact():
    torch.manual_seed(0)
    codec = build_codec(CodecConfig("bottleneck", ratio=0.5), [(4, 2, 2)]).double()
    x = normal(0, 2, 4, 2, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: codec((value,))[0], x)
    codec((x,))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in codec.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_cloud_may_overwrite_what_arrives(name):
    x = normal(0, 2, 8, 4, 4).requires_grad_()
    made = x * 1.0
    kept = made.detach().clone()
    arrived = send(name, made)
    arrived.relu_().sum().backward()
    assert x.grad is not None
    if arrived is not made:
        assert torch.equal(made, kept)


# --- laws of all of them ---


@settings(max_examples=60)
@given(st.sampled_from(NAMES), SEED, st.integers(1, 5), st.floats(0.05, 1))
def test_every_sample_is_a_message_of_its_own(name, seed, batch, ratio):
    torch.manual_seed(seed)
    codec = build_codec(CodecConfig(name, ratio=ratio), SHAPES)
    live = tuple(normal(seed + at, batch, *shape) for at, shape in enumerate(SHAPES))
    order = torch.randperm(batch)
    for arrived, permuted in zip(codec(live), codec(tuple(tensor[order] for tensor in live)), strict=True):
        torch.testing.assert_close(permuted, arrived[order])
    alone = codec(tuple(tensor[:1] for tensor in live))
    for arrived, single in zip(codec(live), alone, strict=True):
        torch.testing.assert_close(single, arrived[:1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_dtype_shape_and_memory_format_stay(name, dtype, autocast):
    codec = build_codec(CodecConfig(name, ratio=0.5), SHAPES)
    live = tuple(normal(at, 3, *shape).to(dtype) for at, shape in enumerate(SHAPES))
    live = (live[0].to(memory_format=torch.channels_last), *live[1:])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        arrived = codec(live)
    for before, after in zip(live, arrived, strict=True):
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
    assert arrived[0].is_contiguous(memory_format=torch.channels_last)
    planes = codec((live[0].contiguous(), *live[1:]))[0]
    assert planes.is_contiguous()
    torch.testing.assert_close(planes, arrived[0], atol=0.05 if autocast else 1e-3, rtol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_other_values_pass_as_they_are(name):
    codec = build_codec(CodecConfig(name, ratio=0.5), [(8, 4, 4), (3,), (2,)])
    live = (torch.Size([2]), normal(0, 2, 8, 4, 4), 7, torch.arange(6).view(2, 3), torch.ones(2, 2) > 0)
    arrived = codec(live)
    assert isinstance(arrived, tuple)
    assert [arrived[at] is live[at] for at in (0, 2, 3, 4)] == [True] * 4


@pytest.mark.parametrize("name", NAMES)
def test_no_sample_and_one_sample_pass(name):
    codec = build_codec(CodecConfig(name, ratio=0.25), SHAPES)
    for batch in (0, 1):
        arrived = codec(tuple(torch.zeros(batch, *shape) for shape in SHAPES))
        assert [tuple(tensor.shape) for tensor in arrived] == [(batch, *shape) for shape in SHAPES]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_without_looking_at_values(name):
    """On meta tensors there are none, so nothing can wait for the device."""
    codec = build_codec(CodecConfig(name, ratio=0.25), SHAPES).to("meta")
    arrived = codec(tuple(torch.empty(2, *shape, device="meta") for shape in SHAPES))
    assert all(tensor.is_meta for tensor in arrived)


def test_its_state_is_the_pairs_weights_alone():
    assert list(build_codec(CodecConfig("bottleneck", ratio=0.5), [(8, 4, 4), (1, 4, 4)]).state_dict()) == [
        "pairs.0.down.weight",
        "pairs.0.up.weight",
        "pairs.0.up.bias",
    ]
    assert [name for name in NAMES if build_codec(CodecConfig(name, ratio=0.5), [(8,)]).state_dict()] == [
        "bottleneck"
    ]


def test_there_is_a_codec_for_every_name_that_can_be_planned_with():
    assert build_codec(CodecConfig("none", ratio=0.25), [(4,)]) is None
    assert all(isinstance(build_codec(CodecConfig(name, ratio=0.25), [(4,)]), nn.Module) for name in NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("int4", 0.5, [(4,)]), "unknown codec 'int4'. Did you mean 'int8'"),
        (("top_k", 0.0, [(4,)]), r"codec: ratio is 0.0; it must lie in \(0, 1\]"),
        (("none", 1.5, [(4,)]), "codec: ratio is 1.5"),
        (("int8", 0.5, []), "no tensor crosses"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    name, ratio, shapes = arguments
    with pytest.raises(ValueError, match=message):
        build_codec(CodecConfig(name, ratio=ratio), shapes)


def test_another_number_of_tensors_is_refused():
    with pytest.raises(ValueError, match="built for 1 tensors, not 2"):
        build_codec(CodecConfig("int8", ratio=0.5), [(4,)])((torch.zeros(1, 4), torch.zeros(1, 4)))


# --- bytes ---


def sent_bytes(name: str, tensor: Tensor, ratio: float) -> tuple[float, float]:
    """Bytes up and back of one sample [1, ...], from real buffers that a link could send.

    The buffers hold all that arrives: decoding them gives the codec's own output.
    """
    codec = build_codec(CodecConfig(name, ratio=ratio), [tuple(tensor.shape[1:])])
    (arrived,) = (tensor,) if codec is None else codec((tensor,))
    if name == "none":
        buffers, decoded = [tensor.numpy()], tensor
    elif name in CASTS:
        sent = tensor.to(getattr(torch, name))
        buffers, decoded = [sent.numpy() if name != "bfloat16" else sent.view(torch.int16).numpy()], sent
    elif name == "int8":
        zero = np.float32(tensor.min())
        scale = (np.float32(tensor.max()) - zero) / np.float32(255) or np.float32(1)
        levels = ((tensor.numpy() - zero) / scale).round().astype(np.uint8)
        buffers = [np.array([zero, scale]), levels]
        decoded = torch.from_numpy(zero + levels * scale)
    elif name == "bottleneck":
        pair = codec.pairs[0]
        if not isinstance(pair, ChannelPair):
            return sent_bytes("none", tensor, ratio)
        caught: list[Tensor] = []
        pair.down.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        (decoded,) = codec((tensor,))
        buffers = [caught[0].numpy()]
    else:
        mask = (arrived != 0).numpy().ravel()
        values, bitmap, indices = arrived.numpy().ravel()[mask], np.packbits(mask), np.flatnonzero(mask)
        places = min(bitmap, indices.astype(np.int32), key=lambda buffer: buffer.nbytes)
        decoded = torch.zeros(tensor.numel())
        decoded[np.unpackbits(bitmap, count=mask.size).astype(bool)] = torch.from_numpy(values)
        torch.testing.assert_close(decoded.view(tensor.shape), arrived)
        return values.nbytes + places.nbytes, values.nbytes
    torch.testing.assert_close(decoded.view(tensor.shape).float(), arrived)
    return (sum(buffer.nbytes for buffer in buffers),) * 2


@settings(max_examples=100)
@given(
    st.sampled_from(sorted(CODECS)),
    st.lists(arrays.array_shapes(min_dims=1, max_dims=3, max_side=12), min_size=1, max_size=3),
    st.floats(0.01, 1),
    SEED,
)
def test_the_planner_counts_what_is_sent(name, shapes, ratio, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        sent = [sent_bytes(name, normal(seed + at, 1, *shape), ratio) for at, shape in enumerate(shapes)]
    size = 4.0 * sum(math.prod(shape) for shape in shapes)
    network = replace(
        make_profile(0, 2), cut_shapes=((), tuple(shapes), ()), cut_bytes=np.array([768, size, 40])
    )
    training = Workload(phase="training", optimizer_slots=1)
    assert upload_bytes(network, training, CodecConfig(name, ratio=ratio))[1] == pytest.approx(
        sum(up for up, _ in sent)
    )
    assert download_bytes(network, training, CodecConfig(name, ratio=ratio))[1] == pytest.approx(
        sum(back for _, back in sent)
    )


@pytest.mark.parametrize("name", sorted(CODECS))
@torch.no_grad()
def test_the_planner_counts_what_a_network_sends(name):
    """Residual: one tensor crosses, or two."""
    torch.manual_seed(0)
    picture = normal(0, 1, 3, 8, 8)
    chain = trace(Residual().eval(), picture)
    sizes = upload_bytes(profile(chain, picture), Workload(phase="inference"), CodecConfig(name, ratio=0.4))
    for j in range(1, chain.num_segments):
        live = chain.edge(j)(picture)
        codec = build_codec(CodecConfig(name, ratio=0.4), chain.live_shapes(j))
        sent = sum(sent_bytes(name, tensor, 0.4)[0] for tensor in live if isinstance(tensor, Tensor))
        assert sizes[j] == sent
        logits = chain.cloud(j)(live if codec is None else codec(live))
        assert logits.shape == (1, 5)
        assert logits.isfinite().all()
