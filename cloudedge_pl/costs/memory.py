"""Memory of the edge part on a node, and of the exit head on the master, at every split point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloudedge_pl.costs.formulas import MemoryFormula
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import lookup
from cloudedge_pl.fleet import Workload


def resolve_memory_formula(formula: MemoryFormula, workload: Workload) -> MemoryFormula:
    """Returns the formula itself; "auto" becomes the workload's phase."""
    return workload.phase if formula == "auto" else formula


def edge_memory_bytes(
    profile: CostProfile, workload: Workload, formula: MemoryFormula = "auto"
) -> np.ndarray:
    """Bytes that the edge part takes on each node, for every split point [N + 1]; 0 at split point 0.

    ``paper``: weights and the feature maps of all layers. ``inference``: parameters and buffers, and the largest set of
    tensors that is alive at one moment. ``training``: parameters and buffers, gradients, ``optimizer_slots`` copies of
    the trainable parameters, and the activations that the backward pass needs. Everything that belongs to a sample
    counts ``samples_per_pass`` times.

    Args:
        profile: of the network.
        workload: its phase, samples per pass and optimizer slots.
        formula: "paper", "inference", "training", or "auto", which follows the workload's phase.

    Raises:
        ValueError: if the formula is unknown.

    Source: Xu 2020, Sec. 3.1 (Dt^j = sum Par_i + sum Map_i), kept as "paper"; deviates: inference frees a map after its
    last use, training holds gradients and optimizer state, and biases, normalisations and buffers count too.
    """
    resolved = resolve_memory_formula(formula, workload)
    activations = workload.samples_per_pass * activation_bytes(profile, resolved)
    if resolved == "paper":
        element_bytes = profile.cut_bytes[0] / profile.input_elements
        return element_bytes * profile.cumulative("segment_weights") + activations
    state = profile.cumulative("segment_parameter_bytes")
    if resolved == "training":
        state = state + (1 + workload.optimizer_slots) * profile.cumulative("segment_trainable_bytes")
    return state + activations


def activation_bytes(profile: CostProfile, formula: MemoryFormula) -> np.ndarray:
    """Bytes that one sample takes on a node while the edge part runs, for every split point [N + 1].

    Args:
        profile: of the network.
        formula: a key of :data:`ACTIVATIONS`: any formula but "auto", see :func:`resolve_memory_formula`.

    Raises:
        ValueError: if the formula is unknown.
    """
    return lookup(ACTIVATIONS, formula, "memory formula")(profile)


ACTIVATIONS: dict[str, Callable[[CostProfile], np.ndarray]] = {
    "paper": lambda profile: profile.cumulative("segment_map_bytes"),
    "training": lambda profile: profile.cumulative("segment_saved_bytes"),
    "inference": lambda profile: np.concatenate(([0.0], np.maximum.accumulate(profile.segment_peak_bytes))),
}
"""Bytes of one sample's activations [N + 1], by formula."""


def master_memory_bytes(
    profile: CostProfile, workload: Workload, formula: MemoryFormula = "auto"
) -> np.ndarray:
    """Bytes on the master, for every split point [N + 1]: the exit head, and one copy of the edge part's parameters.

    The master does not run the edge part; it keeps its parameters to distribute and to aggregate them. It does run the
    exit head, and in training it keeps that head's gradients, optimizer state and feature maps.

    Source: Xu 2020, Sec. 2.2 and 2.4, which give the master both and count neither.
    """
    resolved = resolve_memory_formula(formula, workload)
    copies = 2 + workload.optimizer_slots if resolved == "training" else 1
    exit_head = (
        copies * profile.exit_parameter_bytes + workload.samples_per_pass * profile.exit_activation_bytes
    )
    return profile.cumulative("segment_parameter_bytes") + exit_head
