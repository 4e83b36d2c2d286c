"""Measured times in place of counted FLOP, for networks whose speed the count does not predict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cloudedge_pl.costs.profile import CostProfile


@dataclass(frozen=True)
class Disagreement:
    """Measured and counted cost of the edge part, as shares of the whole network's time or FLOP.

    Args:
        flops_per_second: speed that the machine reached over the whole network.
        measured_share: [N + 1], of the time, at every split point.
        counted_share: [N + 1], of the FLOP.
    """

    flops_per_second: float
    measured_share: np.ndarray
    counted_share: np.ndarray

    @property
    def worst(self) -> int:
        """Split point at which the two differ most."""
        return int(np.argmax(np.abs(self.measured_share - self.counted_share)))


def with_measured_seconds(profile: CostProfile, seconds: np.ndarray) -> tuple[CostProfile, Disagreement]:
    """Replaces the FLOP of each segment by its share of the measured time.

    A segment that took t of T seconds counts t / T of the network's FLOP. A node's time for the whole network remains
    the network's FLOP over the node's speed, and a segment that is slow for its FLOP (a normalisation, a small or
    depthwise convolution) takes its real share of it. The measured time includes memory traffic, so the roofline adds
    nothing.

    Args:
        profile: of the network.
        seconds: [N], measured for each segment on one machine, with a positive sum.

    Returns:
        The profile with measured costs, and its disagreement with the counted ones.

    Raises:
        ValueError: if the times are not N finite values >= 0 with a positive sum.
    """
    measured = np.asarray(seconds, dtype=np.float64)
    if measured.shape != (profile.num_segments,) or not np.isfinite(measured).all() or (measured < 0).any():
        raise ValueError(
            f"measured seconds have shape {measured.shape}; {profile.model!r} needs {profile.num_segments} finite "
            "values >= 0, one for each segment."
        )
    total = measured.sum()
    if total <= 0:
        raise ValueError("measured seconds are all 0; the clock is too coarse, raise costs.repeats.")
    flops = profile.flops[-1]
    scaled = replace(
        profile, segment_flops=measured / total * flops, segment_moved_bytes=np.zeros(profile.num_segments)
    )
    return scaled, Disagreement(float(flops / total), scaled.flops / flops, profile.flops / flops)
