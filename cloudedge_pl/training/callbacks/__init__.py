"""Callbacks that go with :class:`~cloudedge_pl.CloudEdgeStrategy`."""

from cloudedge_pl.training.callbacks.aggregation import WeightedAggregation
from cloudedge_pl.training.callbacks.best import BestCheckpoint
from cloudedge_pl.training.callbacks.costs import CostLogger
from cloudedge_pl.training.callbacks.dormancy import CloudDormancy
from cloudedge_pl.training.callbacks.interrupt import InterruptCheckpoint
from cloudedge_pl.training.callbacks.outcomes import OutcomeTable

__all__ = [
    "BestCheckpoint",
    "CloudDormancy",
    "CostLogger",
    "InterruptCheckpoint",
    "OutcomeTable",
    "WeightedAggregation",
]
