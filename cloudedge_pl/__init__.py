"""cloudedge_pl: Lightning training and inference of networks cut between a fleet of edge nodes and a cloud.

Names are imported on first use, so that planning and scheduling need neither torch nor Lightning. Lightning (of either
namespace) knows the strategy name "cloudedge" as soon as both packages have been imported, in either order. The name of
a second strategy is entered in ``STRATEGIES`` of namespace.py.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cloudedge_pl._registration import when_imported
from cloudedge_pl.namespace import PACKAGES, register_strategies, use

if TYPE_CHECKING:
    from cloudedge_pl.costs import CodecConfig, CostFormulas, CostProfile
    from cloudedge_pl.data import (
        Cifar10DataModule,
        DigitsDataModule,
        ImageFolderDataModule,
        SyntheticDataModule,
    )
    from cloudedge_pl.data.sharding import make_shards
    from cloudedge_pl.data.shards import Shards
    from cloudedge_pl.dormancy import DormancyRule
    from cloudedge_pl.errors import (
        BundleError,
        CheckpointError,
        DataError,
        InfeasiblePlanError,
        NamespaceError,
        StrategyError,
        UntraceableBackboneError,
    )
    from cloudedge_pl.exits import Calibration, ExitSettings
    from cloudedge_pl.export import export_bundle
    from cloudedge_pl.fleet import Cloud, EdgeNode, Fleet, Link, Workload
    from cloudedge_pl.fleet_files import load_fleet
    from cloudedge_pl.offloading import (
        OffloadGoal,
        OffloadPlan,
        lagrangian_dual,
        pareto_front,
        plan_offloading,
        sweep,
    )
    from cloudedge_pl.partition import ExitHeadConfig, SplitChain, build_backbone, profile, trace
    from cloudedge_pl.scheduling import (
        Assignment,
        NodeState,
        Scheduler,
        TaskWindow,
        create_scheduler,
        schedule,
    )
    from cloudedge_pl.serving import Manifest
    from cloudedge_pl.simulation import Scenario, Simulator
    from cloudedge_pl.training import (
        AdaptiveInterval,
        BestCheckpoint,
        CloudDormancy,
        CloudEdgeModule,
        CloudEdgeStrategy,
        CostLogger,
        InterruptCheckpoint,
        OutcomeTable,
        WeightedAggregation,
        calibrate_exits,
    )

_HOMES = {
    "costs": ["CodecConfig", "CostFormulas", "CostProfile"],
    "data": ["Cifar10DataModule", "DigitsDataModule", "ImageFolderDataModule", "SyntheticDataModule"],
    "data.sharding": ["make_shards"],
    "data.shards": ["Shards"],
    "dormancy": ["DormancyRule"],
    "errors": [
        "BundleError",
        "CheckpointError",
        "DataError",
        "InfeasiblePlanError",
        "NamespaceError",
        "StrategyError",
        "UntraceableBackboneError",
    ],
    "exits": ["Calibration", "ExitSettings"],
    "export": ["export_bundle"],
    "fleet": ["Cloud", "EdgeNode", "Fleet", "Link", "Workload"],
    "fleet_files": ["load_fleet"],
    "offloading": [
        "OffloadGoal",
        "OffloadPlan",
        "lagrangian_dual",
        "pareto_front",
        "plan_offloading",
        "sweep",
    ],
    "partition": ["ExitHeadConfig", "SplitChain", "build_backbone", "profile", "trace"],
    "scheduling": ["Assignment", "NodeState", "Scheduler", "TaskWindow", "create_scheduler", "schedule"],
    "serving": ["Manifest"],
    "simulation": ["Scenario", "Simulator"],
    "training": [
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
    ],
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [  # loaded by __getattr__
    "AdaptiveInterval",
    "Assignment",
    "BestCheckpoint",
    "BundleError",
    "Calibration",
    "CheckpointError",
    "Cifar10DataModule",
    "Cloud",
    "CloudDormancy",
    "CloudEdgeModule",
    "CloudEdgeStrategy",
    "CodecConfig",
    "CostFormulas",
    "CostLogger",
    "CostProfile",
    "DataError",
    "DigitsDataModule",
    "DormancyRule",
    "EdgeNode",
    "ExitHeadConfig",
    "ExitSettings",
    "Fleet",
    "ImageFolderDataModule",
    "InfeasiblePlanError",
    "InterruptCheckpoint",
    "Link",
    "Manifest",
    "NamespaceError",
    "NodeState",
    "OffloadGoal",
    "OffloadPlan",
    "OutcomeTable",
    "Scenario",
    "Scheduler",
    "Shards",
    "Simulator",
    "SplitChain",
    "StrategyError",
    "SyntheticDataModule",
    "TaskWindow",
    "UntraceableBackboneError",
    "WeightedAggregation",
    "Workload",
    "build_backbone",
    "calibrate_exits",
    "create_scheduler",
    "export_bundle",
    "lagrangian_dual",
    "load_fleet",
    "make_shards",
    "pareto_front",
    "plan_offloading",
    "profile",
    "schedule",
    "sweep",
    "trace",
    "use",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(sorted(_HOME_OF))}"
        )
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]


for _package, _home in PACKAGES.items():
    when_imported(_home, partial(register_strategies, _package))
