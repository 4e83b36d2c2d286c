"""The plan's figures are drawn whatever the plan is like."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cloudedge_pl.offloading import OffloadGoal, OffloadPlan, plan_offloading
from cloudedge_pl.reports.plan_figures import save_plan_figures
from tests.offloading.cases import make_fleet, make_profile, make_workload

PROFILE = make_profile(1, 6)
PLANS = {
    "free": plan_offloading(PROFILE, make_fleet(), make_workload(arrival_rate=0.1)),
    "without limits": plan_offloading(
        PROFILE, make_fleet(), make_workload(arrival_rate=0.1, max_delay_seconds=float("inf"))
    ),
    "budget": plan_offloading(PROFILE, make_fleet(max_energy_joules=150.0), make_workload(arrival_rate=0.1)),
    "overload": plan_offloading(
        PROFILE, make_fleet(1), make_workload(arrival_rate=1e5, max_delay_seconds=10.0)
    ),
    "forced": plan_offloading(
        PROFILE,
        make_fleet(memory_bytes=1e3),
        make_workload(arrival_rate=0.1),
        goal=OffloadGoal(split_point=6),
    ),
    "one segment": plan_offloading(make_profile(2, 1), make_fleet(1), make_workload(arrival_rate=0.1)),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_figure_is_drawn(plan: OffloadPlan, tmp_path: Path) -> None:
    paths = save_plan_figures(plan, tmp_path / "figures")
    assert paths
    for path in paths:
        picture = matplotlib.image.imread(path)
        assert picture.shape[0] > 500
        assert np.ptp(picture[..., :3]) > 0.5
