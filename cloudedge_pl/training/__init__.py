"""Lightning: module, strategy and callbacks."""

from cloudedge_pl.training.callbacks import (
    BestCheckpoint,
    CloudDormancy,
    CostLogger,
    InterruptCheckpoint,
    OutcomeTable,
    WeightedAggregation,
)
from cloudedge_pl.training.module import CloudEdgeModule
from cloudedge_pl.training.nodes.adaptive import AdaptiveInterval
from cloudedge_pl.training.strategies.calibration import calibrate_exits
from cloudedge_pl.training.strategies.cloudedge import CloudEdgeStrategy

__all__ = [
    "AdaptiveInterval",
    "BestCheckpoint",
    "CloudDormancy",
    "CloudEdgeModule",
    "CloudEdgeStrategy",
    "CostLogger",
    "InterruptCheckpoint",
    "OutcomeTable",
    "WeightedAggregation",
    "calibrate_exits",
]
