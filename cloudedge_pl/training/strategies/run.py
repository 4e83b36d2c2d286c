"""All that lives for one fit, or for one validation, test or prediction, and what a checkpoint holds of it.

A :class:`Run` knows Lightning's module and trainer, but no strategy: a strategy makes one in its ``setup`` and calls it
from its hooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cloudedge_pl.dormancy import Decide, DormancyRule, DormancyState
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import Calibration
from cloudedge_pl.lightning import pl
from cloudedge_pl.simulation import Simulator, Window, WindowRecord
from cloudedge_pl.training.checkpoints.random_state import RandomState
from cloudedge_pl.training.checkpoints.resuming import resume_training, validation_is_set_up
from cloudedge_pl.training.cut.deployment import Deployment
from cloudedge_pl.training.cut.early_exit import EarlyExit, exit_threshold
from cloudedge_pl.training.cut.first_batches import FirstBatches
from cloudedge_pl.training.cut.forward import Answer, CutForward, OpenWindow, PathLogits, Step
from cloudedge_pl.training.cut.installing import install, remove
from cloudedge_pl.training.cut.joint_loss import JointLoss
from cloudedge_pl.training.cut.replay import is_compiled
from cloudedge_pl.training.layers.batch_norm import BATCH_NORM_MODES, BatchNormMode
from cloudedge_pl.training.nodes.aggregation import Aggregation, AggregationRule, ShouldAggregate
from cloudedge_pl.training.nodes.edge import EdgePart, SharedEdge
from cloudedge_pl.training.nodes.local_data import LocalData
from cloudedge_pl.training.nodes.replicated import ReplicatedEdge
from cloudedge_pl.training.strategies.optimizers import states_of
from cloudedge_pl.training.strategies.settings import CutSettings


@dataclass
class Policies:
    """What the callbacks say of a run; the defaults aggregate after every step and keep the cloud awake.

    Args:
        aggregation: when and how weights are averaged.
        should_aggregate: decides in place of the rule's interval; None follows the rule.
        dormancy: the rule by which the cloud sleeps, or a function in its place; None keeps it awake.
        keeps_outcomes: whether a validation or test that is not part of a fit keeps what both paths answer to every
            sample, also if no sample exits.
    """

    aggregation: AggregationRule = field(default_factory=lambda: AggregationRule(every_n_steps=1))
    should_aggregate: ShouldAggregate | None = None
    dormancy: DormancyRule | Decide | None = None
    keeps_outcomes: bool = False


class Run:
    """The cut backbone, the fleet and the nodes of one fit, validation, test or prediction.

    Args:
        settings: what the strategy was asked for.
        policies: what the callbacks say.
        deployment: the backbone, planned and cut.
        module: the user's module.
        precision: of the run.
        device: of the run.
        first_batches: batches that were read before the run, which it must not lose.

    Attributes:
        forward: stands in for the backbone's ``forward`` between :meth:`install` and :meth:`remove`.
        joint_loss: computes the exit head's loss.
        simulator: the fleet in training; ``simulator.accounts`` are its books.
        aggregation: when the nodes' weights are averaged, and how far the run is.
        local_data: the nodes' shards; None if the scheduler routes every sample.
        record: the training window that ran last; None before the first.
        calibration: of the exits, for the present weights; None before they are calibrated.
        early_exit: who exits in the validation, test or prediction that runs, or ran last; None if nothing decides.
    """

    def __init__(
        self,
        settings: CutSettings,
        policies: Policies,
        deployment: Deployment,
        module: pl.LightningModule,
        precision: pl.plugins.Precision,
        device: torch.device,
        first_batches: FirstBatches | None,
    ) -> None:
        self.settings, self.policies, self.deployment = settings, policies, deployment
        self.module, self.first_batches = module, first_batches
        self._precision, self._device = precision, device
        # torch.compile traces whatever the module calls, and is to leave the simulated fleet out.
        self._untraced: Callable[[Any], Any] = torch.compiler.disable if is_compiled(module) else _unchanged
        shards, num_nodes = settings.shards, settings.fleet.num_nodes
        self.local_data = None if shards is None else LocalData(num_nodes, settings.seed, **shards)
        chain, split_point = deployment.chain, deployment.split_point
        edge = self.make_edge()
        self.forward = CutForward(chain, split_point, deployment.exit_head, deployment.codec, edge)
        self.joint_loss = JointLoss(module, self.forward, precision, device)
        self.simulator = deployment.simulator(
            "training", settings.scheduler, settings.scenario, policies.dormancy, settings.seed
        )
        self.aggregation = self._make_aggregation()
        self.record: WindowRecord | None = None
        self.calibration: Calibration | None = None
        self.early_exit: EarlyExit | None = None
        self._evaluation: Simulator | None = None
        self._resuming: dict[str, Any] | None = None
        self._tested_dormancy: DormancyState | None = None

    def keep_books_of(self, earlier: Run) -> None:
        """Keeps what an earlier fit of the same deployment has counted, for an evaluation that follows it."""
        self.simulator, self.aggregation = earlier.simulator, earlier.aggregation
        self.local_data, self.record, self._evaluation = (
            earlier.local_data,
            earlier.record,
            earlier._evaluation,
        )
        self.calibration = earlier.calibration

    # --- the edge part ---

    def make_edge(self, optimizers: Sequence[Optimizer] = ()) -> EdgePart:
        """Makes the edge part: the one place that chooses which, and the one to override for another.

        Args:
            optimizers: the user's, when training starts; none before that, and where nothing is trained.

        Returns:
            Each node's own weights if training starts and they may differ between two aggregations, else shared ones.
        """
        chain, split_point = self.deployment.chain, self.deployment.split_point
        mode, num_nodes = self._batch_norm_mode(), self.settings.fleet.num_nodes
        if optimizers and self.weights_differ:
            return ReplicatedEdge(chain, split_point, mode, num_nodes, optimizers[0], self._precision)
        return SharedEdge(chain, split_point, mode)

    @property
    def edge(self) -> EdgePart:
        """The edge part in training."""
        return self.forward.edge

    @property
    def weights_differ(self) -> bool:
        """Whether the nodes' weights may differ between two aggregations."""
        policies = self.policies
        one_pass = policies.aggregation.is_one_pass(self.settings.shards is not None)
        return policies.should_aggregate is not None or not one_pass

    def _batch_norm_mode(self) -> BatchNormMode:
        mode = self.settings.batch_norm
        if mode == "auto":
            return "local" if self.weights_differ else "shared"
        if mode == "shared" and self.weights_differ:
            raise StrategyError(
                'batch_norm="shared" takes the statistics of a whole step, and nodes that train weights of their own '
                'between two aggregations see their own samples alone; use "local", "frozen" or "auto", or '
                "WeightedAggregation(every_n_steps=1)."
            )
        return BATCH_NORM_MODES[mode]

    def _make_aggregation(self) -> Aggregation:
        owned = None
        if self.local_data is not None and self.local_data.is_set_up:
            owned = self.local_data.shards.sizes
        return Aggregation(
            self.policies.aggregation,
            self.policies.should_aggregate,
            self.edge,
            self.simulator,
            self.deployment.edge_parameter_bytes(),
            owned,
        )

    # --- what the strategy's hooks call ---

    def install(self) -> None:
        """Lets the backbone run by :attr:`forward`."""
        install(self.forward)

    def remove(self) -> None:
        """Restores the backbone's own ``forward`` and frees the device."""
        remove(self.forward.backbone)
        self.first_batches = None
        for module in self.deployment.modules.values():
            module.cpu()

    def process_dataloader(self, loader: object) -> object:
        """Gives back what was read of the loader, and shards a training loader if the nodes own the data."""
        trainer = self.module.trainer
        if self.local_data is not None and trainer.training:
            return self.local_data.shard(loader, trainer)  # reads samples by number, so that none is lost
        fitting = trainer.state.fn == pl.trainer.states.TrainerFn.FITTING
        # Before a fit its training data was read, not that of its validation.
        if self.first_batches is not None and trainer.training == fitting:
            return self.first_batches.give_back(loader)
        return loader

    def start_training(self, optimizers: Sequence[Optimizer]) -> None:
        """Gives every node its own weights if they may differ, and resumes what a checkpoint holds."""
        self.forward.edge = self.make_edge(optimizers)
        self.aggregation = self._make_aggregation()
        state, self._resuming = self._resuming, None
        if state is None:
            return
        if state["nodes"] is not None:
            self.aggregation.load_state_dict(state["nodes"])
        random_state = RandomState.from_state_dict(state["random"])
        resume_training(self.module.trainer, state["validated"], random_state, self._device)

    @property
    def open_training_window(self) -> OpenWindow:
        """Routes the samples of a training step: takes their number, returns the window's record."""
        opener: OpenWindow = self._untraced(self._open_training_window)
        return opener

    def _open_training_window(self, num_tasks: int) -> WindowRecord:
        owners = None
        if self.local_data is not None:
            owners = self.local_data.owners(self.module.trainer, num_tasks)
        self.record = self.simulator.step(num_tasks, owners)
        self.aggregation.count_tasks(self.record.assignment.tasks_per_node)
        return self.record

    def start_evaluation(self, exits: bool = False) -> None:
        """Makes a fleet for a validation, test or prediction, so that nothing of the training changes.

        It draws its own arrivals and delays, and knows from the training what the link is usually like.

        Args:
            exits: whether samples may exit by the policy while the cloud is awake.
        """
        settings = self.settings
        may_exit = exits and settings.exits.are_on
        self._evaluation = self._fleet_in_evaluation(self.policies.dormancy, exits=may_exit)
        self._evaluation.dormancy = self._tested_dormancy or self.simulator.dormancy
        fits = self.module.trainer.state.fn == pl.trainer.states.TrainerFn.FITTING
        self.early_exit = None
        if self.forward.exit_head is not None and (may_exit or (self.policies.keeps_outcomes and not fits)):
            threshold = exit_threshold(settings.exits, self.calibration) if may_exit else math.inf
            self.early_exit = EarlyExit(settings.exits, threshold, settings.seed)
        elif may_exit:
            pl.utilities.rank_zero_warn("no sample exits: a network that is not cut has no exit head.")

    def evaluation_step(self, answer: Answer) -> Step:
        """A step of the evaluation; run it inside ``forward.running``."""
        decide = None if self.early_exit is None else self._untraced(self.early_exit.decide)
        return Step(answer, self._untraced(self._open_evaluation_window), decide=decide)

    def _fleet_in_evaluation(
        self, dormancy: DormancyRule | Decide | None, *, exits: bool = False, split_point: int | None = None
    ) -> Simulator:
        settings = self.settings
        return self.deployment.simulator(
            "inference",
            settings.scheduler,
            settings.scenario,
            dormancy,
            settings.seed + 1,
            exits=exits,
            split_point=split_point,
        )

    def _open_evaluation_window(self, num_tasks: int) -> Window:
        step = self.forward.step
        decision = None if step is None else step.decision
        if decision is None:
            return self.evaluation.admit(num_tasks)
        return self.evaluation.admit(num_tasks, decision.sure, decision.audited)

    def count_exits(self, step: Step, batch: Any) -> None:
        """Counts who exited in a step of the evaluation; ``batch`` is what the module's step got."""
        if self.early_exit is not None:
            for decision, cloud_logits in step.answers:
                self.early_exit.count(decision, cloud_logits, step.awake, batch)

    # --- what a run shows ---

    @property
    def evaluation(self) -> Simulator:
        """The fleet in the validation, test or prediction that runs, or ran last."""
        if self._evaluation is None:
            raise StrategyError("no validation, test or prediction has run under this strategy yet.")
        return self._evaluation

    def same_tasks_at(self, split_point: int) -> Simulator:
        """Repeats the last evaluation's tasks, with the same draws, on the fleet cut at another split point.

        The cloud stays awake: split points 0 and N have no exit head that could answer instead.
        """
        simulator = self._fleet_in_evaluation(None, split_point=split_point)
        if self.evaluation.num_admitted:
            simulator.admit(self.evaluation.num_admitted)
            simulator.finish()
        return simulator

    def paths(self, cloud_logits: Tensor) -> PathLogits:
        """The logits of the step's batch by every path, given the cloud's."""
        return self.forward.paths(cloud_logits)

    @property
    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters of exit head and codec, which are not the module's."""
        return [p for module in self.deployment.modules.values() for p in module.parameters()]

    # --- checkpoint ---

    def state_dict(self, optimizers: Sequence[Optimizer], weights_only: bool) -> dict[str, Any]:
        """What a checkpoint holds of the run, as tensors and plain containers.

        Args:
            optimizers: the user's; what they keep for exit head and codec is saved here.
            weights_only: whether the checkpoint leaves out the state of the optimizers, and with it the nodes' own.
        """
        return {
            **self.deployment.identity(),
            "modules": {name: module.state_dict() for name, module in self.deployment.modules.items()},
            "simulator": self.simulator.state_dict(),
            "random": RandomState.capture(self._device).state_dict(),
            "validated": validation_is_set_up(self.module.trainer),
            "exits": None if self.calibration is None else self.calibration.to_dict(),
            "nodes": None if weights_only else self.aggregation.state_dict(),
            "optimizer": None if weights_only else states_of(optimizers, self.own_parameters),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restores exit head, codec and simulator from :meth:`state_dict`.

        Raises:
            CheckpointError: if it is of another deployment.
        """
        self._restore_modules(state)
        self.simulator.load_state_dict(state["simulator"])

    def restore_for_training(self, state: dict[str, Any]) -> None:
        """Restores a run that training resumes; :meth:`start_training` restores the rest."""
        self.restore(state)
        self._resuming = state

    def restore_for_evaluation(self, state: dict[str, Any]) -> None:
        """Restores what a validation, test or prediction needs; the books of an earlier fit stay."""
        self._restore_modules(state)
        self._tested_dormancy = DormancyState.from_dict(state["simulator"]["dormancy"])
        calibration = state.get("exits")  # absent in checkpoints of version 0.1
        self.calibration = None if calibration is None else Calibration.from_dict(calibration)

    def _restore_modules(self, state: dict[str, Any]) -> None:
        self.deployment.check_identity(state)
        for name, module in self.deployment.modules.items():
            module.load_state_dict(state["modules"][name])


def _unchanged(function: Any) -> Any:
    return function
