"""How much memory the edge part takes on a node, and the exit head on the master, at every split point."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import lookup
from cloudedge_pl.fleet import Workload

MemoryMode = Literal["auto", "paper", "inference", "training"]
MEMORY_MODES: dict[str, MemoryMode] = {
    "auto": "auto",
    "paper": "paper",
    "inference": "inference",
    "training": "training",
}


def resolve_memory_mode(mode: str, workload: Workload) -> MemoryMode:
    """Returns the mode itself; "auto" becomes the workload's phase.

    Raises:
        ValueError: on an unknown mode.
    """
    known = lookup(MEMORY_MODES, mode, "memory mode")
    return workload.phase if known == "auto" else known


def edge_memory_bytes(profile: CostProfile, workload: Workload, mode: str = "auto") -> np.ndarray:
    """Bytes that the edge part takes on each node, for every split point [N + 1]; 0 at split point 0.

    ``paper``: weights plus the feature maps of all layers. ``inference``: parameters and buffers plus the largest set
    of tensors that is alive at one moment. ``training``: parameters and buffers, gradients, ``optimizer_slots`` copies
    of the trainable parameters, and the activations that the backward pass needs. Whatever belongs to a sample counts
    ``samples_per_pass`` times.

    Args:
        profile: of the network.
        workload: its phase, samples per pass and optimizer slots.
        mode: a key of :data:`MEMORY_MODES`; "auto" goes by the workload's phase.

    Raises:
        ValueError: on an unknown mode.

    Source: Xu 2020, Sec. 3.1 (Dt^j = sum Par_i + sum Map_i), kept as "paper"; deviates: an inference frees a map after
    its last use, a training holds gradients and optimizer state, and biases, normalisations and buffers count too.
    """
    resolved = resolve_memory_mode(mode, workload)
    activations = workload.samples_per_pass * activation_bytes(profile, resolved)
    if resolved == "paper":
        element_bytes = profile.cut_bytes[0] / profile.input_elements
        return element_bytes * profile.cumulative("segment_weights") + activations
    state = profile.cumulative("segment_parameter_bytes")
    if resolved == "training":
        state = state + (1 + workload.optimizer_slots) * profile.cumulative("segment_trainable_bytes")
    return state + activations


def activation_bytes(profile: CostProfile, mode: MemoryMode) -> np.ndarray:
    """Bytes that one sample takes on a node while the edge part runs, for every split point [N + 1].

    Args:
        profile: of the network.
        mode: a resolved mode, see :func:`resolve_memory_mode`.
    """
    if mode == "paper":
        return profile.cumulative("segment_map_bytes")
    if mode == "training":
        return profile.cumulative("segment_saved_bytes")
    return np.concatenate(([0.0], np.maximum.accumulate(profile.segment_peak_bytes)))


def master_memory_bytes(profile: CostProfile, workload: Workload, mode: str = "auto") -> np.ndarray:
    """Bytes on the master, for every split point [N + 1]: the exit head, and the edge part that it hands out.

    The master runs no tasks of the edge part: it keeps one copy of its parameters, to distribute and to aggregate. The
    exit head it does run, and in training it keeps that head's gradients, optimizer state and feature maps.

    Source: Xu 2020, Sec. 2.2 and 2.4, which give the master both and count neither.
    """
    resolved = resolve_memory_mode(mode, workload)
    copies = 2 + workload.optimizer_slots if resolved == "training" else 1
    exit_head = (
        copies * profile.exit_parameter_bytes + workload.samples_per_pass * profile.exit_activation_bytes
    )
    return profile.cumulative("segment_parameter_bytes") + exit_head
