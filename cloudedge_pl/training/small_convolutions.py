"""Convolutions of few, small feature maps as matrix products, which read and write every weight once.

A node's part of a batch is a handful of samples, and late feature maps are a few pixels wide: the arithmetic is then
next to nothing, and a convolution routine spends its time on bringing the weights into its own layout and their
gradient back, each time a pass over all of them. On the CPU a product with the unfolded pixels is several times quicker
there. Taps of the kernel that reach padding alone are left out: of a 3x3 kernel on a map of one pixel, eight of nine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_PIXELS = 96
"""Up to so many output pixels in a batch the product is quicker; measured, see benchmarks/README.md."""

FEWEST_WEIGHTS = 200_000
"""Smaller kernels stay in the cache, and their layout costs little."""


def convolutions(modules: Sequence[nn.Module]) -> list[nn.Conv2d]:
    """Those of ``modules`` that :func:`as_products` may speed up."""
    return [
        module
        for module in modules
        if type(module) is nn.Conv2d
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.weight.device.type == "cpu"
        and module.weight.numel() >= FEWEST_WEIGHTS
    ]


@contextmanager
def as_products(modules: Sequence[nn.Conv2d]) -> Iterator[None]:
    """Inside, ``modules`` compute few output pixels as a matrix product; the result is the same up to rounding."""
    for module in modules:
        module.__dict__["forward"] = _Forward(module)
    try:
        yield
    finally:
        for module in modules:
            del module.__dict__["forward"]


class _Forward:
    def __init__(self, module: nn.Conv2d) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        m = self.module
        size = [_output_size(m, x.shape[2 + axis], axis) for axis in (0, 1)]
        if len(x) * size[0] * size[1] > MOST_PIXELS or torch.is_autocast_enabled("cpu"):
            return nn.Conv2d.forward(m, x)
        out = _Product.apply(x, m.weight, m.stride, m.padding, m.dilation, size)
        return out if m.bias is None else out + m.bias[:, None, None]


def _output_size(module: nn.Conv2d, size: int, axis: int) -> int:
    reach = module.dilation[axis] * (module.kernel_size[axis] - 1)
    padding: Any = module.padding[axis]  # a number: strings are left out above
    return (size + 2 * padding - reach - 1) // module.stride[axis] + 1


class _Product(torch.autograd.Function):
    """[B, C, H, W] and weights [O, C, kh, kw] -> [B, O, H', W'], pixels unfolded into rows."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        size: list[int],
    ) -> Tensor:
        taps = [
            _taps(weight.shape[2 + a], x.shape[2 + a], size[a], stride[a], padding[a], dilation[a])
            for a in (0, 1)
        ]
        window = _Window(x.shape, size, taps, stride, padding, dilation)
        rows = window.unfold(x)
        matrix = _matrix(weight, taps)
        ctx.save_for_backward(rows, weight)
        ctx.window, ctx.taps = window, taps
        out = rows @ matrix.T
        return out.view(len(x), size[0], size[1], len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        gradient = gradients[0].permute(0, 2, 3, 1).reshape(len(rows), len(weight))
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = ctx.window.fold(gradient @ _matrix(weight, ctx.taps))
        if ctx.needs_input_grad[1]:
            of_weight = _as_weight(gradient.T @ rows, weight, ctx.taps)
        return of_x, of_weight, None, None, None, None


def _taps(kernel: int, size: int, out: int, stride: int, padding: int, dilation: int) -> slice:
    """The taps along one axis that meet a real pixel at some output position."""
    met = [
        tap
        for tap in range(kernel)
        if any(0 <= at * stride - padding + tap * dilation < size for at in range(out))
    ]
    return slice(met[0], met[-1] + 1) if met else slice(0, kernel)


def _matrix(weight: Tensor, taps: Sequence[slice]) -> Tensor:
    """[O, taps * C]; a view of weights in channels_last, where all taps or one are met."""
    return weight[:, :, taps[0], taps[1]].permute(0, 2, 3, 1).flatten(1)


def _as_weight(matrix: Tensor, weight: Tensor, taps: Sequence[slice]) -> Tensor:
    """The gradient [O, taps * C] in the weights' own shape and layout; zero at taps that meet nothing."""
    met = [tap.stop - tap.start for tap in taps]
    part = matrix.view(len(weight), *met, weight.shape[1]).permute(0, 3, 1, 2)
    if met == list(weight.shape[2:]):
        return part
    whole = torch.zeros_like(weight)
    whole[:, :, taps[0], taps[1]] = part
    return whole


class _Window:
    """Which pixels each output pixel sees."""

    def __init__(
        self,
        shape: torch.Size,
        size: list[int],
        taps: Sequence[slice],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> None:
        self.shape, self.size = shape, size
        self.padding = (padding[1], padding[1], padding[0], padding[0])
        self.places = [
            [
                slice(tap * dilation[a], tap * dilation[a] + stride[a] * (size[a] - 1) + 1, stride[a])
                for tap in range(taps[a].start, taps[a].stop)
            ]
            for a in (0, 1)
        ]

    def unfold(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B * H' * W', taps * C]."""
        pixels = functional.pad(x, self.padding).permute(0, 2, 3, 1)
        seen = [pixels[:, high, wide] for high in self.places[0] for wide in self.places[1]]
        return torch.stack(seen, dim=3).reshape(len(x) * self.size[0] * self.size[1], -1)

    def fold(self, rows: Tensor) -> Tensor:
        """The transpose of :meth:`unfold`."""
        batch, channels, height, width = self.shape
        left, _, top, _ = self.padding
        padded = rows.new_zeros(batch, height + 2 * top, width + 2 * left, channels)
        parts = rows.view(batch, *self.size, -1, channels)
        places = [(high, wide) for high in self.places[0] for wide in self.places[1]]
        for index, (high, wide) in enumerate(places):
            padded[:, high, wide] += parts[:, :, :, index]
        return padded[:, top : top + height, left : left + width].permute(0, 3, 1, 2)
