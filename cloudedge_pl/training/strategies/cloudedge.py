"""The Lightning strategy that plans, cuts and routes; one step in outline::

    setup      trace the backbone -> profile -> plan -> cut; the user's optimizers are made after that
    batch      simulate one window: route every sample, measure the link, decide whether the cloud sleeps
      awake    loss = a * F_e + b * F_c: the module's own step on the exit head's and on the cloud's logits
      asleep   loss = F_e: the module's own step on the exit head's logits; the cloud's parameters get no gradient
    account    the window's seconds, joules and bytes are in ``strategy.record`` and ``strategy.simulator.accounts``

Aggregation every step makes all replicas equal, so the edge part runs once over the whole batch with shared weights:
sum_i (n_i / B) grad F_i is the gradient of the batch mean. Source: Xu 2020, Sec. 2.4; deviates: batch normalisation
then uses the statistics of the whole batch, unless ``batch_norm="local"`` asks for those of each node's samples; and an
optimizer that is not linear in the gradient steps on the mean gradient, where nodes would average their steps. With
longer intervals every node trains its own weights (:class:`~cloudedge_pl.training.nodes.node_training.NodeTraining`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from cloudedge_pl.costs import CodecConfig, CostFormulas
from cloudedge_pl.dormancy import DormancyState
from cloudedge_pl.errors import CheckpointError, StrategyError, lookup, require_range, require_types
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.lightning import pl
from cloudedge_pl.namespace import admit, require_one_namespace
from cloudedge_pl.offloading import OffloadGoal, OffloadPlan
from cloudedge_pl.partition import ExitHeadConfig
from cloudedge_pl.scheduling import Scheduler, as_scheduler
from cloudedge_pl.settings import as_settings
from cloudedge_pl.simulation import Simulator, WindowRecord
from cloudedge_pl.simulation.simulator import Decide
from cloudedge_pl.training.checkpoints.files import CheckedCheckpointIO
from cloudedge_pl.training.checkpoints.optimizer_states import state_excluding, state_including
from cloudedge_pl.training.checkpoints.random_state import RandomState
from cloudedge_pl.training.checkpoints.reading import loading_into, reading
from cloudedge_pl.training.checkpoints.resuming import resume_training, validation_is_set_up
from cloudedge_pl.training.cut.deployment import Deployment, deploy
from cloudedge_pl.training.cut.example_input import example_input_of
from cloudedge_pl.training.cut.first_batches import Peeked
from cloudedge_pl.training.cut.forward import (
    Answer,
    CutForward,
    PathLogits,
    find_backbone,
    install,
    remove,
)
from cloudedge_pl.training.cut.replay import Rewind, Undo, is_compiled, loss_of, unobserved, with_loss
from cloudedge_pl.training.cut.tape import NotReplayable
from cloudedge_pl.training.layers.batch_norm import BATCH_NORM_MODES, BatchNormMode
from cloudedge_pl.training.nodes.aggregation import AggregationRule
from cloudedge_pl.training.nodes.local_data import LocalData
from cloudedge_pl.training.nodes.node_training import NodeTraining, make_replicas

CHECKPOINT_KEY = "cloudedge"
"""The entry of a checkpoint that holds the strategy's own state."""


class CloudEdgeStrategy(pl.strategies.SingleDeviceStrategy):
    """Trains and runs a LightningModule whose backbone is cut between a simulated fleet and a cloud.

    The module is not changed: its class, its steps, its parameters' names and its ``configure_optimizers`` stay as
    they are. The exit head and a learned codec belong to the strategy; their parameters join the optimizer's largest
    parameter group, and their weights travel in the checkpoint beside the module's.

    Args:
        fleet: what the network runs on; None takes ten unlike nodes (:meth:`Fleet.preset`).
        workload: arrival rate and limits; None takes the defaults with ``phase="training"``.
        partition: name of the module's attribute that is the backbone, dots allowed; "" where the module itself is.
        granularity: split points after every weighted "layer", or only between "block"s that one tensor joins.
        split_modules: names of the backbone's submodules after which it may be cut, in the order in which they run,
            where torch.fx cannot follow it (Hugging Face's models).
        offloading: an :class:`~cloudedge_pl.OffloadGoal` or a mapping of its fields, e.g. ``{"split_point": 9}``; None
            takes the defaults.
        formulas: a :class:`~cloudedge_pl.CostFormulas` or a mapping of its fields; None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud, in the plan and in training: a name, a
            :class:`~cloudedge_pl.CodecConfig` or a mapping of its fields; None sends them unchanged.
        scheduler: a name, a mapping of ``name`` and options, or a scheduler.
        exit_head: size of the simplified cloud model; None takes the defaults.
        edge_loss_weight: the paper's a, >= 0; None takes the module's attribute of that name, else 0.3. At 0 the exit
            head is not trained.
        cloud_loss_weight: the paper's b, >= 0; None takes the module's attribute of that name, else 1.
        example_input: [1, ...] as it reaches the backbone, to plan with; None runs the module's own step up to the
            backbone on the first sample, or ``forward`` on the module's ``example_input_array``.
        batch_norm: statistics by which the edge part normalises in training: of the "shared" step's whole batch, of
            each node's samples ("local", what real nodes would do), or the running ones ("frozen"); "auto" is
            "shared" where every step ends with an aggregation, else "local".
        shards: None sends every sample where the scheduler says; a mapping of ``by`` ("iid", "dirichlet", "class")
            and options of :func:`~cloudedge_pl.data.sharding.make_shards` lets every node own a part of the training
            data, and run that.
        seed: of arrivals, link, scheduler and the exit head's first weights.
        device: None takes the trainer's.

    Attributes:
        plan: the offloading plan, once set up.
        simulator: of the training run; ``simulator.accounts`` are its books.
        record: the window that ran last.
    """

    strategy_name = "cloudedge"

    def __init__(
        self,
        fleet: Fleet | None = None,
        workload: Workload | None = None,
        partition: str = "backbone",
        granularity: str = "layer",
        split_modules: Sequence[str] | None = None,
        offloading: OffloadGoal | Mapping[str, Any] | None = None,
        formulas: CostFormulas | Mapping[str, Any] | None = None,
        codec: str | CodecConfig | Mapping[str, Any] | None = None,
        scheduler: str | Mapping[str, Any] | Scheduler = "atsa",
        exit_head: ExitHeadConfig | None = None,
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
    ) -> None:
        require_types("CloudEdgeStrategy", CloudEdgeStrategy, locals())
        super().__init__(device or "cpu", accelerator, checkpoint_io, precision_plugin)
        self._device_given = device is not None
        self.fleet = fleet if fleet is not None else Fleet.preset(num_nodes=10, speed_spread=0.4)
        self.workload = workload if workload is not None else Workload(phase="training")
        self.partition, self.granularity = partition, granularity
        self.split_modules = None if split_modules is None else list(split_modules)
        self.offloading = as_settings(OffloadGoal, offloading, "offloading")
        self.formulas = as_settings(CostFormulas, formulas, "formulas")
        self.codec = as_settings(CodecConfig, {"name": codec} if isinstance(codec, str) else codec, "codec")
        self.exit_head_config = exit_head or ExitHeadConfig()
        self.edge_loss_weight, self.cloud_loss_weight = edge_loss_weight, cloud_loss_weight
        self.example_input, self.seed = example_input, seed
        lookup({"auto": "auto", **BATCH_NORM_MODES}, batch_norm, "batch_norm mode")
        self.batch_norm = batch_norm
        self.local_data = None if shards is None else LocalData(self.fleet.num_nodes, seed, **shards)
        self._scheduler = as_scheduler(scheduler, seed=seed)

        self.decide: Decide | None = None
        self.aggregation: AggregationRule | None = None
        self.nodes: NodeTraining | None = None
        self.deployment: Deployment | None = None
        self.record: WindowRecord | None = None
        self._simulator: Simulator | None = None
        self._evaluation: Simulator | None = None
        self._backbone: nn.Module | None = None
        self._forward: CutForward | None = None
        self._restored: dict[str, Any] | None = None
        self._tested_dormancy: DormancyState | None = None
        self._resuming: dict[str, Any] | None = None
        self._loss: Tensor | None = None
        self._peeked: Peeked | None = None
        self._is_set_up = False
        self._records = True

    # --- what a run shows ---

    @property
    def plan(self) -> OffloadPlan:
        """The offloading plan."""
        return self._deployed.plan

    @property
    def is_planned(self) -> bool:
        """Whether plan and simulator exist."""
        return self._simulator is not None

    @property
    def simulator(self) -> Simulator:
        """The fleet in training."""
        if self._simulator is None:
            raise StrategyError(
                "the strategy is not set up yet: plan and simulator exist from on_fit_start on."
            )
        return self._simulator

    @property
    def evaluation(self) -> Simulator:
        """The fleet in the validation, test or prediction that runs, or ran last."""
        if self._evaluation is None:
            raise StrategyError("no validation, test or prediction has run under this strategy yet.")
        return self._evaluation

    def same_tasks_at(self, split_point: int) -> Simulator:
        """The tasks of the last evaluation once more, with the same draws, on the fleet cut at another split point.

        The cloud stays awake: split points 0 and N have no exit head that could answer instead.
        """
        simulator = self._deployed.simulator(
            "inference", self._scheduler, None, self.seed + 1, split_point=split_point
        )
        for tasks in self.evaluation.history["tasks"]:
            simulator.step(tasks)
        return simulator

    @property
    def _deployed(self) -> Deployment:
        if self.deployment is None:
            raise StrategyError("the strategy is not set up yet: the plan exists from on_fit_start on.")
        return self.deployment

    def paths(self, cloud_logits: Tensor) -> PathLogits:
        """The logits of the current batch by every path; for evaluation steps that know the cloud's."""
        assert self._forward is not None, "called inside a step"
        return self._forward.paths(cloud_logits)

    # --- set-up and tear-down ---

    @override
    def connect(self, model: pl.LightningModule) -> None:
        trainer = model.trainer
        loggers, callbacks = trainer.loggers, trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        require_one_namespace(trainer, model, getattr(trainer, "datamodule", None), *callbacks, *loggers)
        super().connect(model)
        self.decide = self.aggregation = None  # the callbacks of this run say them anew in their setup
        connector = trainer._accelerator_connector
        devices = connector._parallel_devices
        if len(devices) > 1:
            raise StrategyError(
                f"CloudEdgeStrategy runs on one device; Trainer(devices=...) asks for {len(devices)}."
            )
        if not self._device_given and devices:
            self._root_device = torch.device(devices[0])

    @override
    def setup(self, trainer: pl.Trainer) -> None:
        module = self.lightning_module
        assert module is not None
        if trainer.state.fn == pl.trainer.states.TrainerFn.FITTING and not module.automatic_optimization:
            raise StrategyError(
                f"{type(module).__name__} optimises manually (automatic_optimization=False); CloudEdgeStrategy joins "
                "the losses of exit head and cloud itself and needs automatic optimisation."
            )
        backbone = find_backbone(module, self.partition)
        if backbone is not self._backbone:
            self._backbone, self._simulator = backbone, None
            self.precision_plugin.convert_module(module)  # what is planned with is what will run
            example = self.example_input
            if example is None:
                example, self._peeked = example_input_of(trainer, module, backbone, self.precision_plugin)
            self.deployment = deploy(
                backbone,
                self._as_given(example, backbone),
                self.fleet,
                self.workload,
                granularity=self.granularity,
                goal=self.offloading,
                formulas=self.formulas,
                codec=self.codec,
                exit_head=self.exit_head_config,
                seed=self.seed,
                split_modules=self.split_modules,
                name=getattr(module, "backbone_name", None),
            )
            if self.plan.uncut:
                pl.utilities.rank_zero_warn(self.plan.uncut)
        self._cut(backbone)
        if self._simulator is None or trainer.state.fn == pl.trainer.states.TrainerFn.FITTING:
            self._simulator = self._deployed.simulator("training", self._scheduler, self.decide, self.seed)
        fitting = trainer.state.fn == pl.trainer.states.TrainerFn.FITTING
        if fitting:
            self._refuse_callbacks(trainer)
        self._resuming = self._restore(resume=fitting)
        super().setup(trainer)
        self._is_set_up = True
        self._records = not is_compiled(module)

    def _as_given(self, example: Tensor, backbone: nn.Module) -> Tensor:
        """The example in the dtype in which a sample reaches the backbone; indices, such as tokens, keep theirs."""
        given = self.precision_plugin.convert_input(example)
        return given.to(next(backbone.parameters()).dtype) if given.is_floating_point() else given

    def _refuse_callbacks(self, trainer: pl.Trainer) -> None:
        averaging = (pl.callbacks.StochasticWeightAveraging, pl.callbacks.WeightAveraging)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by the callback connector
            name = type(callback).__name__
            if isinstance(callback, pl.callbacks.BaseFinetuning) and self._deployed.modules:
                raise StrategyError(
                    f"{name} wants every parameter of the optimizer to be the module's, and the exit head's are not. "
                    "Freeze and unfreeze in on_train_epoch_start with requires_grad_ instead."
                )
            if isinstance(callback, averaging) and self._replicated:
                raise StrategyError(
                    f"{name} averages the module's weights, which between two aggregations are not those that train; "
                    "use WeightedAggregation(every_n_steps=1), or leave it out."
                )

    @property
    def _replicated(self) -> bool:
        """Whether the nodes' weights differ between two steps."""
        rule = self.aggregation
        return rule is not None and not rule.is_one_pass(self.local_data is not None)

    def _batch_norm_mode(self) -> BatchNormMode:
        if self.batch_norm == "auto":
            return "local" if self._replicated else "shared"
        if self.batch_norm == "shared" and self._replicated:
            raise StrategyError(
                'batch_norm="shared" takes the statistics of a whole step, and nodes that train weights of their own '
                'between two aggregations see their own samples alone; use "local", "frozen" or "auto", or '
                "WeightedAggregation(every_n_steps=1)."
            )
        return BATCH_NORM_MODES[self.batch_norm]

    def _cut(self, backbone: nn.Module) -> None:
        deployment = self._deployed
        self._forward = CutForward(
            deployment.chain,
            deployment.split_point,
            deployment.exit_head,
            deployment.codec,
            self._open_window,
            self._batch_norm_mode(),
        )
        install(self._forward)  # undone in teardown

    @override
    def model_to_device(self) -> None:
        super().model_to_device()
        for module in self._deployed.modules.values():
            self.precision_plugin.convert_module(module).to(self.root_device)

    @override
    def setup_optimizers(self, trainer: pl.Trainer) -> None:
        super().setup_optimizers(trainer)
        if any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in self.optimizers):
            raise StrategyError(
                "LBFGS evaluates its closure several times a step, and every evaluation would be another window of "
                "tasks; take another optimizer."
            )
        muon = getattr(torch.optim, "Muon", ())  # since torch 2.9
        if any(isinstance(optimizer, muon) for optimizer in self.optimizers):
            odd = sorted({parameter.ndim for parameter in self._own_parameters} - {2})
            if odd:
                raise StrategyError(
                    f"Muon steps matrices (2-d parameters) alone, and exit head and codec have parameters of {odd} "
                    "dimensions, which join your optimizer; take another optimizer, such as AdamW."
                )
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        if groups:
            largest = max(groups, key=lambda group: sum(parameter.numel() for parameter in group["params"]))
            known = {id(parameter) for parameter in largest["params"]}
            added = [parameter for parameter in self._own_parameters if id(parameter) not in known]
            largest["params"].extend(added)
            if "param_names" in largest:
                largest["param_names"].extend(f"{CHECKPOINT_KEY}.{at}" for at, _ in enumerate(added))

    @property
    def _own_parameters(self) -> list[nn.Parameter]:
        """Of exit head and codec."""
        return [p for module in self._deployed.modules.values() for p in module.parameters()]

    @override
    def process_dataloader(self, dataloader: object) -> object:
        assert self.lightning_module is not None
        trainer = self.lightning_module.trainer
        if self.local_data is not None and trainer.training:
            return self.local_data.shard(dataloader, trainer)  # reads samples by number, so that none is lost
        fitting = trainer.state.fn == pl.trainer.states.TrainerFn.FITTING
        if self._peeked is not None and trainer.training == fitting:  # validation has not been looked at
            return self._peeked.give_back(dataloader)
        return dataloader

    @override
    def teardown(self) -> None:
        self._is_set_up, self._restored, self._peeked = False, None, None
        if self._backbone is not None:
            remove(self._backbone)
        if self.deployment is not None:
            for module in self.deployment.modules.values():
                module.cpu()
        super().teardown()

    # --- steps ---

    def _open_window(self, num_tasks: int) -> WindowRecord:
        assert self.lightning_module is not None
        trainer = self.lightning_module.trainer
        if not trainer.training:
            self.record = self.evaluation.step(num_tasks)
            return self.record
        owners = None if self.local_data is None else self.local_data.owners(trainer, num_tasks)
        self.record = self.simulator.step(num_tasks, owners)
        if self.nodes is not None:
            self.nodes.count(self.record.assignment.tasks_per_node)
        return self.record

    def _loss_weights(self) -> tuple[float, float]:
        """The paper's a and b."""
        weights = []
        for name, default in (("edge_loss_weight", 0.3), ("cloud_loss_weight", 1.0)):
            given = getattr(self, name)
            weight = getattr(self.lightning_module, name, default) if given is None else given
            require_range(f"CloudEdgeStrategy: {name}", 0, float("inf"), open_high=True, weight=weight)
            weights.append(float(weight))
        return weights[0], weights[1]

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        module, forward, backbone = self.lightning_module, self._forward, self._backbone
        assert module is not None
        assert forward is not None
        assert backbone is not None
        if self.nodes is not None:
            self.nodes.accumulate()
        edge_weight, cloud_weight = self._loss_weights()
        joint = forward.exit_head is not None and edge_weight > 0
        before = Rewind(module, backbone, self.root_device) if joint else None
        with forward.step("system"):
            recording = joint and self._records
            with forward.recording(self.root_device) if recording else nullcontext():
                output = super().training_step(*args, **kwargs)
            cloud_loss = self._loss = loss_of(output)
            if cloud_loss is None:
                return output  # a step that is skipped, or that Lightning has something to say about
            if not forward.reached:
                raise StrategyError(
                    f"{type(module).__name__}.training_step did not call its backbone {self.partition!r}; nothing was "
                    "cut. Name the submodule that it calls with CloudEdgeStrategy(partition=...)."
                )
            if not forward.awake:
                return with_loss(output, self._asleep_loss(cloud_loss, recording)) if joint else output
            loss = cloud_weight * cloud_loss
            if before is not None:
                exit_loss = self._replayed(cloud_loss) if recording else None
                if exit_loss is None:
                    after = before.again()
                    before.back()  # the same augmentation and noise for both losses
                    undo = Undo(module, backbone, "parameters" if forward.checks else "none")
                    try:
                        with forward.replaying("exit"), unobserved(module, backbone):
                            exit_loss = self._exit_loss(*args, **kwargs)
                    finally:
                        undo.back_or_refuse()
                    after.back()
                    if exit_loss is not None:
                        forward.require_exit_gradient(exit_loss, cloud_loss)
                if exit_loss is not None:
                    loss = loss + edge_weight * exit_loss
        self._loss = loss.detach()
        return with_loss(output, loss)

    def _replayed(self, cloud_loss: Tensor) -> Tensor | None:
        """The exit head's loss without the module's step running again; None where only that gives it."""
        assert self._forward is not None
        try:
            with self.precision_plugin.train_step_context():
                return self._forward.exit_loss(cloud_loss)
        except NotReplayable as reason:
            self._records = False
            pl.utilities.rank_zero_info(
                f"{type(self.lightning_module).__name__}.training_step is evaluated twice, for the cloud's and for the "
                f"exit head's loss, for it cannot be replayed from its record: {reason}."
            )
            return None

    def _asleep_loss(self, loss: Tensor, recorded: bool) -> Tensor:
        """The loss of a step that the exit head answered, in a form that trains it."""
        assert self._forward is not None
        exit_loss = self._replayed(loss) if recorded else None
        if exit_loss is None:
            self._forward.require_exit_gradient(loss)
            return loss
        return exit_loss

    def _exit_loss(self, *args: Any, **kwargs: Any) -> Tensor | None:
        try:
            return loss_of(super().training_step(*args, **kwargs))
        except StrategyError:
            raise
        except RuntimeError as e:
            raise StrategyError(
                f"{type(self.lightning_module).__name__}.training_step fails when it is evaluated a second time, on "
                "the exit head's logits: what it asks of the edge part's graph, such as the gradient of its input, is "
                f"computed once. Train without exit head: CloudEdgeStrategy(edge_loss_weight=0). ({e})"
            ) from e

    @override
    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: pl.LightningModule | nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        output = super().optimizer_step(optimizer, closure, model, **kwargs)
        module = self.lightning_module
        if self.nodes is not None and module is not None:
            trainer = module.trainer
            self.nodes.step(
                self._loss,
                lambda: module.configure_gradient_clipping(
                    optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                ),
            )
            if self.aggregation is None:  # no callback says when: every step, which one pass computes
                self.nodes.aggregate_if_due(0.0, epoch_ends=False, training_ends=False)
        return output

    def _evaluating(self, answer: Answer) -> AbstractContextManager[None]:
        assert self._forward is not None
        return self._forward.step(answer)

    @override
    def validation_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        with self._evaluating("cloud"):
            return super().validation_step(*args, **kwargs)

    @override
    def test_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        with self._evaluating("cloud"):
            return super().test_step(*args, **kwargs)

    @override
    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating("system"):
            return super().predict_step(*args, **kwargs)

    def _start_evaluation(self) -> None:
        """A fleet of its own for every evaluation: nothing of the training run moves.

        It has draws of its own, and it knows what the link is usually like from the training.
        """
        self._evaluation = self._deployed.simulator("inference", self._scheduler, self.decide, self.seed + 1)
        self._evaluation.dormancy = self._tested_dormancy or self.simulator.dormancy

    @override
    def on_validation_start(self) -> None:
        self._start_evaluation()

    @override
    def on_test_start(self) -> None:
        self._start_evaluation()

    @override
    def on_predict_start(self) -> None:
        self._start_evaluation()

    # --- checkpoints ---

    @property
    @override
    def checkpoint_io(self) -> pl.plugins.CheckpointIO:
        if (
            self._checkpoint_io is None
        ):  # made late: Lightning refuses a second one beside the trainer's plugin
            self._checkpoint_io = CheckedCheckpointIO()
        return self._checkpoint_io

    @checkpoint_io.setter
    def checkpoint_io(self, io: pl.plugins.CheckpointIO) -> None:
        self._checkpoint_io = io

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        module, weights_only = self.lightning_module, "optimizer_states" not in checkpoint
        assert module is not None
        checkpoint[CHECKPOINT_KEY] = {
            **self._deployed.identity(),
            "modules": {name: module.state_dict() for name, module in self._deployed.modules.items()},
            "simulator": self.simulator.state_dict(),
            "random": RandomState.capture(self.root_device).state_dict(),
            "validated": validation_is_set_up(module.trainer),
            "nodes": None if self.nodes is None or weights_only else self.nodes.state_dict(),
            "optimizer": None if weights_only else self._own_optimizer_states(),
        }
        super().save_checkpoint(checkpoint, filepath, storage_options)

    def _own_optimizer_states(self) -> list[dict[str, Any]]:
        kept = [optimizer.state for optimizer in self.optimizers]
        return [
            next((dict(state[parameter]) for state in kept if parameter in state), {})
            for parameter in self._own_parameters
        ]

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The user's part of it, so that checkpoints go from and to other strategies."""
        return state_excluding(self._own_parameters, optimizer)

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = checkpoint.get(CHECKPOINT_KEY, {}).get("optimizer") or []
        own = self._own_parameters
        whole = [
            state_including(own, states, state, optimizer)
            for state, optimizer in zip(checkpoint["optimizer_states"], self.optimizers, strict=False)
        ]
        super().load_optimizer_state_dict({**checkpoint, "optimizer_states": whole})

    @override
    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        with reading(checkpoint_path):
            checkpoint = super().load_checkpoint(checkpoint_path, weights_only)
        if not {"state_dict", "pytorch-lightning_version"} <= set(checkpoint):
            raise CheckpointError(
                f"{checkpoint_path} is no checkpoint of Lightning, but perhaps a state_dict alone; load that into the "
                "backbone with load_state_dict."
            )
        return checkpoint

    @override
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        with loading_into(self.lightning_module):
            super().load_model_state_dict(checkpoint, strict)
        self._restored = checkpoint.get(CHECKPOINT_KEY)
        if self._is_set_up:  # in the middle of a run, as the learning rate finder does
            self._restore(resume=True)
        elif self._restored is None:
            pl.utilities.rank_zero_warn(
                "the checkpoint was not written under CloudEdgeStrategy: its weights are loaded, and the exit head "
                "starts untrained."
            )

    def _restore(self, resume: bool) -> dict[str, Any] | None:
        """Puts back what a checkpoint holds, and returns what is to be resumed from."""
        state, self._restored, self._tested_dormancy = self._restored, None, None
        if state is None:
            return None
        self._deployed.check_identity(state)
        for name, module in self._deployed.modules.items():
            module.load_state_dict(state["modules"][name])
        if resume:
            self.simulator.load_state_dict(state["simulator"])
            return state
        self._tested_dormancy = DormancyState(**state["simulator"]["dormancy"])
        return None

    @override
    def on_train_start(self) -> None:
        state, self._resuming = self._resuming, None
        rule = self.aggregation or AggregationRule(every_n_steps=1)
        self._start_nodes(rule, None if state is None else state["nodes"])
        if state is not None:
            module = self.lightning_module
            assert module is not None
            random_state = RandomState.from_state_dict(state["random"])
            resume_training(module.trainer, state["validated"], random_state, self.root_device)

    def _start_nodes(self, rule: AggregationRule, state: dict[str, Any] | None) -> None:
        assert self._forward is not None
        deployment, replicas = self._deployed, None
        if self._replicated:
            replicas = make_replicas(
                deployment.chain,
                deployment.split_point,
                self.fleet.num_nodes,
                self.optimizers[0],
                self.precision_plugin,
            )
        owned = None if self.local_data is None else self.local_data.shards.sizes
        self.nodes = NodeTraining(
            rule, self._forward, self.simulator, deployment.edge_parameter_bytes(), owned, replicas
        )
        if state is not None:
            self.nodes.load_state_dict(state)


admit(CloudEdgeStrategy)
