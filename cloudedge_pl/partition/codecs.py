"""What the cut tensors are sent as: codecs that stand where the link is, between the edge part and the cloud part.

A codec maps the tensors that the edge puts out to those that the cloud receives. It encodes and decodes in one go and
packs no bytes; those are counted by the planner's formulas, :data:`cloudedge_pl.costs.transmission.CODECS`. Every
sample is a message of its own, as its own node sends it: nothing is shared between the samples of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.costs.transmission import CODECS, channel_axis, kept_count
from cloudedge_pl.errors import lookup, require_range

Shape = tuple[int, ...]


class Codec(nn.Module):
    """Maps what the edge puts out to what the cloud receives.

    Shapes, dtypes and memory formats stay. Tensors that hold no floating numbers, and values that are no tensors,
    pass as they are.

    Args:
        num_tensors: how many tensors cross.
    """

    def __init__(self, num_tensors: int) -> None:
        super().__init__()
        self._num_tensors = num_tensors

    def forward(self, live: tuple[Any, ...]) -> tuple[Any, ...]:
        """Values that cross the split point, tensors [B, ...] among them -> the same as they arrive.

        Raises:
            ValueError: on another number of tensors than it was made for.
        """
        places = [place for place, value in enumerate(live) if isinstance(value, Tensor)]
        if len(places) != self._num_tensors:
            raise ValueError(
                f"codec: it was made for {self._num_tensors} tensors, not {len(places)}; build it with the shapes of "
                "this split point."
            )
        arrived = list(live)
        for index, place in enumerate(places):
            if live[place].is_floating_point():
                arrived[place] = self._arrived(live[place], index)
        return tuple(arrived)

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        """What arrives of the floating tensor [B, ...] that is the ``index``-th to cross."""
        raise NotImplementedError


class CastCodec(Codec):
    """Sends another dtype; the gradient passes straight through.

    A value beyond the dtype's range arrives as inf. The gradient's own cast is not simulated.
    """

    def __init__(self, num_tensors: int, dtype: torch.dtype) -> None:
        super().__init__(num_tensors)
        self._dtype = dtype

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        if tensor.dtype == self._dtype:
            return tensor
        return _StraightThrough.apply(tensor, lambda value: value.to(self._dtype).to(value.dtype))


class Int8Codec(Codec):
    """Sends 256 even levels from the least to the largest value of each sample's tensor; the gradient passes straight.

    Level and value: q = round((x - zero) / scale), x' = zero + q scale, with zero the least value and scale the range
    over 255. Both are sent as float32, in which everything is reckoned, whatever the tensor's dtype. A constant tensor
    arrives exactly, and a zero that is the least value, as behind a ReLU, does too. One inf or nan, or a
    range beyond float32's, makes that sample's whole tensor nan.
    """

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        return _StraightThrough.apply(tensor, _rounded_to_levels)


class TopKCodec(Codec):
    """Sends the k elements of largest magnitude of each sample's tensor; the others arrive as zero.

    The gradient is masked: only the sent elements get theirs, and only these values come back over the link. That is
    the exact gradient of what the cloud computes, not a straight-through one. Of equal magnitudes at the border, any
    may be kept; nan counts as the largest.
    """

    def __init__(self, num_tensors: int, ratio: float) -> None:
        super().__init__(num_tensors)
        self._ratio = ratio

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        rows = tensor.detach().abs().reshape(len(tensor), math.prod(tensor.shape[1:]))
        largest = rows.topk(kept_count(self._ratio, rows.shape[1]), dim=1, sorted=False).indices
        kept = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, largest, True)
        # a copy in the tensor's own strides: where() takes its memory format from all it is given
        mask = torch.empty_like(tensor, dtype=torch.bool).copy_(kept.view(tensor.shape))
        return torch.where(mask, tensor, 0.0)


class BottleneckCodec(Codec):
    """Sends fewer channels: a learned linear map of every pixel's or token's channels down, and another one up again.

    It starts as the orthogonal projection onto a random subspace of the channels: the map down has orthonormal rows,
    and the one up is its transpose. The gradient is the exact one. Tensors of which all channels would be kept pass as
    they are. The maps are 1x1 convolutions for [B, C, H, W], linear layers for all other layouts.

    Args:
        shapes: of the tensors, without the batch dimension.
        ratio: share of the channels that is kept, in (0, 1].
    """

    def __init__(self, shapes: Sequence[Shape], ratio: float) -> None:
        super().__init__(len(shapes))
        self.pairs = nn.ModuleList(_pair(shape, ratio) for shape in shapes)

    def _arrived(self, tensor: Tensor, index: int) -> Tensor:
        return self.pairs[index](tensor)


class ChannelPair(nn.Module):
    """Channels down and up again: [B, ...] -> [B, ...], in the dtype that came in.

    Args:
        shape: of the tensor, without the batch dimension.
        kept: channels between the two maps.
    """

    def __init__(self, shape: Shape, kept: int) -> None:
        super().__init__()
        axis = channel_axis(shape)
        channels = shape[axis]
        self._dim = axis + 1
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
        """[B, *shape] -> what arrives, of the same shape."""
        value = tensor.to(self.down.weight.dtype)
        if isinstance(self.down, nn.Linear):
            return self.up(self.down(value.movedim(self._dim, -1))).movedim(-1, self._dim).to(tensor.dtype)
        return self.up(self.down(value)).to(tensor.dtype)


def _pair(shape: Shape, ratio: float) -> nn.Module:
    channels = shape[channel_axis(shape)] if shape else 1
    kept = kept_count(ratio, channels)
    return ChannelPair(shape, kept) if kept < channels else nn.Identity()


class _StraightThrough(torch.autograd.Function):
    """Forwards ``code(tensor)``, which must be a new tensor; backwards the identity.

    A function of its own, as x + (code(x) - x).detach() rounds and turns inf into nan.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, code: Callable[[Tensor], Tensor]) -> Tensor:
        return code(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _rounded_to_levels(tensor: Tensor) -> Tensor:
    """[B, ...] -> each sample on 256 even levels between its least and its largest value."""
    value = tensor.float()
    if value.ndim == 1:  # one number a sample is its own zero
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


def build_codec(name: str, shapes: Sequence[Shape], ratio: float) -> Codec | None:
    """Builds the codec of a split point.

    Split points 0 and N have none: there, the raw input is sent, or nothing. Only "bottleneck" has parameters; they are
    drawn from torch's global generator, in the default dtype.

    Args:
        name: a key of :data:`~cloudedge_pl.costs.transmission.CODECS`.
        shapes: of all tensors that cross, without the batch dimension (``SplitChain.live_shapes``).
        ratio: share of the channels that "bottleneck" keeps, or of the elements that "top_k" keeps, in (0, 1].

    Returns:
        The codec; None for "none".

    Raises:
        ValueError: on an unknown name, a ratio outside (0, 1], or no shape.
    """
    lookup(CODECS, name, "codec")
    require_range("codec", 0, 1, open_low=True, codec_ratio=ratio)
    if not shapes:
        raise ValueError("codec: no tensor crosses the split point; give the shape of one at least.")
    return None if name == "none" else _BUILDERS[name](shapes, ratio)
