"""The price of each limit: the Lagrangian dual of a plan, as a linear program.

The plan maximises f(j) subject to g_c(j) <= 0, where f is the objective and g_c is value minus limit of constraint c.
Its dual,

    min over prices >= 0 of max over j of f(j) - sum_c price_c g_c(j),

bounds every feasible f(j) from above. Its solution gives a price for each limit and a mixture of split points: the
shares of tasks that would run at each of them, if tasks could have different ones, with the limits kept on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.offloading.objectives import OBJECTIVES, candidates
from cloudedge_pl.offloading.plan import OffloadPlan

NATURAL_UNITS: dict[str, tuple[float, str]] = {
    "memory": (1e6, "MB"),
    "master_memory": (1e6, "MB"),
    "load": (0.01, "percentage point of utilisation"),
    "delay": (1.0, "s"),
    "energy": (1.0, "J"),
}
"""The amount of each limit that a price in words refers to."""

OBJECTIVE_UNITS = {
    "min_delay": "s less delay",
    "min_energy": "J less energy",
    "min_upload": "B less upload",
    "weighted": "less cost",
}
"""What each objective counts; the others count split points."""


@dataclass(frozen=True, eq=False)
class LagrangianDual:
    """The solved dual of a plan.

    Args:
        prices: by constraint, the value of one more unit of its limit (a byte, a second, a joule, a utilisation of 1)
            in units of the objective; 0 if the limit does not bind. Infinite limits have no price.
        bound: upper bound on the objective of every feasible split point.
        optimum: the best feasible objective, by enumeration; -inf if nothing is feasible.
        mixture: [N + 1], shares of split points that reach the bound on average; they sum to 1.
        objective: name of the objective.
    """

    prices: dict[str, float]
    bound: float
    optimum: float
    mixture: np.ndarray
    objective: str

    @property
    def gap(self) -> float:
        """Bound minus optimum, at least 0: the loss because all tasks share one split point."""
        return self.bound - self.optimum

    def describe(self) -> tuple[str, ...]:
        """Writes the prices in natural units, one sentence for every limit that binds."""
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
    """Solves the dual of a plan's problem, for the objective of its goal.

    Args:
        plan: chosen or forced.

    Raises:
        InfeasiblePlanError: if not even a mixture of split points keeps the limits, so that the dual has no bound.

    Source: Xu 2020, Sec. 3.3; deviates: the paper adds the penalties, which makes breaking a limit profitable, and
    sets derivatives with respect to a whole number to zero.
    """
    goal = plan.goal
    allowed = candidates(goal.objective, plan.costs.num_points, exclude_ends=goal.exclude_ends)
    values = -OBJECTIVES[goal.objective](plan.costs, goal.weights)
    limits = [limit for limit in plan.constraints if np.isfinite(limit.limit).all()]
    excess = -np.array([limit.slack for limit in limits])
    # A split point that overloads a queue is infeasible at any price.
    points = np.flatnonzero(allowed & np.isfinite(values) & np.isfinite(excess).all(axis=0))
    if len(points) == 0:
        raise InfeasiblePlanError("every split point overloads a node; the limits have no prices.")
    scale = np.maximum(np.abs(excess[:, points]).max(axis=1), 1e-300)
    size = max(float(np.abs(values[points]).max()), 1e-300)
    scaled = excess[:, points] / scale[:, None]

    # Variables: the bound, then the prices. bound + sum_c price_c g_c(j) >= f(j) for every j.
    solution = (
        scipy.optimize.linprog(  # scipy imports its modules on first use, and this one is slow to import
            c=np.concatenate(([1.0], np.zeros(len(limits)))),
            A_ub=-np.column_stack((np.ones(len(points)), scaled.T)),
            b_ub=-values[points] / size,
            bounds=[(None, None), *[(0, None)] * len(limits)],
            method="highs",
        )
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
        objective=goal.objective,
    )
