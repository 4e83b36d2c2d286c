"""What the energy of a task may mean in Table 2; the paper does not say what its joules count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloudedge_pl.paper.runs import Outcome, mean_of

Measured = Callable[[Sequence[Outcome]], float]
"""Takes what a system did in all repetitions."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What the joules of a task may mean.

    Args:
        column: name of its numbers.
        counts: what they count.
        joules: the mean over all repetitions.
    """

    column: str
    counts: str
    joules: Measured


ENERGIES: Final = {
    "idle power included": Energy(
        column="energy",
        counts="all that the machines draw",
        joules=lambda found: mean_of(found, "mean_energy_joules"),
    ),
    "active": Energy(
        column="active",
        counts="computing and radios without idle power",
        joules=lambda found: mean_of(found, "mean_active_joules"),
    ),
    "occupied": Energy(
        column="occupied",
        counts="idle power charged to every task that is on a node",
        joules=lambda found: float(np.mean([each.occupied_joules for each in found])),
    ),
}
"""By meaning, as the verdicts name it."""
