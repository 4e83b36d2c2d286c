"""TMOA and its peers: from the costs of a network, a fleet and a workload to the split point, and to the reasons."""

from cloudedge_pl.offloading.constraints import Constraint
from cloudedge_pl.offloading.lagrangian import LagrangianDual, lagrangian_dual
from cloudedge_pl.offloading.objectives import OBJECTIVES
from cloudedge_pl.offloading.options import OffloadOptions
from cloudedge_pl.offloading.pareto import pareto_front
from cloudedge_pl.offloading.planner import plan_offloading, split_costs
from cloudedge_pl.offloading.sensitivity import Sweep, binding, bottlenecks, next_steps, sweep
from cloudedge_pl.offloading.table import CostTable, cost_table
from cloudedge_pl.offloading.types import OffloadPlan, SplitCosts

__all__ = [
    "OBJECTIVES",
    "Constraint",
    "CostTable",
    "LagrangianDual",
    "OffloadOptions",
    "OffloadPlan",
    "SplitCosts",
    "Sweep",
    "binding",
    "bottlenecks",
    "cost_table",
    "lagrangian_dual",
    "next_steps",
    "pareto_front",
    "plan_offloading",
    "split_costs",
    "sweep",
]
