"""What the limits cost: the Lagrangian dual of a plan, as a linear program.

The plan maximises f(j) subject to g_c(j) <= 0, f the objective and g_c value minus limit of constraint c. Its dual,

    min over prices >= 0 of max over j of f(j) - sum_c price_c g_c(j),

bounds every feasible f(j) from above. Its solution prices each limit, and mixes split points: the shares of tasks that
would run at each one, were they allowed to differ, such that the limits hold on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.offloading.objectives import OBJECTIVES, candidates
from cloudedge_pl.offloading.types import OffloadPlan

NATURAL_UNITS: dict[str, tuple[float, str]] = {
    "memory": (1e6, "MB"),
    "master_memory": (1e6, "MB"),
    "load": (0.01, "percentage point of utilisation"),
    "delay": (1.0, "s"),
    "energy": (1.0, "J"),
}
"""How much of each limit a price is for."""

OBJECTIVE_UNITS = {
    "min_delay": "s less delay",
    "min_energy": "J less energy",
    "min_upload": "B less upload",
    "weighted": "less cost",
}
"""What the objective counts; split points where nothing else is said."""


@dataclass(frozen=True, eq=False)
class LagrangianDual:
    """The solved dual of a plan.

    Args:
        prices: by constraint, what one unit more of its limit (a byte, a second, a joule, a whole utilisation) is worth
            in units of the objective; 0 where the limit does not bind. Only limits that exist have a price.
        bound: no feasible split point has a larger objective.
        optimum: the best feasible objective, by enumeration; -inf where nothing is feasible.
        mixture: [N + 1] shares of split points that reach the bound on average; they sum to 1.
        objective: its name.
    """

    prices: dict[str, float]
    bound: float
    optimum: float
    mixture: np.ndarray
    objective: str

    @property
    def gap(self) -> float:
        """Between bound and optimum: what is lost as all tasks share one split point; at least 0."""
        return self.bound - self.optimum

    def describe(self) -> tuple[str, ...]:
        """The prices in words, in natural units; a sentence for every limit that binds."""
        unit = OBJECTIVE_UNITS.get(self.objective, "split points")
        sentences = []
        for name, price in self.prices.items():
            amount, natural = NATURAL_UNITS[name]
            if price > 0:
                sentences.append(
                    f"one more {natural} of {name.replace('_', ' ')} is worth {price * amount:.3g} {unit}"
                )
        return tuple(sentences)


def lagrangian_dual(plan: OffloadPlan) -> LagrangianDual:
    """Solves the dual of a plan's problem, for the objective in its options.

    Args:
        plan: chosen or forced.

    Raises:
        InfeasiblePlanError: where not even a mixture of split points keeps the limits, so that the dual has no bound.

    Source: Xu 2020, Sec. 3.3; deviates: the paper adds the penalties, which makes breaking a limit profitable, and
    sets derivatives with respect to a whole number to zero.
    """
    from scipy.optimize import linprog  # slow to import, and plans do without

    allowed = candidates(
        plan.options.objective, plan.costs.num_points, exclude_ends=plan.options.exclude_ends
    )
    values = -OBJECTIVES[plan.options.objective](plan.costs, plan.options.weights)
    limits = [limit for limit in plan.constraints if np.isfinite(limit.limit).all()]
    excess = -np.array([limit.slack for limit in limits])
    # What overloads a queue is infeasible at any price.
    points = np.flatnonzero(allowed & np.isfinite(values) & np.isfinite(excess).all(axis=0))
    if len(points) == 0:
        raise InfeasiblePlanError("every split point overloads a node; the limits have no prices.")
    scale = np.maximum(np.abs(excess[:, points]).max(axis=1), 1e-300)
    size = max(float(np.abs(values[points]).max()), 1e-300)
    scaled = excess[:, points] / scale[:, None]

    # Variables: the bound, then the prices. bound + sum_c price_c g_c(j) >= f(j) for every j.
    solution = linprog(
        c=np.concatenate(([1.0], np.zeros(len(limits)))),
        A_ub=-np.column_stack((np.ones(len(points)), scaled.T)),
        b_ub=-values[points] / size,
        bounds=[(None, None), *[(0, None)] * len(limits)],
        method="highs",
    )
    if solution.status != 0:
        raise InfeasiblePlanError("no mixture of split points keeps every limit; the limits have no prices.")
    mixture = np.zeros(plan.costs.num_points)
    mixture[points] = np.maximum(-solution.ineqlin.marginals, 0.0)
    feasible = allowed & plan.feasible
    return LagrangianDual(
        prices={
            limit.name: float(price * size / unit)
            for limit, price, unit in zip(limits, solution.x[1:], scale, strict=True)
        },
        bound=float(solution.x[0] * size),
        optimum=float(values[feasible].max()) if feasible.any() else -np.inf,
        mixture=mixture / mixture.sum(),
        objective=plan.options.objective,
    )
