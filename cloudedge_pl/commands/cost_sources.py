"""The group ``costs``: times of segments are computed from FLOP and bytes, or measured on this machine."""

from __future__ import annotations

from torch import Tensor

from cloudedge_pl.costs.measured import Disagreement, with_measured_seconds
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.partition import SplitChain, measure_segments


def counted(
    chain: SplitChain, example_input: Tensor, profile: CostProfile
) -> tuple[CostProfile, Disagreement | None]:
    """Returns the profile unchanged: its FLOP and bytes are counted already."""
    return profile, None


def measured(
    chain: SplitChain, example_input: Tensor, profile: CostProfile, *, repeats: int = 7, warm_up: int = 2
) -> tuple[CostProfile, Disagreement | None]:
    """Replaces the FLOP of each segment by its share of the time measured on this machine.

    Args:
        chain: the backbone's split points.
        example_input: [B, ...], the input of the timed passes.
        profile: the counted costs.
        repeats: number of timed passes, of which the median counts; at least 1.
        warm_up: number of passes before them that are not timed.

    Returns:
        The profile with measured costs, and how far they disagree with the counted ones.
    """
    seconds = measure_segments(chain, example_input, repeats=repeats, warm_up=warm_up)
    return with_measured_seconds(profile, seconds)
