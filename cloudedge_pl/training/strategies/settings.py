"""What a strategy was asked for: one frozen dataclass that checks itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from cloudedge_pl.costs import CodecConfig, CostFormulas
from cloudedge_pl.data.sharding import SHARDINGS
from cloudedge_pl.errors import lookup
from cloudedge_pl.exits import ExitSettings
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.lightning import pl
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.partition import ExitHeadConfig
from cloudedge_pl.scheduling import Scheduler, as_scheduler
from cloudedge_pl.settings import as_settings
from cloudedge_pl.simulation import Scenario
from cloudedge_pl.training.cut.joint_loss import LossWeights
from cloudedge_pl.training.layers.batch_norm import BATCH_NORM_MODES


@dataclass(frozen=True, kw_only=True, eq=False)
class CutSettings:
    """The arguments of :class:`~cloudedge_pl.CloudEdgeStrategy`, which documents them, with defaults filled in.

    Raises:
        ValueError: on an unknown name, or a value out of range.
    """

    fleet: Fleet = field(default_factory=Fleet.preset)
    workload: Workload = field(default_factory=Workload)
    backbone: str = "backbone"
    granularity: str = "layer"
    split_modules: Sequence[str] | None = None
    offloading: OffloadGoal = field(default_factory=OffloadGoal)
    formulas: CostFormulas = field(default_factory=CostFormulas)
    codec: CodecConfig = field(default_factory=CodecConfig)
    scenario: Scenario = field(default_factory=Scenario)
    scheduler: Scheduler = field(default_factory=lambda: as_scheduler("atsa"))
    exit_head: ExitHeadConfig = field(default_factory=ExitHeadConfig)
    exits: ExitSettings = field(default_factory=ExitSettings)
    edge_loss_weight: float | None = None
    cloud_loss_weight: float | None = None
    example_input: Tensor | None = None
    batch_norm: str = "auto"
    shards: Mapping[str, Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        lookup({"auto": "auto", **BATCH_NORM_MODES}, self.batch_norm, "batch_norm mode")
        if self.shards is not None:
            if "by" not in self.shards:
                raise ValueError(
                    f"shards is {dict(self.shards)}; it must name how samples are distributed, by: "
                    f"{', '.join(sorted(SHARDINGS))}, or be null, which lets the scheduler route every sample."
                )
            lookup(SHARDINGS, self.shards["by"], "sharding")
        if self.split_modules is not None and not len(self.split_modules):
            raise ValueError(
                "split_modules is []; it must name at least one submodule, or be null, which traces the backbone."
            )

    @classmethod
    def of(cls, **given: Any) -> CutSettings:
        """Settings from the strategy's arguments: names and mappings become objects, None takes the default."""
        values = {name: value for name, value in given.items() if value is not None}
        if isinstance(values.get("codec"), str):
            values["codec"] = {"name": values["codec"]}
        if isinstance(values.get("exits"), str):
            values["exits"] = {"policy": values["exits"]}
        kinds = {
            "offloading": OffloadGoal,
            "formulas": CostFormulas,
            "codec": CodecConfig,
            "scenario": Scenario,
            "exits": ExitSettings,
        }
        values |= {name: as_settings(kind, values.get(name), name) for name, kind in kinds.items()}
        values["scheduler"] = as_scheduler(values.get("scheduler", "atsa"), seed=values.get("seed", 0))
        return cls(**values)

    def loss_weights(self, module: pl.LightningModule) -> LossWeights:
        """The paper's a and b for a module, whose attributes are read anew: it may change them during training."""
        return LossWeights.of(module, self.edge_loss_weight, self.cloud_loss_weight)
