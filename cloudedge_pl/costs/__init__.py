"""Memory, roofline, queueing, transmission and energy of a cut network, as pure functions over numpy arrays.

Planner, simulator and training take every cost from here; each formula has one home.
"""

from cloudedge_pl.costs.codec import CODECS, CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.split import SplitCosts, TaskCosts, split_costs, task_costs

__all__ = [
    "CODECS",
    "CodecConfig",
    "CostFormulas",
    "CostProfile",
    "InputCodec",
    "SplitCosts",
    "TaskCosts",
    "split_costs",
    "task_costs",
]
