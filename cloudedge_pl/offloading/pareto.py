"""The Pareto front: split points that no other one beats in delay, energy and bytes at once."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.offloading.objectives import CRITERIA
from cloudedge_pl.offloading.table import CostTable


def non_dominated(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Returns the indices of the allowed rows that no other allowed row beats.

    A row beats another one if it is nowhere larger and somewhere smaller.

    Args:
        values: [num_rows, num_criteria]; smaller is better.
        allowed: [num_rows] bool.
    """
    rows = np.flatnonzero(allowed)
    kept = values[rows]
    no_worse = np.all(kept[:, None, :] <= kept[None, :, :], axis=2)
    better = np.any(kept[:, None, :] < kept[None, :, :], axis=2)
    return rows[~np.any(no_worse & better, axis=0)]


def pareto_front(table: CostTable, feasible: np.ndarray) -> np.ndarray:
    """Returns the feasible split points on the front over delay, energy and bytes of a task, in ascending order.

    Args:
        table: costs of every split point.
        feasible: [N + 1] bool.
    """
    return non_dominated(np.stack([criterion(table) for criterion in CRITERIA.values()], axis=1), feasible)
