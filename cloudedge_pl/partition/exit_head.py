"""The exit head: the early exit on the master; answers while the cloud sleeps, and is trained along while it is awake.

It is a small classifier on the tensors that cross the split point. Xu 2020 calls it the simplified cloud model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.errors import require_fields, require_positive, require_range


@dataclass(frozen=True)
class ExitHeadConfig:
    """Size of an exit head.

    Args:
        hidden_channels: channels of its hidden layers.
        num_layers: hidden layers; 0 is pooling and a linear layer.
        pool: side of the grid to which feature maps are averaged before the last linear layer. A grid helps an early
            exit most: after the first layer of a ResNet-18 (itself at 56% after six epochs on 10,000 CIFAR-10 images) a
            head reaches 47% with pool 1, 56% with 2 and 58% with 4. Strided convolutions down to the grid lose no
            accuracy, at a quarter of the FLOP of stride 1.
    """

    hidden_channels: int = 64
    num_layers: int = 0
    pool: int = 1

    def __post_init__(self) -> None:
        require_fields("exit head", self)
        require_range("exit head", 1, 65_536, hidden_channels=self.hidden_channels)
        require_range("exit head", 1, 256, pool=self.pool)
        require_range("exit head", 0, 16, num_layers=self.num_layers)


class ExitHead(nn.Module):
    """Classifies from the tensors that cross a split point.

    Tensors of the same size are concatenated along their channels. A branch turns each of the results into a vector;
    its kind follows from the shape: feature maps [B, C, H, W] (or [B, H, W, C], where H = W differs from C), tokens
    [B, L, C], or vectors. One linear layer classifies the concatenated vectors.

    If the backbone returns features, and the classifier is not part of it, the head returns features of the same shape,
    so that the module can classify them. Maps and tokens are predicted on a grid with ``config.pool`` points a side;
    every position takes the value of its nearest point.

    Source: Xu 2020, Sec. 2.4 (the simplified cloud model on the master, whose loss is F_e); the paper does not say how
    it is built.

    Args:
        live_shapes: shapes of the tensors that cross, without the batch dimension.
        output_shape: shape of the backbone's output, without the batch dimension, or the number of logits.
        config: size of the head; None takes the defaults.
    """

    def __init__(
        self,
        live_shapes: Sequence[tuple[int, ...]],
        output_shape: int | tuple[int, ...],
        config: ExitHeadConfig | None = None,
    ) -> None:
        super().__init__()
        config = config or ExitHeadConfig()
        output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        for side in output_shape:
            require_positive("exit head", output_shape=side)
        if not live_shapes:
            raise ValueError("exit head: no tensor crosses the split point; give at least one shape.")
        self._channel_dims = [_channel_dim(shape) for shape in live_shapes]
        channels: dict[tuple[int, ...], int] = {}
        self._groups: list[int] = []
        for shape, dim in zip(live_shapes, self._channel_dims, strict=True):
            size = (*shape[: dim - 1], *shape[dim:])
            channels[size] = channels.get(size, 0) + shape[dim - 1]
            self._groups.append(list(channels).index(size))
        branches, widths = zip(*(_branch(channels[size], size, config) for size in channels), strict=True)
        self.branches = nn.ModuleList(branches)
        self._output_dim = _channel_dim(output_shape)
        self._output_size = (*output_shape[: self._output_dim - 1], *output_shape[self._output_dim :])
        self._grid = (
            output_shape[self._output_dim - 1],
            *(min(config.pool, side) for side in self._output_size),
        )
        self.classifier = nn.Linear(sum(widths), math.prod(self._grid))

    def forward(self, live: Sequence[Any]) -> Tensor:
        """The values that cross the split point (tensors [B, ...] among them) -> [B, *output_shape]."""
        tensors = [value for value in live if isinstance(value, Tensor)]
        if len(tensors) != len(self._channel_dims):
            raise ValueError(
                f"exit head: it was built for {len(self._channel_dims)} tensors, not {len(tensors)}."
            )
        groups: list[list[Tensor]] = [[] for _ in self.branches]
        for tensor, dim, group in zip(tensors, self._channel_dims, self._groups, strict=True):
            floating = tensor if tensor.is_floating_point() else tensor.to(self.classifier.weight.dtype)
            groups[group].append(floating.movedim(dim, 1))
        features = [
            branch(torch.cat(group, dim=1) if len(group) > 1 else group[0])
            for branch, group in zip(self.branches, groups, strict=True)
        ]
        return self._in_shape(self.classifier(torch.cat(features, dim=1)))

    def _in_shape(self, values: Tensor) -> Tensor:
        """The last layer's output [B, channels * grid] in the shape that the backbone returns."""
        if not self._output_size:
            return values
        grid = values.view(-1, *self._grid)
        if self._grid[1:] != self._output_size:
            index = [
                torch.arange(side, device=values.device) * cells // side
                for side, cells in zip(self._output_size, self._grid[1:], strict=True)
            ]
            for dim, at in enumerate(index):
                grid = grid.index_select(dim + 2, at)
        return grid.movedim(1, self._output_dim)


def _channel_dim(shape: tuple[int, ...]) -> int:
    """Returns the dimension of [B, *shape] that holds the channels."""
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == shape[1] != shape[2]):
        return len(shape)
    return 1


def _branch(channels: int, size: tuple[int, ...], config: ExitHeadConfig) -> tuple[nn.Module, int]:
    """Returns a module [B, channels, *size] -> vectors, and the vectors' length."""
    if len(size) == 2:
        return _map_branch(channels, size, config)
    if len(size) == 1:
        return _token_branch(channels, config)
    return _vector_branch(channels * int(torch.Size(size).numel()), config)


def _map_branch(channels: int, size: tuple[int, ...], config: ExitHeadConfig) -> tuple[nn.Module, int]:
    """For feature maps [B, C, H, W]: convolutions halve them down to the grid, then pooling averages over it."""
    layers: list[nn.Module] = []
    side = min(size)
    for _ in range(config.num_layers):
        stride = 2 if side >= 2 * config.pool else 1
        side = -(-side // stride)
        layers += [
            nn.Conv2d(channels, config.hidden_channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(config.hidden_channels),
            nn.ReLU(),
        ]
        channels = config.hidden_channels
    grid = [min(config.pool, side) for side in size]
    layers += [nn.AdaptiveAvgPool2d(tuple(grid)), nn.Flatten()]
    return nn.Sequential(*layers), channels * grid[0] * grid[1]


def _token_branch(channels: int, config: ExitHeadConfig) -> tuple[nn.Module, int]:
    """For tokens [B, C, L]: normalisation, their mean, then hidden layers."""
    layers: list[nn.Module] = [NormalisedMean(channels)]
    for _ in range(config.num_layers):
        layers += [nn.Linear(channels, config.hidden_channels), nn.GELU()]
        channels = config.hidden_channels
    return nn.Sequential(*layers), channels


def _vector_branch(length: int, config: ExitHeadConfig) -> tuple[nn.Module, int]:
    """For vectors [B, C], and anything else flattened: hidden layers."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(config.num_layers):
        layers += [nn.Linear(length, config.hidden_channels), nn.ReLU()]
        length = config.hidden_channels
    return nn.Sequential(*layers), length


class NormalisedMean(nn.Module):
    """[B, C, L] -> [B, C]: layer normalisation of every token, then their mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens.transpose(1, 2)).mean(dim=1)
