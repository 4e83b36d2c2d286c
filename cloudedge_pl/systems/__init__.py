"""Systems to compare with: presets of cut, scheduler, dormancy and exits over the same engine and the same network."""

from cloudedge_pl.systems.bargaining import BargainingBalancer, bargained_shares
from cloudedge_pl.systems.build import BuiltSystem, Setting, build_system
from cloudedge_pl.systems.comparison import SystemResult, run_system, simulate_system, system_result
from cloudedge_pl.systems.registry import PRESETS
from cloudedge_pl.systems.replay import Answers, with_exits, with_samples
from cloudedge_pl.systems.services import LeastCost, WeightedTransmission
from cloudedge_pl.systems.system import CUTS, System

__all__ = [
    "CUTS",
    "PRESETS",
    "Answers",
    "BargainingBalancer",
    "BuiltSystem",
    "LeastCost",
    "Setting",
    "System",
    "SystemResult",
    "WeightedTransmission",
    "bargained_shares",
    "build_system",
    "run_system",
    "simulate_system",
    "system_result",
    "with_exits",
    "with_samples",
]
