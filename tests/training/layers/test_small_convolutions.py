"""Convolutions as matrix products give what convolutions give, backwards too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from cloudedge_pl.training.layers import small_convolutions
from cloudedge_pl.training.layers.small_convolutions import SmallConvolutions, _Forward


def outcome(conv: nn.Conv2d, x: torch.Tensor, seed: int) -> list[torch.Tensor]:
    leaves = [x, *conv.parameters()]
    for leaf in leaves:
        leaf.grad = None
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):  # the second time, gradients are added to the first's
        y = conv(x)
        y.backward(torch.randn(y.shape, generator=generator, dtype=y.dtype))
    return [y.detach(), *(leaf.grad.clone() for leaf in leaves)]


@settings(max_examples=60)
@given(
    batch=st.integers(1, 4),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.integers(1, 2),
    pixels=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    bias=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_convolution(
    batch: int,
    channels: Any,
    kernel: Any,
    stride: int,
    padding: Any,
    dilation: int,
    pixels: Any,
    bias: bool,
    channels_last: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    conv = nn.Conv2d(*channels, kernel, stride, padding, dilation, bias=bias).double()
    reach = [dilation * (k - 1) + 1 for k in kernel]
    size = [max(p, r - 2 * pad) for p, r, pad in zip(pixels, reach, padding, strict=True)]
    x = torch.randn(batch, channels[0], *size, dtype=torch.float64)
    if channels_last:
        conv, x = conv.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    expected = outcome(conv, x, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_convolutions, "MOST_PIXELS", 10**6)
        products = SmallConvolutions([conv])
        products._forwards = [_Forward(conv)]  # however light it is
        with products.as_products():
            torch.testing.assert_close(outcome(conv, x, seed), expected)
    with products.as_linear():
        torch.testing.assert_close(outcome(conv, x, seed), expected)


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_lie_in_memory_as_a_convolutions_and_the_weights_gradient_in_memory_that_is_kept(
    layout: torch.memory_format,
) -> None:
    conv = nn.Conv2d(160, 160, 3, padding=1).to(memory_format=layout)
    products, places = SmallConvolutions([conv]), set()
    for pixels in (1, 2, 2):
        conv.weight.grad = None
        x = torch.randn(1, 160, pixels, pixels).contiguous(memory_format=layout).requires_grad_()
        with products.as_products():
            out = conv(x)
            out.sum().backward()
        assert out.is_contiguous(memory_format=layout)
        assert conv.weight.grad is not None
        assert conv.weight.grad.stride() == conv.weight.stride()
        places.add(conv.weight.grad.data_ptr())
    assert len(places) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("padding", "dilation"), [(1, 1), (0, 1), (2, 2), (2, 1)])
def test_a_map_of_one_pixel_meets_one_tap(padding: int, dilation: int, layout: torch.memory_format) -> None:
    kernel = 1 if padding == 0 else 3
    conv = nn.Conv2d(6, 6, kernel, padding=padding, dilation=dilation).double()
    conv = conv.to(memory_format=layout)
    small = SmallConvolutions([])
    small._forwards = [_Forward(conv)]
    x = torch.randn(3, 6, 1, 1, dtype=torch.float64, requires_grad=True)
    expected = outcome(conv, x, 0)
    with small.as_linear():
        torch.testing.assert_close(outcome(conv, x, 0), expected)
        # Of PyTorch's own operations: differentiable twice, and by autograd.grad.
        (first,) = torch.autograd.grad(conv(x).square().sum(), conv.weight, create_graph=True)
        first.square().sum().backward()
    assert conv.weight.grad.is_contiguous(memory_format=layout)


def test_only_heavy_ordinary_convolutions_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = nn.Conv2d(160, 160, 3, padding=1)
    others = [
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(512, 512, 3, groups=2),
        nn.Conv2d(160, 160, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(160, 160, 3, padding="same"),
        nn.Linear(512, 512),
    ]
    products = SmallConvolutions([heavy, *others])
    called: list[int] = []
    product = small_convolutions._Product.apply
    monkeypatch.setattr(small_convolutions._Product, "apply", lambda *a: called.append(1) or product(*a))
    with products.as_products():
        assert ["forward" in module.__dict__ for module in (heavy, *others)] == [True] + [False] * 5
        heavy(torch.randn(1, 160, 4, 4))
        heavy(torch.randn(1, 160, 32, 32))
    assert len(called) == 1, "many pixels are left to the convolution"
    assert "forward" not in heavy.__dict__


WRAPPERS: dict[str, Callable[[nn.Conv2d], nn.Module]] = {
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "prune": lambda conv: prune.l1_unstructured(conv, "weight", 0.3),
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
}


def heavy_convolution(bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(160, 160, 3, padding=1, bias=bias).double()


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("way", ["as_products", "as_linear"])
@pytest.mark.parametrize("wrapped_later", [False, True])
def test_weights_that_are_computed_train_what_they_are_computed_from(
    name: str, way: str, wrapped_later: bool
) -> None:
    expected = WRAPPERS[name](heavy_convolution())
    conv = heavy_convolution()
    early = SmallConvolutions([conv])
    WRAPPERS[name](conv)
    small = early if wrapped_later else SmallConvolutions([conv])
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64)
    expected(x).square().sum().backward()
    with getattr(small, way)():
        conv(x).square().sum().backward()
    for (key, one), other in zip(conv.named_parameters(), expected.parameters(), strict=True):
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, msg=key)


@pytest.mark.parametrize("way", ["as_products", "as_linear"])
def test_hooks_on_a_gradient_are_called(way: str) -> None:
    conv, called = heavy_convolution(), []
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64)
    with getattr(SmallConvolutions([conv]), way)():
        conv(x).sum().backward()
        assert conv.weight.grad is not None
        once = conv.weight.grad.clone()
        conv.weight.grad = None
        hooks = [
            conv.weight.register_hook(lambda gradient: 2 * gradient),
            conv.weight.register_post_accumulate_grad_hook(lambda weight: called.append(weight)),
        ]
        conv(x).sum().backward()
        torch.testing.assert_close(conv.weight.grad, 2 * once)
        assert len(called) == 1
        for hook in hooks:
            hook.remove()
        conv.weight.grad = None
        conv(x).sum().backward()
    torch.testing.assert_close(conv.weight.grad, once)
    assert len(called) == 1


@pytest.mark.parametrize("way", ["as_products", "as_linear"])
def test_hooks_of_the_module_are_called(way: str) -> None:
    conv, seen = heavy_convolution(bias=False), []
    conv.register_forward_pre_hook(lambda _, inputs: (3 * inputs[0],))
    conv.register_forward_hook(lambda _, inputs, out: 2 * out)
    conv.register_full_backward_hook(lambda *_: seen.append(1))
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64, requires_grad=True)
    with getattr(SmallConvolutions([conv]), way)():
        out = conv(x)
        out.sum().backward()
    torch.testing.assert_close(out, 6 * nn.functional.conv2d(x, conv.weight, padding=1))
    assert seen == [1]


@pytest.mark.parametrize("way", ["as_products", "as_linear"])
def test_a_forward_of_the_users_own_stays(way: str) -> None:
    conv = heavy_convolution()
    original = conv.forward
    conv.forward = own = lambda x: original(x) + 1  # type: ignore[method-assign]
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64)
    with getattr(SmallConvolutions([conv]), way)():
        torch.testing.assert_close(conv(x), original(x) + 1)
    assert conv.__dict__["forward"] is own


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("way", ["as_products", "as_linear"])
def test_the_output_may_be_written_to(bias: bool, way: str) -> None:
    conv = heavy_convolution(bias)
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad((conv(x) + x).relu().square().sum(), [x, *conv.parameters()])
    x.grad = None
    with getattr(SmallConvolutions([conv]), way)():
        out = conv(x)
        out += x
        out.relu_().square().sum().backward()
    torch.testing.assert_close(tuple(leaf.grad for leaf in (x, *conv.parameters())), expected)


def test_products_within_linear_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run with replicas: the whole step is in the one, the edge part in the other."""
    conv, called = heavy_convolution(), []
    small, product = SmallConvolutions([conv]), small_convolutions._Product.apply
    monkeypatch.setattr(small_convolutions._Product, "apply", lambda *a: called.append(1) or product(*a))
    x = torch.randn(2, 160, 1, 1, dtype=torch.float64)
    with small.as_linear():
        outer = conv.__dict__["forward"]
        with small.as_products():
            conv(x)
        assert called == [1]
        assert conv.__dict__["forward"] is outer
        conv(x)
    assert called == [1]
    assert "forward" not in conv.__dict__
