"""The Lightning strategy that cuts a module's backbone, on one device: its arguments, and which device it takes.

It is a thin subclass of :class:`~cloudedge_pl.training.strategies.hooks.RunHooks`, which does the work of all
strategies. A second strategy, such as one over several processes, is another such subclass in a file beside this one;
the opening of hooks.py lists what it must supply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_deprecation
from torch import Tensor
from typing_extensions import override

from cloudedge_pl.costs import CodecConfig, CostFormulas
from cloudedge_pl.errors import StrategyError, require_types
from cloudedge_pl.exits import ExitSettings
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.lightning import pl
from cloudedge_pl.namespace import admit
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.partition import ExitHeadConfig
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.simulation import Scenario
from cloudedge_pl.training.strategies.hooks import RunHooks
from cloudedge_pl.training.strategies.settings import CutSettings


class CloudEdgeStrategy(RunHooks, pl.strategies.SingleDeviceStrategy):
    """Trains and runs a LightningModule whose backbone is cut between a simulated fleet and a cloud.

    The module does not change: its class, its steps, the names of its parameters and its ``configure_optimizers`` stay
    as they are. The exit head and a learned codec belong to the strategy. Their parameters join the optimizer's largest
    parameter group, and their weights are in the checkpoint beside the module's.

    While weights are averaged after every step, one pass with shared weights computes what the nodes would:
    sum_i (n_i / B) grad F_i is the gradient of the batch mean. Source: Xu 2020, Sec. 2.4; deviates: batch normalisation
    uses the statistics of the whole batch, unless ``batch_norm`` says otherwise, and an optimizer that is not linear in
    the gradient steps on the mean gradient, where nodes would average their steps. With longer intervals
    (:class:`~cloudedge_pl.WeightedAggregation`) every node trains its own weights.

    Args:
        fleet: what the network runs on; None takes the default, ten nodes of four kinds (:meth:`Fleet.preset`).
        workload: arrival rate and limits; None takes the defaults.
        backbone: name of the module's attribute that is the backbone, dots allowed; "" if it is the module itself.
        granularity: split points after every weighted "layer", or only between "block"s that one tensor joins.
        split_modules: names of the backbone's submodules after which it may be cut, in the order in which they run,
            for networks that torch.fx cannot trace (Hugging Face's models).
        offloading: an :class:`~cloudedge_pl.OffloadGoal` or a mapping of its fields, e.g. ``{"split_point": 9}``; None
            takes the defaults.
        formulas: a :class:`~cloudedge_pl.CostFormulas` or a mapping of its fields; None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud, in the plan and in training: a name, a
            :class:`~cloudedge_pl.CodecConfig` or a mapping of its fields; None takes the default, int8.
        scenario: how link, nodes and tasks vary, limits of queues: a :class:`~cloudedge_pl.Scenario` or a mapping of
            its fields; None takes the defaults, in which only the link varies.
        scheduler: a name, a mapping of ``name`` and options, or a scheduler.
        exit_head: size of the exit head, the early exit on the master; None takes the defaults.
        exits: which samples of a test or prediction the exit head answers although the cloud is awake: the name of a
            policy, an :class:`~cloudedge_pl.ExitSettings` or a mapping of its fields, such as
            ``{"max_disagreement": 0.02}``; None lets no sample exit. :func:`~cloudedge_pl.calibrate_exits` chooses the
            threshold once the weights are trained; one that is given also holds in validations. The backbone must
            return class logits.
        edge_loss_weight: the paper's a, >= 0; None takes the module's attribute of that name, else 0.3. At 0 the exit
            head is not trained.
        cloud_loss_weight: the paper's b, >= 0; None takes the module's attribute of that name, else 1.
        example_input: [1, ...] as it reaches the backbone, to plan with; None runs the module's own step up to the
            backbone on the first sample, or ``forward`` on the module's ``example_input_array``.
        batch_norm: statistics by which the edge part normalises in training: of the step's whole batch ("shared"), of
            each node's samples ("local", as on real nodes) or the running ones ("frozen"); "auto" is "shared" if every
            step ends with an aggregation, else "local".
        shards: None lets the scheduler route every sample; a mapping of ``by`` ("iid", "dirichlet", "class") and
            options of :func:`~cloudedge_pl.data.sharding.make_shards` gives every node a part of the training data,
            which it runs itself.
        seed: of arrivals, link, scheduler and the exit head's first weights.
        device: None takes the trainer's.
        partition: deprecated, use ``backbone``.
    """

    strategy_name = "cloudedge"

    def __init__(
        self,
        *,
        fleet: Fleet | None = None,
        workload: Workload | None = None,
        backbone: str = "backbone",
        granularity: str = "layer",
        split_modules: Sequence[str] | None = None,
        offloading: OffloadGoal | Mapping[str, Any] | None = None,
        formulas: CostFormulas | Mapping[str, Any] | None = None,
        codec: str | CodecConfig | Mapping[str, Any] | None = None,
        scenario: Scenario | Mapping[str, Any] | None = None,
        scheduler: str | Mapping[str, Any] | Scheduler = "atsa",
        exit_head: ExitHeadConfig | None = None,
        exits: str | ExitSettings | Mapping[str, Any] | None = None,
        edge_loss_weight: float | None = None,
        cloud_loss_weight: float | None = None,
        example_input: Tensor | None = None,
        batch_norm: str = "auto",
        shards: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
        accelerator: pl.accelerators.Accelerator | None = None,
        checkpoint_io: pl.plugins.CheckpointIO | None = None,
        precision_plugin: pl.plugins.Precision | None = None,
        partition: str | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in CutSettings.__dataclass_fields__}
        require_types(
            "CloudEdgeStrategy", CloudEdgeStrategy, {**given, "device": device, "partition": partition}
        )
        if partition is not None:
            rank_zero_deprecation("CloudEdgeStrategy(partition=...) is now CloudEdgeStrategy(backbone=...).")
            given["backbone"] = partition
        settings = CutSettings.of(**given)
        super().__init__(settings, device or "cpu", accelerator, checkpoint_io, precision_plugin)
        self._device_given = device is not None

    @override
    def connect(self, model: pl.LightningModule) -> None:
        super().connect(model)
        devices = model.trainer._accelerator_connector._parallel_devices
        if len(devices) > 1:
            raise StrategyError(
                f"CloudEdgeStrategy runs on one device; Trainer(devices=...) asks for {len(devices)}."
            )
        if not self._device_given and devices:
            self._root_device = torch.device(devices[0])

    @override
    def model_to_device(self) -> None:
        super().model_to_device()
        for module in self.run.deployment.modules.values():
            self.precision_plugin.convert_module(module).to(self.root_device)


admit(CloudEdgeStrategy)
