"""Heavy convolutions of few, small feature maps as matrix products, on the CPU.

Late feature maps are a few pixels wide, and a node has a few samples of a batch. The arithmetic is then small, and a
convolution routine spends most of its time on converting the layout of the weights and of their gradient. A matrix
product reads and writes them once. Kernel taps that reach only padding are left out: eight of nine for a 3x3 kernel on
a map of one pixel. The results are equal up to rounding and have a convolution's memory layout.

There are two ways. :meth:`SmallConvolutions.as_linear`, for maps of one pixel, consists of PyTorch's own operations, so
that anything a module does with its gradients keeps working. :meth:`SmallConvolutions.as_products`, for the nodes'
replicas, writes the gradient of the weights directly to ``weight.grad``, in memory that is reused: with thirty nodes,
new memory for each costs more than writing to it. A node's gradient must be used or copied before the next node's
backward pass. Because this bypasses autograd, convolutions whose weights are computed from other parameters or have
hooks on their gradient are left to PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloudedge_pl.training.layers.replaced_forward import StandIn, standing_in

MOST_PIXELS = 96
"""Largest number of output pixels in a batch for which the product is faster; see benchmarks/README.md."""

FEWEST_WEIGHTS = 200_000
"""Fewest weights of a kernel; smaller ones stay in the cache, and their layout costs little."""


class SmallConvolutions:
    """The convolutions among some modules that may be computed as products, and memory for their weights' gradients.

    Args:
        modules: any modules; only ordinary, heavy convolutions on the CPU are replaced.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._forwards = [_Forward(module) for module in modules if _is_taken(module)]

    def as_products(self) -> AbstractContextManager[None]:
        """Inside, few output pixels are computed as a matrix product that reuses memory for the weights' gradient."""
        return standing_in(self._forwards)

    def as_linear(self) -> AbstractContextManager[None]:
        """Inside, maps of one pixel are computed as a linear layer on the one tap that covers them."""
        return standing_in([_Linear(forward.module) for forward in self._forwards])


def _is_taken(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.weight.numel() >= FEWEST_WEIGHTS
    )


def _plain_weight(module: nn.Conv2d) -> nn.Parameter | None:
    """Returns the weight if autograd would only add its gradient to ``weight.grad``, else None."""
    # Not module.weight: if it is computed, reading it changes the state of a spectral norm.
    weight = module._parameters.get("weight")
    if weight is None or type(weight) is not nn.Parameter or not weight.is_leaf:
        return None
    return None if weight._backward_hooks or weight._post_accumulate_grad_hooks else weight


class _Forward(StandIn[nn.Conv2d]):
    """Few output pixels as a product that writes the gradient of the weights."""

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__(module)
        self._memory: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        m = self.module
        size = [_output_size(m, x.shape[2 + axis], axis) for axis in (0, 1)]
        few = len(x) * size[0] * size[1] <= MOST_PIXELS and x.device.type == "cpu"
        weight = _plain_weight(m)  # checked in every call: hooks and parametrizations come and go
        if not few or weight is None or torch.is_autocast_enabled("cpu"):
            return nn.Conv2d.forward(m, x)
        if self._memory is None or self._memory.dtype != weight.dtype:
            self._memory = torch.empty_like(weight, requires_grad=False)
        rows = _Product.apply(x, weight, m.stride, m.padding, m.dilation, size, self._memory)
        # A view made here may be written to, as an activation or a sum after a convolution does.
        out = rows.view(len(x), size[0], size[1], -1).permute(0, 3, 1, 2)
        out = out if m.bias is None else out + m.bias[:, None, None]
        # The layout of a convolution's output: later code may view it.
        return out.contiguous() if x.is_contiguous() and weight.is_contiguous() else out


class _Linear(StandIn[nn.Conv2d]):
    """Maps of one pixel as a linear layer."""

    def __call__(self, x: Tensor) -> Tensor:
        m = self.module
        met = [_padding(m, axis) // m.dilation[axis] for axis in (0, 1)]
        one = x.device.type == "cpu" and x.shape[2:] == (1, 1)
        if not (one and all(self._is_the_only_tap(met[axis], axis) for axis in (0, 1))):
            return nn.Conv2d.forward(m, x)
        weight = m.weight
        order = _order(weight)  # the weights' order in memory, which their gradient then has too
        at = [slice(None) if dim == 1 else met[dim - 2] for dim in order]
        tap = weight.permute(0, *order)[(slice(None), *at)]
        return functional.linear(x.flatten(1), tap, m.bias)[:, :, None, None]

    def _is_the_only_tap(self, tap: int, axis: int) -> bool:
        """Whether there is one output position along the axis, and this tap of it meets the pixel."""
        m = self.module
        meets = tap * m.dilation[axis] == _padding(m, axis) and tap < m.kernel_size[axis]
        return meets and _output_size(m, 1, axis) == 1


def _padding(module: nn.Conv2d, axis: int) -> int:
    padding: Any = module.padding[axis]  # a number: strings are not taken
    return padding


def _output_size(module: nn.Conv2d, size: int, axis: int) -> int:
    reach = module.dilation[axis] * (module.kernel_size[axis] - 1)
    return (size + 2 * _padding(module, axis) - reach - 1) // module.stride[axis] + 1


class _Product(torch.autograd.Function):
    """[B, C, H, W] and weights [O, C, kh, kw] -> [B * H' * W', O], pixels unfolded into rows."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        size: list[int],
        memory: Tensor,
    ) -> Tensor:
        taps = [
            _taps(weight.shape[2 + a], x.shape[2 + a], size[a], stride[a], padding[a], dilation[a])
            for a in (0, 1)
        ]
        if weight.is_contiguous() and max(map(len, taps)) > 1:
            taps = [range(extent) for extent in weight.shape[2:]]  # a part of them would not be a view
        window = _Window(x, size, taps, stride, padding, dilation, _order(weight))
        rows, matrix = window.unfold(x), _matrix(weight, taps)
        if matrix.stride(1) != 1:  # a product would copy it, here and in the backward pass
            matrix = matrix.contiguous()
        ctx.save_for_backward(rows, matrix)
        ctx.window, ctx.taps, ctx.weight, ctx.memory = window, taps, weight, memory
        return rows @ matrix.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (rows, matrix), weight, gradient = ctx.saved_tensors, ctx.weight, gradients[0]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = ctx.window.fold(gradient @ matrix)
        if ctx.needs_input_grad[1]:
            _add_gradient(weight, gradient, rows, ctx.taps, ctx.memory)
        return of_x, None, None, None, None, None, None


def _taps(kernel: int, size: int, out: int, stride: int, padding: int, dilation: int) -> range:
    """Returns the taps along one axis from the first to the last that covers a pixel at some output position."""
    met = [
        tap
        for tap in range(kernel)
        if any(0 <= at * stride - padding + tap * dilation < size for at in range(out))
    ]
    return range(met[0], met[-1] + 1) if met else range(kernel)


def _order(weight: Tensor) -> tuple[int, int, int]:
    """Returns the dimensions of weights [O, C, kh, kw] after the first, in their order in memory."""
    return (1, 2, 3) if weight.is_contiguous() else (2, 3, 1)


def _matrix(weight: Tensor, taps: Sequence[range]) -> Tensor:
    """Returns [O, C * taps] in the weights' order in memory; a view of them if one or all taps are used."""
    return _met(weight, taps).permute(0, *_order(weight)).flatten(1)


def _met(weight: Tensor, taps: Sequence[range]) -> Tensor:
    return weight[:, :, taps[0].start : taps[0].stop, taps[1].start : taps[1].stop]


def _add_gradient(
    weight: Tensor, gradient: Tensor, rows: Tensor, taps: Sequence[range], memory: Tensor
) -> None:
    """Adds gradient^T rows to ``weight.grad``, which is made in ``memory`` if there is none."""
    whole = [len(tap) for tap in taps] == list(weight.shape[2:])
    into = _matrix(memory, taps)
    if weight.grad is None and whole and into.data_ptr() == memory.data_ptr():
        torch.mm(gradient.T, rows, out=into)
        weight.grad = memory
        return
    part = gradient.T @ rows
    if weight.grad is None:
        weight.grad = memory.zero_()
    met = _met(weight.grad, taps).permute(0, *_order(weight))
    met.add_(part.view(met.shape))


class _Window:
    """The input pixels of each output pixel.

    Args:
        x: the input, [B, C, H, W].
        size: H' and W'.
        taps: used taps of the kernel along each axis.
        stride: along each axis, as are padding and dilation.
        order: order of channels (1) and taps (2, 3) in a row.
    """

    def __init__(
        self,
        x: Tensor,
        size: list[int],
        taps: Sequence[range],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        order: tuple[int, int, int],
    ) -> None:
        self.shape, self.is_contiguous = x.shape, x.is_contiguous()
        self.size, self.stride, self.dilation = size, stride, dilation
        self.order = order
        self.padding = (padding[1], padding[1], padding[0], padding[0])
        self.first = [tap.start * reach for tap, reach in zip(taps, dilation, strict=True)]
        self.taps = [len(tap) for tap in taps]

    def _seen(self, padded: Tensor) -> Tensor:
        """Padded pixels [B, C, H, W] -> a view [B, H', W', C, taps, taps] of each output pixel's inputs."""
        batch, channel, row, column = padded.stride()
        strides = (
            batch,
            row * self.stride[0],
            column * self.stride[1],
            channel,
            row * self.dilation[0],
            column * self.dilation[1],
        )
        first = padded[:, :, self.first[0] :, self.first[1] :]
        shape = (len(padded), *self.size, padded.shape[1], *self.taps)
        return first.as_strided(shape, strides, first.storage_offset())

    def unfold(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B * H' * W', C * taps], a row in :attr:`order`."""
        seen = self._seen(functional.pad(x, self.padding))
        rows = seen.permute(0, 1, 2, *(2 + dim for dim in self.order))
        return rows.reshape(len(x) * self.size[0] * self.size[1], -1)

    def fold(self, rows: Tensor) -> Tensor:
        """The transpose of :meth:`unfold`, in the layout of its input."""
        batch, channels, height, width = self.shape
        left, _, top, _ = self.padding
        padded = rows.new_zeros(batch, height + 2 * top, width + 2 * left, channels).permute(0, 3, 1, 2)
        extent = (channels, *self.taps)
        parts = rows.view(batch, *self.size, *(extent[dim - 1] for dim in self.order))
        parts = parts.permute(0, 1, 2, *(3 + self.order.index(dim) for dim in (1, 2, 3)))
        seen = self._seen(padded)
        for down in range(self.taps[0]):  # a pixel is seen once by each tap
            for right in range(self.taps[1]):
                seen[..., down, right] += parts[..., down, right]
        of_x = padded[:, :, top : top + height, left : left + width]
        return of_x.contiguous() if self.is_contiguous else of_x
