"""Weighted means of tensors and optimizer states: w = sum_i U_i w_i / sum_i U_i (Xu 2020, Sec. 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def mean_tensor(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """sum_i shares_i values_i, summed in float32 at least. Integers are counters: the largest counts.

    Args:
        values: tensors of one shape.
        shares: [len(values)] >= 0, of sum 1.
    """
    first = values[0]
    if not first.is_floating_point():
        return torch.stack(list(values)).amax(dim=0)
    mean = torch.zeros_like(first, dtype=torch.promote_types(first.dtype, torch.float32))
    so_far = 0.0
    for value, share in zip(values, shares, strict=True):
        if share:
            so_far += share
            # The mean of equal values, such as frozen weights, is exact this way.
            mean.lerp_(value.to(mean.dtype), share / so_far)
    return mean


def mean_state(states: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, Any]:
    """The mean of what an optimizer keeps for one parameter on several nodes.

    Counts of steps become the largest. What is neither a tensor nor a number is taken from the first node.

    Args:
        states: entries of ``optimizer.state``, of the same keys.
        shares: [len(states)] > 0; scaled to sum 1.
    """
    total = sum(shares)
    scaled = [share / total for share in shares]
    return {key: _mean_entry([state[key] for state in states], scaled) for key in states[0]}


def _mean_entry(values: Sequence[Any], shares: Sequence[float]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        if first.ndim == 0:
            return torch.stack(list(values)).amax()
        return mean_tensor(values, shares).to(first.dtype)
    return max(values) if isinstance(first, (int, float)) else first
