"""The planner agrees with a plain, independent evaluation of the formulas, infeasible cases included."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs import CodecConfig, CostFormulas, CostProfile
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading import OBJECTIVES, OffloadGoal, plan_offloading
from tests.offloading.brute_force import Point, choose, evaluate
from tests.offloading.cases import fleets, profiles, workloads

CHOICES = st.fixed_dictionaries(
    {
        "memory": st.sampled_from(["auto", "paper", "inference", "training"]),
        "memory_share": st.sampled_from([0.5, 0.8, 1.0]),
        "waiting": st.sampled_from(["md1", "mm1", "paper"]),
        "shares": st.sampled_from(["speed", "equal"]),
        "roofline": st.booleans(),
        "codec": st.sampled_from(["none", "float16", "int8", "bottleneck", "top_k"]),
        "codec_ratio": st.sampled_from([0.02, 0.25, 1.0]),
        "energy": st.sampled_from(["linear", "omega"]),
        "omega": st.one_of(st.none(), st.just(1e-20)),
        "static_energy": st.sampled_from(["powered", "occupied", "paper"]),
    }
)
WEIGHTS = st.fixed_dictionaries(
    {"delay": st.floats(0.1, 2), "energy": st.floats(0, 2), "upload": st.floats(0, 2)}
)


OBJECTIVE = st.sampled_from([*sorted(OBJECTIVES), "deepest", "deepest", "deepest", "deepest"])


def score_gap(points: list[Point], objective: str) -> bool:
    """Whether no two scores are so close that rounding could swap them."""
    values = sorted(
        {"min_delay": p.delay, "min_energy": p.energy}.get(objective, 0.0) for p in points if p.feasible
    )
    return all(a == b or not math.isclose(a, b, rel_tol=1e-9) for a, b in itertools.pairwise(values))


def check(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    choice: dict[str, Any],
    objective: str,
    weights: dict[str, float],
) -> None:
    points = [evaluate(profile, fleet, workload, j, choice) for j in range(len(profile.names))]
    assume(not any(point.near_a_limit for point in points))
    assume(score_gap(points, objective))
    expected = choose(points, objective, weights)
    formulas = CostFormulas(
        **{field.name: choice[field.name] for field in fields(CostFormulas) if field.name in choice}
    )
    goal = OffloadGoal(objective=objective, weights=weights, memory_share=choice["memory_share"])
    keywords = {"formulas": formulas, "codec": CodecConfig(choice["codec"], ratio=choice["codec_ratio"])}
    if expected is None:
        with pytest.raises(InfeasiblePlanError, match="What to change"):
            plan_offloading(profile, fleet, workload, goal=goal, **keywords)
        plan = plan_offloading(profile, fleet, workload, goal=replace(goal, split_point=0), **keywords)
    else:
        plan = plan_offloading(profile, fleet, workload, goal=goal, **keywords)
        assert plan.split_point == expected
        assert plan.is_feasible
    np.testing.assert_array_equal(plan.feasible, [point.feasible for point in points])
    np.testing.assert_array_equal([not reason for reason in plan.reasons], plan.feasible)
    np.testing.assert_allclose(plan.costs.memory_bytes, [point.memory for point in points])
    np.testing.assert_allclose(plan.costs.delay_seconds, [point.delay for point in points])
    np.testing.assert_allclose(plan.costs.energy_joules, [point.energy for point in points])
    np.testing.assert_allclose(plan.costs.upload_bytes, [point.upload for point in points])
    assert (plan.costs.delay_seconds >= 0).all()


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(profiles(), fleets(), workloads(), CHOICES, OBJECTIVE, WEIGHTS)
def test_planner_agrees_with_brute_force(profile, fleet, workload, choice, objective, weights):
    check(profile, fleet, workload, choice, objective, weights)


@settings(max_examples=60)
@given(profiles(), fleets(like=True), workloads(), CHOICES)
def test_pooled_queue_agrees_with_brute_force(profile, fleet, workload, choice):
    check(profile, fleet, workload, {**choice, "waiting": "mmc"}, "deepest", {"delay": 1.0})
