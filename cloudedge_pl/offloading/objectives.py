"""Objectives of a plan: a score for every split point. The smallest feasible score wins; of equals, the deepest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cloudedge_pl.offloading.table import CostTable

Weights = Mapping[str, float]
Objective = Callable[[CostTable, Weights], np.ndarray]
"""Takes the costs and the weights; returns a score for every split point [N + 1]."""

CRITERIA: dict[str, Callable[[CostTable], np.ndarray]] = {
    "delay": lambda table: table.delay_seconds,
    "energy": lambda table: table.energy_joules,
    "upload": lambda table: table.upload_bytes / 1e6,
}
"""Terms of a weighted sum: seconds, joules and megabytes of one task, each [N + 1]."""


def deepest(table: CostTable, weights: Weights) -> np.ndarray:
    """Prefers the last feasible split point. Source: Xu 2020, Sec. 3.3, whose text sets f(j) = j."""
    return -np.arange(table.num_points, dtype=np.float64)


def weighted(table: CostTable, weights: Weights) -> np.ndarray:
    """Sums weight times criterion, with weights per second, per joule and per megabyte."""
    terms = [weight * CRITERIA[criterion](table) for criterion, weight in weights.items() if weight > 0]
    return np.sum(terms, axis=0)


OBJECTIVES: dict[str, Objective] = {
    "deepest": deepest,
    # Source of the next two: Kang et al., "Neurosurgeon", ASPLOS 2017.
    "min_delay": lambda table, _: table.delay_seconds,
    "min_energy": lambda table, _: table.energy_joules,
    "min_upload": lambda table, _: table.upload_bytes,
    "weighted": weighted,
    "cloud_only": deepest,  # it has one candidate, as has the next
    "edge_only": deepest,
}
"""Objectives by name; all of them keep the constraints."""


def candidates(objective: str, num_points: int, *, exclude_ends: bool) -> np.ndarray:
    """Returns which split points an objective may choose [N + 1], bool: one for "cloud_only" and "edge_only", else all.

    Args:
        objective: a key of :data:`OBJECTIVES`.
        num_points: N + 1.
        exclude_ends: leave out 0 and N.

    Raises:
        ValueError: if no split point is left.
    """
    points = np.arange(num_points)
    allowed = {"cloud_only": points == 0, "edge_only": points == num_points - 1}.get(objective, points >= 0)
    if exclude_ends:
        allowed = allowed & (points > 0) & (points < num_points - 1)
    if not allowed.any():
        raise ValueError(
            f"exclude_ends leaves no split point for objective {objective!r} among 0..{num_points - 1}; drop it."
        )
    return allowed


def best(scores: np.ndarray, allowed: np.ndarray) -> int | None:
    """Returns the index of the smallest allowed score, the last of equals; None if nothing is allowed."""
    if not allowed.any():
        return None
    lowest = scores[allowed].min()
    return int(np.flatnonzero(allowed & (scores == lowest))[-1])
