"""The Lagrangian dual: bounds, prices and complementary slackness, on random fleets and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cloudedge_pl.costs import CostFormulas
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.offloading import (
    OBJECTIVES,
    OffloadGoal,
    OffloadPlan,
    lagrangian_dual,
    plan_dict,
    plan_offloading,
)
from tests.offloading.cases import fleets, make_fleet, make_profile, make_workload, profiles, workloads

SEARCHES = st.sampled_from([name for name in sorted(OBJECTIVES) if name not in ("cloud_only", "edge_only")])


def problem(plan: OffloadPlan) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """f [N + 1] to maximise; g [num_limits, N + 1] that must not exceed 0; the limits' names."""
    scores = {
        "deepest": -np.arange(plan.costs.num_points, dtype=float),
        "min_delay": plan.costs.delay_seconds,
        "min_energy": plan.costs.energy_joules,
        "min_upload": plan.costs.upload_bytes,
        "weighted": plan.costs.delay_seconds,
    }[plan.goal.objective]
    limits = [limit for limit in plan.constraints if np.isfinite(limit.limit).all()]
    return (
        -scores,
        np.array([limit.value - limit.limit for limit in limits]),
        [limit.name for limit in limits],
    )


def plan_or_none(profile, fleet, workload, objective) -> OffloadPlan | None:
    try:
        return plan_offloading(
            profile,
            fleet,
            workload,
            goal=OffloadGoal(objective=objective),
            formulas=CostFormulas(static_energy="occupied"),
        )
    except InfeasiblePlanError:
        return None


@settings(max_examples=150)
@given(profiles(), fleets(), workloads(), SEARCHES)
def test_duality_and_complementary_slackness(profile, fleet, workload, objective):
    plan = plan_or_none(profile, fleet, workload, objective)
    if plan is None:
        return
    dual = lagrangian_dual(plan)
    f, g, names = problem(plan)
    usable = np.isfinite(f) & np.isfinite(g).all(axis=0)
    size, scale = np.abs(f[usable]).max() + 1e-12, np.abs(g[:, usable]).max(axis=1) + 1e-12
    prices = np.array([dual.prices[name] for name in names])

    assert (prices >= 0).all()
    assert dual.optimum == pytest.approx(f[plan.split_point])
    assert dual.gap >= -1e-6 * size

    # The bound is the largest Lagrangian, at the prices found.
    lagrangian = f[usable] - prices @ g[:, usable]
    assert dual.bound == pytest.approx(lagrangian.max(), abs=1e-6 * size)

    # Strong duality: the mixture keeps every limit on average and reaches the bound.
    mixture = dual.mixture[usable]
    assert mixture.sum() == pytest.approx(1)
    assert (mixture >= 0).all()
    average = g[:, usable] @ mixture
    assert (average <= 1e-6 * scale).all()
    assert f[usable] @ mixture == pytest.approx(dual.bound, abs=1e-5 * size)

    # Complementary slackness: a limit with slack is free; only what attains the bound is mixed in.
    assert np.abs(prices * average).max() <= 1e-5 * size
    assert np.abs(lagrangian[mixture > 1e-6] - dual.bound).max() <= 1e-5 * size


@settings(max_examples=80)
@given(profiles(), fleets(), workloads(), SEARCHES)
def test_the_bound_is_that_of_the_primal_program(profile, fleet, workload, objective):
    plan = plan_or_none(profile, fleet, workload, objective)
    if plan is None:
        return
    f, g, _ = problem(plan)
    usable = np.isfinite(f) & np.isfinite(g).all(axis=0)
    size, scale = np.abs(f[usable]).max() + 1e-12, np.abs(g[:, usable]).max(axis=1) + 1e-12
    primal = linprog(
        -f[usable] / size,
        A_ub=g[:, usable] / scale[:, None],
        b_ub=np.zeros(len(g)),
        A_eq=np.ones((1, usable.sum())),
        b_eq=[1.0],
    )
    assert primal.status == 0
    assert lagrangian_dual(plan).bound == pytest.approx(-primal.fun * size, abs=1e-6 * size)


@settings(max_examples=60)
@given(profiles(), fleets(), workloads(), st.floats(1.01, 2))
def test_a_price_bounds_what_more_memory_brings(profile, fleet, workload, factor):
    plan = plan_or_none(profile, fleet, workload, "deepest")
    if plan is None:
        return
    more = replace(
        fleet, nodes=tuple(replace(node, memory_bytes=factor * node.memory_bytes) for node in fleet.nodes)
    )
    roomier = plan_or_none(profile, more, workload, "deepest")
    assert roomier is not None
    before, after = lagrangian_dual(plan), lagrangian_dual(roomier)
    gained = roomier.constraint("memory").limit[0] - plan.constraint("memory").limit[0]
    assert after.bound <= before.bound + before.prices["memory"] * gained + 1e-5 * plan.costs.num_points
    assert after.bound >= before.bound - 1e-5 * plan.costs.num_points


def test_by_hand():
    """Memory 0, 10, 30 MB at split points 0, 1, 2 and 20 MB allowed: half of the tasks at 1, half at 2."""
    profile = replace(
        make_profile(0, 2),
        segment_parameter_bytes=np.array([10e6, 20e6]),
        segment_peak_bytes=np.zeros(2),
        exit_parameter_bytes=np.zeros(3),
        exit_activation_bytes=np.zeros(3),
    )
    fleet = replace(make_fleet(memory_bytes=20e6), master=make_fleet(1).nodes[0])
    workload = make_workload(arrival_rate=1e-3, max_delay_seconds=float("inf"))
    plan = plan_offloading(profile, fleet, workload, goal=OffloadGoal(memory_share=1.0))
    dual = lagrangian_dual(plan)
    assert (plan.split_point, dual.optimum) == (1, 1)
    assert dual.bound == pytest.approx(1.5)
    assert dual.gap == pytest.approx(0.5)
    assert dual.prices["memory"] == pytest.approx(1 / 20e6)
    assert set(dual.prices) == {"memory", "master_memory", "load"}
    np.testing.assert_allclose(dual.mixture, [0, 0.5, 0.5], atol=1e-9)
    assert dual.describe() == ("one more MB of memory is worth 0.05 split points",)


def test_free_limits_have_no_price():
    plan = plan_offloading(
        make_profile(1, 6), make_fleet(), make_workload(arrival_rate=0.01, max_delay_seconds=1e6)
    )
    dual = lagrangian_dual(plan)
    assert dual.gap == pytest.approx(0, abs=1e-9)
    assert max(dual.prices.values()) == pytest.approx(0, abs=1e-12)
    assert dual.describe() == ()


def test_where_nothing_is_feasible_there_are_no_prices():
    plan = plan_offloading(
        make_profile(1, 6),
        make_fleet(),
        make_workload(max_delay_seconds=1e-9),
        goal=OffloadGoal(split_point=2),
    )
    with pytest.raises(InfeasiblePlanError, match="no prices"):
        lagrangian_dual(plan)
    assert plan_dict(plan)["lagrangian"] is None
