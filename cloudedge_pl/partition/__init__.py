"""A traced backbone as a chain of split points, what it costs, and the exit head at the cut."""

from cloudedge_pl.partition.backbones import BACKBONES, build_backbone
from cloudedge_pl.partition.chain import GRANULARITIES, SplitChain, trace
from cloudedge_pl.partition.exit_head import ExitHead, ExitHeadConfig
from cloudedge_pl.partition.measuring import measure_segments
from cloudedge_pl.partition.profiling import profile

__all__ = [
    "BACKBONES",
    "GRANULARITIES",
    "ExitHead",
    "ExitHeadConfig",
    "SplitChain",
    "build_backbone",
    "measure_segments",
    "profile",
    "trace",
]
