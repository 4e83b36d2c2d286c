"""Codecs between the edge part and the cloud part: what the cut tensors are sent as.

A codec maps the tensors that the edge sends to those that the cloud receives. It encodes and decodes in one step and
packs no bytes; the planner's formulas count those (:data:`cloudedge_pl.costs.codec.CODECS`), and
:mod:`cloudedge_pl.partition.wire` has both ends apart. Each sample is a message of its own, because its own node sends
it: the samples of a batch share nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.costs.codec import CodecConfig, channel_axis, kept_count

Shape = tuple[int, ...]


class Codec(nn.Module):
    """Maps the values that the edge sends to those that the cloud receives.

    Shapes, dtypes and memory formats stay the same. Integer tensors, and values that are no tensors, pass unchanged.

    Args:
        num_tensors: how many tensors cross.
    """

    def __init__(self, num_tensors: int) -> None:
        super().__init__()
        self._num_tensors = num_tensors

    def forward(self, live: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values that cross the split point (tensors [B, ...] among them) -> the values that arrive.

        Raises:
            ValueError: if the number of tensors is not the one that the codec was built for.
        """
        places = [place for place, value in enumerate(live) if isinstance(value, Tensor)]
        if len(places) != self._num_tensors:
            raise ValueError(
                f"codec: it was built for {self._num_tensors} tensors, not {len(places)}; build it with the shapes of "
                "this split point."
            )
        arrived = list(live)
        for index, place in enumerate(places):
            if live[place].is_floating_point():
                arrived[place] = self._arrived(live[place], index)
        return tuple(arrived)

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        """What arrives of the ``index``-th tensor [B, ...] that crosses; it holds floating-point numbers."""
        raise NotImplementedError


class CastCodec(Codec):
    """Casts to another dtype; the gradient is passed straight through.

    A value beyond the dtype's range arrives as inf. The gradient is not cast.
    """

    def __init__(self, num_tensors: int, dtype: torch.dtype) -> None:
        super().__init__(num_tensors)
        self.dtype = dtype

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        if tensor.dtype == self.dtype:
            return tensor
        return _StraightThrough.apply(tensor, lambda value: value.to(self.dtype).to(value.dtype))


class Int8Codec(Codec):
    """Quantises each sample's tensor to 256 even levels between its minimum and maximum; straight-through gradient.

    q = round((x - zero) / scale) and x' = zero + q scale, with zero the minimum and scale the range over 255. Zero and
    scale are sent as float32, and all arithmetic is in float32, whatever the tensor's dtype. A constant tensor arrives
    exactly, and so does a minimum of 0, as after a ReLU. One inf or nan, or a range beyond float32's, makes that
    sample's whole tensor nan.
    """

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        return _StraightThrough.apply(tensor, _rounded_to_levels)


class TopKCodec(Codec):
    """Sends the k elements of largest magnitude of each sample's tensor; the others arrive as zero.

    The gradient is masked: only the elements that were sent get one, and only their gradients come back over the link.
    This is the exact gradient of the cloud's computation. Of equal magnitudes at the threshold, any may be kept; nan
    counts as the largest.
    """

    def __init__(self, num_tensors: int, ratio: float) -> None:
        super().__init__(num_tensors)
        self.ratio = ratio

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        rows = tensor.detach().abs().reshape(len(tensor), math.prod(tensor.shape[1:]))
        largest = rows.topk(kept_count(self.ratio, rows.shape[1]), dim=1, sorted=False).indices
        kept = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, largest, True)
        # in the tensor's own strides, because where() derives its memory format from all its arguments
        mask = torch.empty_like(tensor, dtype=torch.bool).copy_(kept.view(tensor.shape))
        return torch.where(mask, tensor, 0.0)


class BottleneckCodec(Codec):
    """Sends fewer channels: one learned linear map reduces the channels of every pixel or token, another restores them.

    It starts as the orthogonal projection onto a random subspace of the channels: the first map has orthonormal rows,
    and the second is its transpose. The gradient is exact. A tensor passes unchanged if all its channels are kept. The
    maps are 1x1 convolutions for [B, C, H, W] and linear layers for all other layouts.

    Args:
        shapes: shapes of the tensors, without the batch dimension.
        ratio: share of the channels to keep, in (0, 1].
    """

    def __init__(self, shapes: Sequence[Shape], ratio: float) -> None:
        super().__init__(len(shapes))
        self.pairs = nn.ModuleList(_pair(shape, ratio) for shape in shapes)

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        return self.pairs[index](tensor)


class ChannelPair(nn.Module):
    """Reduces the channels and restores them: [B, ...] -> [B, ...] of the same dtype.

    Args:
        shape: shape of the tensor, without the batch dimension.
        kept: number of channels between the two maps.
    """

    def __init__(self, shape: Shape, kept: int) -> None:
        super().__init__()
        axis = channel_axis(shape)
        channels = shape[axis]
        self.dim = axis + 1
        self.down: nn.Conv2d | nn.Linear
        self.up: nn.Conv2d | nn.Linear
        if len(shape) == 3 and axis == 0:
            self.down = nn.Conv2d(channels, kept, kernel_size=1, bias=False)
            self.up = nn.Conv2d(kept, channels, kernel_size=1)
        else:
            self.down = nn.Linear(channels, kept, bias=False)
            self.up = nn.Linear(kept, channels)
        nn.init.orthogonal_(self.down.weight)
        assert self.up.bias is not None
        with torch.no_grad():
            self.up.weight.copy_(self.down.weight.transpose(0, 1))
            self.up.bias.zero_()

    def forward(self, tensor: Tensor) -> Tensor:
        """[B, *shape] -> the tensor that arrives [B, *shape]."""
        value = tensor.to(self.down.weight.dtype)
        if isinstance(self.down, nn.Linear):
            return self.up(self.down(value.movedim(self.dim, -1))).movedim(-1, self.dim).to(tensor.dtype)
        return self.up(self.down(value)).to(tensor.dtype)


def _pair(shape: Shape, ratio: float) -> nn.Module:
    channels = shape[channel_axis(shape)] if shape else 1
    kept = kept_count(ratio, channels)
    return ChannelPair(shape, kept) if kept < channels else nn.Identity()


class _StraightThrough(torch.autograd.Function):
    """``code(tensor)`` in the forward pass, which must return a new tensor; the identity in the backward pass.

    x + (code(x) - x).detach() is no substitute: it rounds, and turns inf into nan.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, code: Callable[[Tensor], Tensor]) -> Tensor:
        return code(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _rounded_to_levels(tensor: Tensor) -> Tensor:
    """[B, ...] -> each sample rounded to 256 even levels between its minimum and its maximum."""
    value = tensor.float()
    if value.ndim == 1:  # a sample of one number is its own minimum
        return value.to(tensor.dtype, copy=True)
    dims = tuple(range(1, value.ndim))
    zero = value.amin(dims, keepdim=True)
    scale = (value.amax(dims, keepdim=True) - zero) / 255
    scale = torch.where(scale == 0, 1.0, scale)
    levels = ((value - zero) / scale).round_().clamp_(max=255)
    return torch.addcmul(zero, levels, scale).to(tensor.dtype)


_BUILDERS: dict[str, Callable[[Sequence[Shape], float], Codec]] = {
    "float32": lambda shapes, _: CastCodec(len(shapes), torch.float32),
    "float16": lambda shapes, _: CastCodec(len(shapes), torch.float16),
    "bfloat16": lambda shapes, _: CastCodec(len(shapes), torch.bfloat16),
    "int8": lambda shapes, _: Int8Codec(len(shapes)),
    "bottleneck": BottleneckCodec,
    "top_k": lambda shapes, ratio: TopKCodec(len(shapes), ratio),
}


def build_codec(config: CodecConfig, shapes: Sequence[Shape]) -> Codec | None:
    """Builds the codec of a split point.

    Split points 0 and N need none: the raw input is sent there, or nothing. Only "bottleneck" has parameters; they are
    drawn from torch's global generator, in the default dtype.

    Args:
        config: name and ratio of the codec.
        shapes: shapes of all tensors that cross, without the batch dimension (``SplitChain.live_shapes``).

    Returns:
        The codec; None for "none".

    Raises:
        ValueError: if there is no shape.
    """
    if not shapes:
        raise ValueError("codec: no tensor crosses the split point; give at least one shape.")
    return None if config.name == "none" else _BUILDERS[config.name](shapes, config.ratio)
