"""Lightning: module, strategy and callbacks."""

from cloudedge_pl.training.adaptive import AdaptiveInterval
from cloudedge_pl.training.callbacks import (
    CloudDormancy,
    CostLogger,
    InterruptCheckpoint,
    WeightedAggregation,
)
from cloudedge_pl.training.module import CloudEdgeModule
from cloudedge_pl.training.strategy import CloudEdgeStrategy

__all__ = [
    "AdaptiveInterval",
    "CloudDormancy",
    "CloudEdgeModule",
    "CloudEdgeStrategy",
    "CostLogger",
    "InterruptCheckpoint",
    "WeightedAggregation",
]
