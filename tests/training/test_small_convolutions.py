"""Convolutions as matrix products give what convolutions give, backwards too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cloudedge_pl.training import small_convolutions
from cloudedge_pl.training.small_convolutions import SmallConvolutions, _Forward


def outcome(conv: nn.Conv2d, x: torch.Tensor, seed: int) -> list[torch.Tensor]:
    leaves = [x, *conv.parameters()]
    for leaf in leaves:
        leaf.grad = None
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):  # the second time, gradients are added to the first's
        y = conv(x)
        y.backward(torch.randn(y.shape, generator=generator, dtype=y.dtype))
    return [y.detach(), *(leaf.grad.clone() for leaf in leaves)]


@settings(max_examples=60, deadline=None)
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


def test_the_gradient_comes_in_the_weights_own_layout_and_in_memory_that_is_kept() -> None:
    conv = nn.Conv2d(160, 160, 3, padding=1).to(memory_format=torch.channels_last)
    products, places = SmallConvolutions([conv]), set()
    for pixels in (1, 2, 2):
        conv.weight.grad = None
        with products.as_products():
            conv(torch.randn(1, 160, pixels, pixels)).sum().backward()
        assert conv.weight.grad is not None
        assert conv.weight.grad.stride() == conv.weight.stride()
        places.add(conv.weight.grad.data_ptr())
    assert len(places) == 1


@pytest.mark.parametrize(("padding", "dilation"), [(1, 1), (0, 1), (2, 2), (2, 1)])
def test_a_map_of_one_pixel_meets_one_tap(padding: int, dilation: int) -> None:
    kernel = 1 if padding == 0 else 3
    conv = nn.Conv2d(6, 6, kernel, padding=padding, dilation=dilation).double()
    conv = conv.to(memory_format=torch.channels_last)
    small = SmallConvolutions([])
    small._forwards = [_Forward(conv)]
    x = torch.randn(3, 6, 1, 1, dtype=torch.float64, requires_grad=True)
    expected = outcome(conv, x, 0)
    with small.as_linear():
        torch.testing.assert_close(outcome(conv, x, 0), expected)
        # Of PyTorch's own operations: differentiable twice, and by autograd.grad.
        (first,) = torch.autograd.grad(conv(x).square().sum(), conv.weight, create_graph=True)
        first.square().sum().backward()
    assert conv.weight.grad.stride() == conv.weight.stride()


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
