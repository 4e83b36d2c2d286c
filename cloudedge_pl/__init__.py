"""cloudedge_pl: Lightning training and inference of networks cut between a fleet of edge nodes and a cloud.

Names are loaded when they are first used, so that planning and scheduling need neither torch nor Lightning. The
strategy name "cloudedge" is known to Lightning as soon as both packages have been imported, in either order.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cloudedge_pl._registration import when_imported

if TYPE_CHECKING:
    from cloudedge_pl.costs.profile import CostProfile
    from cloudedge_pl.data import (
        Cifar10DataModule,
        DigitsDataModule,
        ImageFolderDataModule,
        SyntheticDataModule,
    )
    from cloudedge_pl.dormancy import DormancyRule
    from cloudedge_pl.fleet import Cloud, EdgeNode, Fleet, Link, Workload
    from cloudedge_pl.offloading import OffloadPlan, plan_offloading
    from cloudedge_pl.partition import ExitHeadConfig, build_backbone, profile, trace
    from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow, create_scheduler, schedule
    from cloudedge_pl.simulation import Simulator
    from cloudedge_pl.training import (
        CloudDormancy,
        CloudEdgeModule,
        CloudEdgeStrategy,
        CostLogger,
        InterruptCheckpoint,
        WeightedAggregation,
    )

_HOMES = {
    "costs.profile": ["CostProfile"],
    "data": ["Cifar10DataModule", "DigitsDataModule", "ImageFolderDataModule", "SyntheticDataModule"],
    "dormancy": ["DormancyRule"],
    "fleet": ["Cloud", "EdgeNode", "Fleet", "Link", "Workload"],
    "offloading": ["OffloadPlan", "plan_offloading"],
    "partition": ["ExitHeadConfig", "build_backbone", "profile", "trace"],
    "scheduling": ["Assignment", "NodeState", "TaskWindow", "create_scheduler", "schedule"],
    "simulation": ["Simulator"],
    "training": [
        "CloudDormancy",
        "CloudEdgeModule",
        "CloudEdgeStrategy",
        "CostLogger",
        "InterruptCheckpoint",
        "WeightedAggregation",
    ],
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [  # loaded by __getattr__
    "Assignment",
    "Cifar10DataModule",
    "Cloud",
    "CloudDormancy",
    "CloudEdgeModule",
    "CloudEdgeStrategy",
    "CostLogger",
    "CostProfile",
    "DigitsDataModule",
    "DormancyRule",
    "EdgeNode",
    "ExitHeadConfig",
    "Fleet",
    "ImageFolderDataModule",
    "InterruptCheckpoint",
    "Link",
    "NodeState",
    "OffloadPlan",
    "Simulator",
    "SyntheticDataModule",
    "TaskWindow",
    "WeightedAggregation",
    "Workload",
    "build_backbone",
    "create_scheduler",
    "plan_offloading",
    "profile",
    "schedule",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(sorted(_HOME_OF))}"
        )
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]


def _register_strategy() -> None:
    import_module(f"{__name__}.training.strategy")


when_imported("pytorch_lightning", _register_strategy)
