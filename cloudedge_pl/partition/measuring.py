"""How long each segment of a backbone takes on this machine: measured instead of counted costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cloudedge_pl.errors import require_range
from cloudedge_pl.partition.chain import SplitChain
from cloudedge_pl.partition.standing_in import without_hooks


def measure_segments(
    chain: SplitChain,
    example_input: Tensor,
    *,
    repeats: int = 7,
    warm_up: int = 2,
) -> np.ndarray:
    """Times the forward pass of every segment, in evaluation mode.

    The segments run one after the other, as in a whole pass, so that each finds the caches as it would there. A
    segment's time is the median over the passes. The backbone's modes are restored afterwards.

    Args:
        chain: the backbone's split points; it runs on the device of its parameters.
        example_input: [B, ...]; it is moved to that device, and the times are divided by B.
        repeats: passes that count, >= 1.
        warm_up: passes before them that do not count, >= 0.

    Returns:
        [N] seconds for one sample.
    """
    require_range("measure_segments", 1, 10_000, repeats=repeats)
    require_range("measure_segments", 0, 10_000, warm_up=warm_up)
    device = next(chain.backbone.parameters()).device
    samples = example_input.to(device)
    segments = [chain.between(k, k + 1) for k in range(chain.num_segments)]
    seconds = np.zeros((warm_up + repeats, chain.num_segments))
    with _evaluating(chain.backbone), without_hooks(chain.backbone), torch.inference_mode():
        for row in seconds:
            live: tuple[object, ...] = (samples.clone(),)  # a first layer may write in place
            for k, segment in enumerate(segments):
                start = _now(device)
                live = segment(live)
                row[k] = _now(device) - start
    return np.median(seconds[warm_up:], axis=0) / len(samples)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _now(device: torch.device) -> float:
    """The time in seconds, after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
