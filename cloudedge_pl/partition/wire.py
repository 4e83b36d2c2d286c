"""Cut tensors as they are sent: what a codec's encoder gives at the edge, and its decoder makes of it in the cloud.

:mod:`cloudedge_pl.partition.codecs` encodes and decodes in one step, for training. Here the two ends are modules of
their own, with their own weights, and between them are the tensors that cross, in the bytes that the planner counts
(:data:`cloudedge_pl.costs.codec.CODECS`). Decoding what was encoded gives what the codec gives, bit for bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cloudedge_pl.costs.codec import kept_count
from cloudedge_pl.partition.codecs import BottleneckCodec, CastCodec, ChannelPair, Codec, Int8Codec, TopKCodec

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Wire:
    """How one tensor [B, *shape] crosses the cut.

    Args:
        encoder: the tensor -> the tensors that are sent, each [B, ...].
        decoder: these -> the tensor that arrives.
        suffixes: of the names of the tensors that are sent; () stands for the tensor as it is.
    """

    encoder: nn.Module
    decoder: nn.Module
    suffixes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether the tensor is sent as it is."""
        return not self.suffixes

    def names(self, index: int) -> tuple[str, ...]:
        """The names of what is sent of the tensor of this index: ``cut_0``, or ``cut_0`` and ``cut_0_scale``."""
        return tuple(f"cut_{index}{suffix}" for suffix in self.suffixes or ("",))


class Unchanged(nn.Module):
    """Both ends of a tensor that is sent as it is."""

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor


class CastEncoder(nn.Module):
    """Sends [B, ...] in another dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype)


class LevelEncoder(nn.Module):
    """Sends the 256 levels of :class:`~cloudedge_pl.partition.codecs.Int8Codec`: uint8 [B, ...], zero and scale [B, 1].

    A sample with an inf or nan is sent with a scale of nan, because no level could stand for it.
    """

    def forward(self, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value = tensor.float()
        dims = tuple(range(1, value.ndim))
        zero = value.amin(dims, keepdim=True)
        scale = (value.amax(dims, keepdim=True) - zero) / 255
        scale = torch.where(scale == 0, 1.0, scale)
        levels = ((value - zero) / scale).round().clamp(max=255)
        finite = torch.isfinite(scale)
        levels = torch.where(finite, levels, 0.0).to(torch.uint8)
        scale = torch.where(finite, scale, math.nan)
        return levels, zero.reshape(-1, 1), scale.reshape(-1, 1)


class LevelDecoder(nn.Module):
    """Levels, zero and scale -> the tensor [B, ...].

    Args:
        dims: number of the tensor's dimensions, with the batch.
        dtype: of the tensor.
    """

    def __init__(self, dims: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._ones, self._dtype = (1,) * (dims - 1), dtype

    def forward(self, levels: Tensor, zero: Tensor, scale: Tensor) -> Tensor:
        zero, scale = zero.reshape(-1, *self._ones), scale.reshape(-1, *self._ones)
        return torch.addcmul(zero, levels.float(), scale).to(self._dtype)


class TopKEncoder(nn.Module):
    """Sends the k elements of largest magnitude in the order of their places: values [B, k], and the places.

    Places are int32 [B, k], or one bit for every element, uint8 [B, n / 8], whichever is smaller.
    """

    def __init__(self, count: int, kept: int) -> None:
        super().__init__()
        self._count, self._kept = count, kept

    def forward(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        rows = tensor.reshape(tensor.shape[0], self._count)
        largest = rows.abs().topk(self._kept, dim=1).indices
        places = largest.sort(dim=1).values
        values = rows.gather(1, places)
        if not sends_bits(self._count, self._kept):
            return values, places.to(torch.int32)
        kept = torch.zeros_like(rows).scatter(1, places, torch.ones_like(values))
        bits = nn.functional.pad(kept, (0, -self._count % 8)).reshape(-1, math.ceil(self._count / 8), 8)
        return values, (bits.float() * _bit_values(rows)).sum(dim=2).to(torch.uint8)


class TopKDecoder(nn.Module):
    """Values and places -> the tensor [B, *shape], zero where nothing was sent."""

    def __init__(self, shape: Shape, kept: int) -> None:
        super().__init__()
        self._shape, self._kept = shape, kept

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        count = math.prod(self._shape)
        if not sends_bits(count, self._kept):
            rows = torch.zeros(values.shape[0], count, dtype=values.dtype, device=values.device)
            return rows.scatter(1, places.long(), values).reshape(-1, *self._shape)
        bits = (places.float()[:, :, None] / _bit_values(values)).floor().remainder(2)
        kept = bits.reshape(bits.shape[0], -1)[:, :count]
        order = (kept.long().cumsum(dim=1) - 1).clamp(min=0)
        return torch.where(kept == 1, values.gather(1, order), 0.0).reshape(-1, *self._shape)


def _bit_values(like: Tensor) -> Tensor:
    """1, 2, 4, ... 128, in float32, in which sums and quotients of bytes are exact."""
    return 2.0 ** torch.arange(8, dtype=torch.float32, device=like.device)


def sends_bits(count: int, kept: int) -> bool:
    """Whether a bit for every element takes fewer bytes than the place of every element that is kept."""
    return math.ceil(count / 8) < 4 * kept


class Reduce(nn.Module):
    """The edge's half of a :class:`~cloudedge_pl.partition.codecs.ChannelPair`: fewer channels."""

    def __init__(self, pair: ChannelPair) -> None:
        super().__init__()
        self.down, self._dim = copy.deepcopy(pair.down), pair.dim

    def forward(self, tensor: Tensor) -> Tensor:
        value = tensor.to(self.down.weight.dtype)
        return self.down(value.movedim(self._dim, -1) if isinstance(self.down, nn.Linear) else value)


class Restore(nn.Module):
    """The cloud's half of a :class:`~cloudedge_pl.partition.codecs.ChannelPair`: all channels again."""

    def __init__(self, pair: ChannelPair, dtype: torch.dtype) -> None:
        super().__init__()
        self.up, self._dim, self._dtype = copy.deepcopy(pair.up), pair.dim, dtype

    def forward(self, reduced: Tensor) -> Tensor:
        value = self.up(reduced)
        return (value.movedim(-1, self._dim) if isinstance(self.up, nn.Linear) else value).to(self._dtype)


def wires_of(codec: Codec | None, tensors: Sequence[tuple[Shape, torch.dtype]]) -> list[Wire]:
    """Returns how each tensor crosses the cut.

    Args:
        codec: of the cut; None sends every tensor as it is.
        tensors: shape without the batch dimension, and dtype, of each.

    Raises:
        ValueError: if the codec has no form on the wire.
    """
    if codec is None:
        return [Wire(Unchanged(), Unchanged()) for _ in tensors]
    make = _WIRES.get(type(codec))
    if make is None:
        raise ValueError(
            f"codec {type(codec).__name__} has no form on the wire; enter one in cloudedge_pl/partition/wire.py."
        )
    return [
        make(codec, index, *each) if each[1].is_floating_point else Wire(Unchanged(), Unchanged())
        for index, each in enumerate(tensors)
    ]


def _cast(codec: CastCodec, _index: int, _shape: Shape, dtype: torch.dtype) -> Wire:
    if codec.dtype == dtype:
        return Wire(Unchanged(), Unchanged())
    return Wire(CastEncoder(codec.dtype), CastEncoder(dtype), ("",))


def _int8(_codec: Int8Codec, _index: int, shape: Shape, dtype: torch.dtype) -> Wire:
    if not shape:  # a sample of one number is its own minimum
        return Wire(Unchanged(), Unchanged())
    return Wire(LevelEncoder(), LevelDecoder(len(shape) + 1, dtype), ("", "_zero", "_scale"))


def _top_k(codec: TopKCodec, _index: int, shape: Shape, _dtype: torch.dtype) -> Wire:
    count = math.prod(shape)
    kept = kept_count(codec.ratio, count)
    return Wire(TopKEncoder(count, kept), TopKDecoder(shape, kept), ("", "_places"))


def _bottleneck(codec: BottleneckCodec, index: int, _shape: Shape, dtype: torch.dtype) -> Wire:
    pair = codec.pairs[index]
    if not isinstance(pair, ChannelPair):
        return Wire(Unchanged(), Unchanged())
    return Wire(Reduce(pair), Restore(pair, dtype), ("",))


_WIRES: dict[type[Codec], Callable[..., Wire]] = {
    CastCodec: _cast,
    Int8Codec: _int8,
    TopKCodec: _top_k,
    BottleneckCodec: _bottleneck,
}
