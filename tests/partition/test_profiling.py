"""Counted costs against formulas written from the notes, torch's counter, and facts about ResNet-34."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import (
    SDPBackend,
    sdpa_kernel,
)  # fused attention on the CPU escapes some versions' counter
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import VisionTransformer

from cloudedge_pl.partition import ExitHeadConfig, build_backbone, profile, trace
from tests.partition.nets import NETS, Residual, TiedParameter, Tokens, TransposedAndGrouped

SAMPLE = torch.zeros(1, 3, 8, 8)
FLOAT = 4


@pytest.fixture(scope="module")
def resnet34():
    return build_backbone("resnet34")


@pytest.fixture(scope="module")
def costs(resnet34):
    return profile(resnet34, torch.zeros(1, 3, 224, 224), name="resnet34")


def test_resnet34_has_the_papers_size(resnet34, costs):
    assert costs.num_segments == 34
    assert costs.flops[-1] / 2 == pytest.approx(3.66e9, rel=2e-3)
    assert costs.segment_trainable_bytes.sum() / FLOAT == pytest.approx(21.80e6, rel=1e-3)
    assert costs.segment_trainable_bytes.sum() == FLOAT * sum(p.numel() for p in resnet34.parameters())
    buffers = sum(b.numel() * b.element_size() for b in resnet34.buffers())
    assert costs.segment_parameter_bytes.sum() == costs.segment_trainable_bytes.sum() + buffers
    layer4 = [name.startswith("layer4") for name in costs.names[1:]]
    assert costs.segment_trainable_bytes[layer4].sum() / costs.segment_trainable_bytes.sum() == pytest.approx(
        0.60, abs=0.01
    )
    assert costs.segment_trainable_bytes[-1] / costs.segment_trainable_bytes.sum() == pytest.approx(
        0.024, abs=0.001
    )


def test_resnet34_sends_what_the_notes_say(costs):
    ends = {
        stage: max(k for k, name in enumerate(costs.names) if name.startswith(stage))
        for stage in ("layer1", "layer2", "layer3")
    }
    assert costs.cut_bytes[ends["layer1"]] == 64 * 56 * 56 * FLOAT
    assert costs.cut_bytes[ends["layer2"]] == 128 * 28 * 28 * FLOAT
    assert costs.cut_bytes[ends["layer3"]] == 256 * 14 * 14 * FLOAT
    assert costs.cut_bytes[33] == 512 * FLOAT
    assert costs.cut_bytes[0] == 3 * 224 * 224 * FLOAT
    assert costs.cut_bytes[34] == 1000 * FLOAT
    assert costs.cut_shapes[2] == ((64, 56, 56), (64, 56, 56))
    assert costs.cut_bytes[2] == 2 * costs.cut_bytes[3]
    assert costs.names[:3] == ("input", "conv1", "layer1.0.conv1")
    assert costs.input_shape == (3, 224, 224)


def convolution_macs(size, kernel, channels_in, channels_out, stride=1, padding=0, dilation=1, groups=1):
    """Notes, Sec. 1: M^2 Ck^2 C_in C_out / groups, M = floor((Ms - Ck + 2P) / St) + 1; dilation stretches Ck."""
    reach = dilation * (kernel - 1) + 1
    out = math.floor((size - reach + 2 * padding) / stride) + 1
    return out**2 * kernel**2 * channels_in * channels_out // groups, out


def test_every_kind_of_convolution_follows_the_formula():
    costs = profile(TransposedAndGrouped(), SAMPLE)
    assert costs.names == ("input", "strided", "dilated", "grouped", "depthwise", "transposed", "head")
    strided, size = convolution_macs(8, 3, 3, 8, stride=2, padding=1)
    dilated, size = convolution_macs(size, 3, 8, 8, padding=2, dilation=2)
    grouped, size = convolution_macs(size, 3, 8, 12, padding=1, groups=4)
    depthwise, size = convolution_macs(size, 3, 12, 12, padding=1, groups=12)
    transposed = size**2 * 2**2 * 12 * 6  # every input pixel meets every weight
    linear = 6 * 64 * 5
    expected = [strided, dilated, grouped, depthwise, transposed, linear]
    assert costs.segment_flops.tolist() == [2 * macs for macs in expected]
    weights = [3 * 9 * 8, 8 * 9 * 8, 8 * 9 * 12 // 4, 9 * 12, 12 * 4 * 6, linear]
    assert costs.segment_weights.tolist() == weights
    biases = [8, 8, 12, 12, 6, 5]
    assert costs.segment_trainable_bytes.tolist() == [
        FLOAT * (w + b) for w, b in zip(weights, biases, strict=True)
    ]
    maps = [8 * 16, 8 * 16, 12 * 16, 12 * 16, 6 * 64, 5]
    assert costs.segment_map_bytes.tolist() == [FLOAT * elements for elements in maps]


@pytest.mark.parametrize("kind", NETS)
def test_totals_equal_torchs_counter_and_the_networks_own_size(kind):
    net = kind().eval()
    costs = profile(net, SAMPLE)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        net(SAMPLE.clone())
    assert costs.flops[-1] == counter.get_total_flops()
    assert costs.segment_trainable_bytes.sum() == FLOAT * sum(p.numel() for p in net.parameters())
    state = sum(t.numel() * t.element_size() for t in (*net.parameters(), *net.buffers()))
    assert costs.segment_parameter_bytes.sum() == state


def test_attention_counts_its_projections_and_its_products():
    costs = profile(Tokens(), SAMPLE)
    tokens, width = 5, 8
    projections = 3 * tokens * width * width + tokens * width * width
    products = 2 * tokens * tokens * width
    assert costs.segment_flops[costs.names.index("attention") - 1] == 2 * (projections + products)


def test_a_tied_parameter_is_counted_once():
    net = TiedParameter()
    assert profile(net, SAMPLE).segment_weights.sum() == 192 * 16 + 2 * 16 * 16 + 16 * 5
    assert profile(net, SAMPLE).segment_trainable_bytes.sum() == FLOAT * sum(
        p.numel() for p in net.parameters()
    )


def test_saved_and_peak_bytes_of_a_chain_worked_out_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3, padding=1),
        nn.Flatten(),
        nn.Linear(128, 5),
    )
    costs = profile(net, SAMPLE)
    picture, first, second, logits = (FLOAT * n for n in (3 * 64, 4 * 64, 2 * 64, 5))
    # Autograd keeps the input of every weighted layer and the output of the ReLU, which is one of them.
    assert costs.segment_saved_bytes.tolist() == [picture + first, 0, second]
    # The first convolution's output lives while the ReLU makes its own; flattening makes nothing.
    assert costs.segment_peak_bytes.tolist() == [
        max(picture + first, 2 * first),
        first + second,
        second + logits,
    ]
    in_place = profile(
        nn.Sequential(*(nn.ReLU(inplace=True) if isinstance(m, nn.ReLU) else m for m in net)), SAMPLE
    )
    assert in_place.segment_peak_bytes.tolist() == [picture + first, first + second, second + logits]


def test_moved_bytes_are_what_operations_read_and_write():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 5))
    moved = profile(net, SAMPLE).segment_moved_bytes
    assert moved.tolist() == [FLOAT * (192 + 192 * 7 + 7 + 7 + 7 + 7), FLOAT * (7 + 7 * 5 + 5 + 5)]


def test_saved_bytes_grow_with_the_batch_only():
    """The second pass has two samples; what is kept is halved. Against real tensors, one at a time."""
    measured = kept_for_backward(Residual(), torch.randn(2, 3, 8, 8)) / 2
    assert profile(Residual(), SAMPLE).segment_saved_bytes.sum() == pytest.approx(measured, rel=0.01)


def kept_for_backward(net, pictures) -> int:
    """Bytes that autograd keeps of a real forward pass, parameters and buffers apart."""
    kept: dict[int, torch.Tensor] = {}
    known = {t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers())}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net.train()(pictures)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


class Attends(nn.Module):
    """Attention by the function itself; with dropout or strides no fused kernel of the processor serves it."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.stem, self.head = kind, nn.Conv2d(3, 32, 1), nn.Linear(32, 5)
        self.register_buffer("mask", torch.ones(64, 64, dtype=torch.bool).tril())

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2).unflatten(2, (4, 8)).transpose(1, 2)
        if self.kind != "strided":
            tokens = tokens.contiguous()
        if self.kind == "mask":
            out = F.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=self.mask)
        elif self.kind in ("causal", "strided"):
            out = F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)
        else:
            out = F.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.1)
        return self.head(out.transpose(1, 2).flatten(2).mean(1))


def small_vit():
    return VisionTransformer(
        image_size=64, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=5
    )


@pytest.mark.parametrize("kind", ["vit", "causal", "mask", "dropout", "strided"])
def test_attention_keeps_what_the_processors_kernels_keep(kind):
    net, side = (small_vit(), 64) if kind == "vit" else (Attends(kind), 8)
    measured = kept_for_backward(net, torch.randn(2, 3, side, side)) / 2
    costs = profile(net, torch.zeros(1, 3, side, side), exit_head=None)
    assert costs.segment_saved_bytes.sum() == pytest.approx(measured, rel=0.01)


def test_the_peak_of_attention_counts_what_the_layer_makes_inside():
    costs = profile(small_vit(), torch.zeros(1, 3, 64, 64), exit_head=None)
    tokens = FLOAT * 65 * 64
    # The residual, its norm, the packed projection to queries, keys and values, and its copy in order.
    attention = [name.endswith("self_attention") for name in costs.names[1:]]
    assert costs.segment_peak_bytes[attention].tolist() == [8 * tokens, 8 * tokens]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_bytes_follow_the_dtype(dtype):
    whole, other = profile(Residual(), SAMPLE), profile(Residual().to(dtype), SAMPLE.to(dtype))
    ratio = dtype.itemsize / FLOAT
    for column in ("segment_trainable_bytes", "segment_map_bytes", "cut_bytes"):
        np.testing.assert_array_equal(getattr(other, column), ratio * getattr(whole, column))
    # The statistics of a half-precision normalisation are single.
    np.testing.assert_allclose(other.segment_peak_bytes, ratio * whole.segment_peak_bytes, rtol=0.02)
    np.testing.assert_array_equal(other.segment_flops, whole.segment_flops)
    np.testing.assert_array_equal(other.segment_weights, whole.segment_weights)


def test_frozen_layers_keep_less_for_the_backward_pass():
    net = Residual()
    whole = profile(net, SAMPLE).segment_saved_bytes
    net.stem.requires_grad_(False)
    assert profile(net, SAMPLE).segment_saved_bytes[0] < whole[0]


def test_a_chain_is_taken_as_it_is():
    chain = trace(Residual(), SAMPLE, granularity="block")
    given, made = profile(chain, SAMPLE), profile(Residual(), SAMPLE, granularity="block")
    assert given.names == made.names == chain.names
    np.testing.assert_array_equal(given.segment_flops, made.segment_flops)
    assert given.model == "Residual"
    assert profile(chain, SAMPLE, name="mine").model == "mine"
    blocks, layers = profile(chain, SAMPLE), profile(Residual(), SAMPLE)
    assert blocks.segment_flops.sum() == layers.segment_flops.sum()
    assert blocks.segment_peak_bytes.max() == layers.segment_peak_bytes.max()


def test_exit_heads_cost_something_between_the_ends_only():
    costs = profile(Residual(), SAMPLE, exit_head=ExitHeadConfig(hidden_channels=16))
    for column in (costs.exit_flops, costs.exit_parameter_bytes, costs.exit_activation_bytes):
        assert column[0] == column[-1] == 0
        assert (column[1:-1] > 0).all()
    assert not profile(Residual(), SAMPLE, exit_head=None).exit_flops.any()
    assert (
        profile(Residual(), SAMPLE, num_classes=50).exit_parameter_bytes[1:-1]
        > costs.exit_parameter_bytes[1:-1]
    ).any()


def test_profiling_computes_no_activation():
    """A picture of 40 gigapixels would need 960 GB for its first feature map."""
    costs = profile(
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)),
        torch.zeros(1).expand(1, 3, 200_000, 200_000),
    )
    assert costs.segment_map_bytes[0] == 2 * 200_000**2 * FLOAT


def test_attention_stays_torchs_own_while_a_network_is_profiled() -> None:
    own, seen = F.scaled_dot_product_attention, []

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(F.scaled_dot_product_attention is own)
            return x @ self.weight

    profile(nn.Sequential(Looking(), nn.Linear(3, 2)), torch.zeros(1, 3))
    assert seen
    assert all(seen)
