"""TMOA and its peers: choose the split point of a network from its costs, a fleet and a workload, and give reasons."""

from cloudedge_pl.offloading.constraints import Constraint
from cloudedge_pl.offloading.goal import OffloadGoal
from cloudedge_pl.offloading.lagrangian import LagrangianDual, lagrangian_dual
from cloudedge_pl.offloading.objectives import OBJECTIVES
from cloudedge_pl.offloading.pareto import pareto_front
from cloudedge_pl.offloading.picture import PictureBaseline, picture_baseline, with_picture_bytes
from cloudedge_pl.offloading.plan import OffloadPlan
from cloudedge_pl.offloading.planner import plan_offloading
from cloudedge_pl.offloading.report import plan_dict
from cloudedge_pl.offloading.sensitivity import Sweep, binding, bottlenecks, next_steps, sweep
from cloudedge_pl.offloading.table import CostTable, cost_table

__all__ = [
    "OBJECTIVES",
    "Constraint",
    "CostTable",
    "LagrangianDual",
    "OffloadGoal",
    "OffloadPlan",
    "PictureBaseline",
    "Sweep",
    "binding",
    "bottlenecks",
    "cost_table",
    "lagrangian_dual",
    "next_steps",
    "pareto_front",
    "picture_baseline",
    "plan_dict",
    "plan_offloading",
    "sweep",
    "with_picture_bytes",
]
