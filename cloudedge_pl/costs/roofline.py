"""Time that a part of the network takes on a processor: FLOP over speed, or the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import EdgeNode, Fleet, Phase

FORWARD_PASSES: dict[Phase, int] = {"inference": 1, "training": 3}
"""Cost of a task in forward passes; the gradients of activations and of weights cost one each."""


class Processor(Protocol):
    """Common interface of nodes and clouds."""

    @property
    def effective_flops_per_second(self) -> float: ...

    @property
    def memory_bandwidth_bytes_per_second(self) -> float: ...


def roofline_seconds(
    flops: np.ndarray, moved_bytes: np.ndarray, flops_per_second: np.ndarray, bytes_per_second: np.ndarray
) -> np.ndarray:
    """Attainable time of layers: the longer of computing and moving their bytes; arguments broadcast.

    Source: Williams, Waterman, Patterson, "Roofline", CACM 2009. Xu 2020, Sec. 3.1 uses the word for a footprint only.
    """
    return np.maximum(flops / flops_per_second, moved_bytes / bytes_per_second)


def segment_seconds(
    profile: CostProfile, processor: Processor, phase: Phase = "inference", *, roofline: bool = True
) -> np.ndarray:
    """Seconds of one task in every segment [N], on a node or in the cloud.

    Args:
        profile: of the network.
        processor: an EdgeNode or a Cloud.
        phase: "training" counts forward and backward pass, three times the forward pass, in FLOP and in bytes.
        roofline: False counts FLOP only, as the paper does.
    """
    seconds = profile.segment_flops / processor.effective_flops_per_second
    if roofline:
        seconds = np.maximum(
            seconds, profile.segment_moved_bytes / processor.memory_bandwidth_bytes_per_second
        )
    return FORWARD_PASSES[phase] * seconds


def execution_seconds(
    profile: CostProfile, fleet: Fleet, phase: Phase = "inference", *, roofline: bool = True
) -> np.ndarray:
    """Seconds of the edge part of one task on every node, for every split point [num_nodes, N + 1]; the paper's T_exec.

    Source: Xu 2020, Sec. 3.2 (t_qp,e = Zt^j / F_i); deviates: FLOP are twice the MAC, the speed is the share of the
    peak that is reached, and the roofline limits it.
    """
    speed = fleet.array("effective_flops_per_second")[:, None]
    seconds = profile.segment_flops / speed
    if roofline:
        bandwidth = fleet.array("memory_bandwidth_bytes_per_second")[:, None]
        seconds = roofline_seconds(profile.segment_flops, profile.segment_moved_bytes, speed, bandwidth)
    start = np.zeros((fleet.num_nodes, 1))
    return FORWARD_PASSES[phase] * np.concatenate((start, np.cumsum(seconds, axis=1)), axis=1)


def cloud_seconds(
    profile: CostProfile, fleet: Fleet, phase: Phase = "inference", *, roofline: bool = True
) -> np.ndarray:
    """Seconds of the cloud part of one task, for every split point [N + 1]; the paper's T_cp; exactly 0 at N.

    Source: Xu 2020, Sec. 3.2 (T_cp = (Zt^n - Zt^j) / F_c), which its constraint C2 then drops; here it stays.
    """
    seconds = segment_seconds(profile, fleet.cloud, phase, roofline=roofline)
    return np.concatenate((np.cumsum(seconds[::-1])[::-1], [0.0]))


def exit_seconds(
    profile: CostProfile, master: EdgeNode, phase: Phase = "inference", *, roofline: bool = True
) -> np.ndarray:
    """Seconds of the exit head for one task on the master, for every split point [N + 1]; 0 without an exit head."""
    seconds = profile.exit_flops / master.effective_flops_per_second
    if roofline:
        reads = np.where(profile.exit_parameter_bytes > 0, profile.cut_bytes, 0.0)
        moved = profile.exit_parameter_bytes + profile.exit_activation_bytes + reads
        seconds = np.maximum(seconds, moved / master.memory_bandwidth_bytes_per_second)
    return FORWARD_PASSES[phase] * seconds


@dataclass(frozen=True, eq=False)
class Roofline:
    """Position of a network's segments under the roof of a processor.

    Args:
        intensity: [N], FLOP per byte moved; 0 where a segment does not compute.
        ridge: intensity at which computing and moving bytes take equally long.
        memory_bound: [N] bool, whether moving bytes takes longer than computing.
        seconds: [N], attainable time of one forward pass.
    """

    intensity: np.ndarray
    ridge: float
    memory_bound: np.ndarray
    seconds: np.ndarray


def roofline_of(profile: CostProfile, processor: Processor) -> Roofline:
    """Determines for every segment whether computing or memory bandwidth limits it, on a node or in the cloud.

    Source: Williams, Waterman, Patterson, "Roofline", CACM 2009.
    """
    flops, moved = profile.segment_flops, profile.segment_moved_bytes
    speed, bandwidth = processor.effective_flops_per_second, processor.memory_bandwidth_bytes_per_second
    return Roofline(
        intensity=np.divide(flops, moved, out=np.where(flops > 0, np.inf, 0.0), where=moved > 0),
        ridge=speed / bandwidth,
        memory_bound=moved / bandwidth > flops / speed,
        seconds=segment_seconds(profile, processor),
    )
