"""Batch normalisation of the edge part as the nodes compute it, in one pass over the whole batch.

``local`` normalises every node's samples by their own mean and variance. Each node's samples are a contiguous segment
of the batch. The running statistics become the average of the nodes' own, weighted by their tasks U_i, which equals an
aggregation after the step (Xu 2020, Sec. 2.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.training.layers.replaced_forward import StandIn, standing_in

BatchNormMode = Literal["shared", "local", "frozen"]
"""Statistics over the whole step, over each node's samples, or the running ones."""

MANY, SMALL = 24, 16_384
"""Fewest segments, and largest mean number of values in each, for normalising all together; measured on the CPU."""

BATCH_NORM_MODES: dict[str, BatchNormMode] = {"shared": "shared", "local": "local", "frozen": "frozen"}


def batch_norms(
    backbone: nn.Module, parameter_names: Sequence[str], buffer_names: Sequence[str]
) -> list[_BatchNorm]:
    """Returns the batch normalisations of ``backbone`` that own one of the named parameters or buffers."""
    owners = {name.rpartition(".")[0] for name in (*parameter_names, *buffer_names)}
    return [
        child for name, child in backbone.named_modules() if isinstance(child, _BatchNorm) and name in owners
    ]


@contextmanager
def normalising(modules: Sequence[_BatchNorm], mode: BatchNormMode, tasks: Sequence[int]) -> Iterator[None]:
    """Inside, ``modules`` in training mode normalise by ``mode``.

    Args:
        modules: batch normalisations of the edge part; one whose ``forward`` was replaced by somebody is skipped.
        mode: "shared" changes nothing.
        tasks: samples of each node, in the order of the batch; the paper's U_i of the step.
    """
    if mode == "shared":
        yield
        return
    segments = _Segments([count for count in tasks if count])
    with standing_in([_Frozen(m) if mode == "frozen" else _Local(m, segments) for m in modules]):
        yield


class _Segments:
    """The number of samples of each node, as tensors that move to the run's device once for all layers.

    Args:
        counts: samples of the nodes that have any, in the order of the batch.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = list(counts)
        self._owners: dict[torch.device, tuple[Tensor, Tensor]] = {}
        self._shares: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def owners(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The segment of each sample, [B], and the counts, [num_segments]; int64."""
        if device not in self._owners:
            counts = torch.tensor(self.counts)
            owner = torch.repeat_interleave(counts)
            self._owners[device] = (
                owner.to(device, non_blocking=True),
                counts.to(device, non_blocking=True),
            )
        return self._owners[device]

    def shares(self, like: Tensor) -> Tensor:
        """Each segment's share of the samples, [num_segments], in the dtype of ``like``."""
        key = like.device, like.dtype
        if key not in self._shares:
            shares = torch.tensor(self.counts, dtype=like.dtype) / sum(self.counts)
            self._shares[key] = shares.to(like.device, non_blocking=True)
        return self._shares[key]


class _Frozen(StandIn[_BatchNorm]):
    """Normalises by the running statistics."""

    def __call__(self, x: Tensor) -> Tensor:
        m = self.module
        if not m.training:
            return type(m).forward(m, x)
        if m.running_mean is None or m.running_var is None:
            raise StrategyError(
                f'batch_norm="frozen" normalises by running statistics, and {_named(m)} has none '
                '(track_running_stats=False); use batch_norm="local" or "shared", or a layer that tracks them.'
            )
        return functional.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps)


class _Local(_Frozen):
    """Normalises each segment by its own statistics."""

    def __init__(self, module: _BatchNorm, segments: _Segments) -> None:
        super().__init__(module)
        self.segments = segments

    def __call__(self, x: Tensor) -> Tensor:
        m, counts = self.module, self.segments.counts
        if not m.training:
            return super().__call__(x)
        if len(counts) > 1 and len(x) != sum(counts):
            raise StrategyError(
                f"{_named(m)} is called with {len(x)} rows in a step of {sum(counts)} samples: something before it "
                "has moved samples or joined them with their positions, and which rows are whose is not known. Use "
                'batch_norm="shared" and aggregate after every step (every_n_steps=1), or cut before this layer '
                "(offloading.split_point)."
            )
        if len(counts) == 1 and x.numel() > x.shape[1]:
            return type(m).forward(m, x)  # a single node, with a variance
        many = len(counts) >= MANY and x.numel() <= SMALL * len(counts)
        out, means, variances = self._at_once(x) if many else self._one_by_one(x)
        if m.track_running_stats and m.running_mean is not None and m.running_var is not None:
            self._track(means, variances)
        return out

    def _one_by_one(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normalised segments, and the mean and unbiased variance of each, [num_segments, C]."""
        m, channels = self.module, x.shape[1]
        kept = m.weight if m.running_mean is None else m.running_mean
        dtype = x.dtype if kept is None else kept.dtype
        parts, means, variances = [], [], []
        counts = self.segments.counts
        for part in x.split(counts) if len(counts) > 1 else [x]:  # all rows are a single node's
            if part.numel() == channels and m.running_mean is not None and m.running_var is not None:
                # A single value per channel has no variance, so the node uses the running statistics; copies, because
                # the backward pass needs their present values.
                mean, variance, training = m.running_mean.clone(), m.running_var.clone(), False
            else:
                # With momentum 1 a call writes the segment's own mean and unbiased variance here.
                mean, variance = x.new_zeros(channels, dtype=dtype), x.new_ones(channels, dtype=dtype)
                training = True
            parts.append(functional.batch_norm(part, mean, variance, m.weight, m.bias, training, 1.0, m.eps))
            means.append(mean)
            variances.append(variance)
        return torch.cat(parts), torch.stack(means), torch.stack(variances)

    def _at_once(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`_one_by_one`, for all segments together: a few passes over small maps cost less than many calls."""
        m = self.module
        owner, counts = self.segments.owners(x.device)
        values = (counts * (x[0].numel() // x.shape[1]))[:, None]
        pixels, spread = tuple(range(2, x.ndim)), (..., *[None] * (x.ndim - 2))

        def mean_of(value: Tensor) -> Tensor:
            each = value.sum(pixels) if pixels else value
            return each.new_zeros(len(counts), x.shape[1]).index_add(0, owner, each) / values

        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = mean_of(precise)
        if m.running_mean is not None:
            mean = torch.where(values == 1, m.running_mean.clone(), mean)
        centred = precise - mean[owner][spread]
        variance = mean_of(centred.square())
        if m.running_var is not None:
            variance = torch.where(values == 1, m.running_var.clone(), variance)
        scale = torch.rsqrt(variance + m.eps)
        scale = scale if m.weight is None else scale * m.weight
        out = centred * scale[owner][spread]
        out = out if m.bias is None else out + m.bias[spread]
        unbiased = torch.where(values == 1, variance, variance * (values / (values - 1).clamp(min=1)))
        return out.to(x.dtype), mean.detach(), unbiased.detach()

    @torch.no_grad()
    def _track(self, means: Tensor, variances: Tensor) -> None:
        m = self.module
        assert m.running_mean is not None
        assert m.running_var is not None
        assert m.num_batches_tracked is not None
        m.num_batches_tracked.add_(1)
        shares = self.segments.shares(means)
        for running, each in ((m.running_mean, means), (m.running_var, variances)):
            now = (shares @ each).to(running.dtype)
            if m.momentum is not None:
                running.lerp_(now, m.momentum)
                continue
            # The factor of a cumulative average stays on the device; reading it would wait for it in every layer.
            precise = torch.promote_types(running.dtype, torch.float32)
            factor = m.num_batches_tracked.to(precise).reciprocal()
            running.copy_(running.to(precise).lerp(now.to(precise), factor))


def _named(module: _BatchNorm) -> str:
    return f"the edge part's {type(module).__name__}({module.num_features})"
