"""Measured times keep the total and move the shares."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.costs.measured import with_measured_seconds
from cloudedge_pl.costs.profile import CostProfile


def make_profile(flops: list[float]) -> CostProfile:
    n = len(flops)
    columns = {
        name: np.ones(n)
        for name in CostProfile.__dataclass_fields__
        if name.startswith("segment_") and name != "segment_flops"
    }
    return CostProfile(
        model="m",
        input_shape=(3, 4, 4),
        names=("input", *(f"layer{i}" for i in range(n))),
        segment_flops=np.array(flops),
        cut_bytes=np.ones(n + 1),
        cut_shapes=((),) * (n + 1),
        **columns,
    )


def test_total_is_kept_and_shares_are_the_measured_ones() -> None:
    profile, gap = with_measured_seconds(make_profile([60.0, 30.0, 10.0]), np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(profile.segment_flops, [25.0, 25.0, 50.0])
    assert gap.flops_per_second == 25.0
    np.testing.assert_allclose(gap.measured_share, [0, 0.25, 0.5, 1])
    np.testing.assert_allclose(gap.counted_share, [0, 0.6, 0.9, 1])
    assert gap.worst == 2
    assert not profile.segment_moved_bytes.any()


@pytest.mark.parametrize("seconds", [[1.0, 2.0], [1.0, -1.0, 2.0], [np.nan, 1.0, 1.0], [0.0, 0.0, 0.0]])
def test_bad_times_are_refused(seconds: list[float]) -> None:
    with pytest.raises(ValueError, match="measured seconds"):
        with_measured_seconds(make_profile([1.0, 1.0, 1.0]), np.array(seconds))
