""":class:`RunHooks`, the base class of every strategy of a cut backbone: Lightning's hooks, which call the run.

A second strategy goes beside cloudedge.py and derives from :class:`RunHooks` and then from one of Lightning's own
strategies, such as ``DDPStrategy``. It must supply

* a constructor that makes :class:`~cloudedge_pl.training.strategies.settings.CutSettings` and passes them on,
* ``model_to_device``, which moves exit head and codec along with the module,
* a ``strategy_name``, entered in ``STRATEGIES`` of ``cloudedge_pl/namespace.py`` for ``Trainer(strategy="NAME")``, and
  a file ``conf/strategy/NAME.yaml``,
* if its nodes do not run in this process, an :class:`~cloudedge_pl.training.nodes.edge.EdgePart` and a subclass of
  :class:`Run` whose ``make_edge`` chooses it, as :attr:`RunHooks.run_class`.

What lives for one fit is in :class:`~cloudedge_pl.training.strategies.run.Run`, what lives for one training step in
:class:`~cloudedge_pl.training.strategies.step.TrainingStep`, whose docstring lists the order of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.namespace import require_one_namespace
from cloudedge_pl.offloading import OffloadPlan
from cloudedge_pl.simulation import Simulator, WindowRecord
from cloudedge_pl.training.checkpoints.files import CheckedCheckpointIO
from cloudedge_pl.training.checkpoints.optimizer_states import state_excluding, state_including
from cloudedge_pl.training.checkpoints.reading import loading_into, reading, require_lightning_checkpoint
from cloudedge_pl.training.cut.deployment import Deployment
from cloudedge_pl.training.cut.forward import Answer, PathLogits
from cloudedge_pl.training.cut.installing import find_backbone
from cloudedge_pl.training.cut.replay import loss_of
from cloudedge_pl.training.nodes.local_data import LocalData
from cloudedge_pl.training.strategies.optimizers import (
    add_parameters,
    learning_rate_of,
    refuse_callbacks,
    refuse_optimizers,
    training_ends,
)
from cloudedge_pl.training.strategies.planning import plan
from cloudedge_pl.training.strategies.run import Policies, Run
from cloudedge_pl.training.strategies.settings import CutSettings
from cloudedge_pl.training.strategies.step import TrainingStep

CHECKPOINT_KEY = "cloudedge"
"""The entry of a checkpoint that holds the strategy's own state."""


class RunHooks(pl.strategies.Strategy):
    """Calls a :class:`Run` from Lightning's hooks; comes before one of Lightning's strategies among the bases.

    Args:
        settings: what the strategy was asked for.
        *args: of the next base.
        **kwargs: of the next base.

    Attributes:
        settings: what the strategy was asked for.
        policies: what the callbacks of the run say of aggregation and dormancy.
    """

    run_class: ClassVar[type[Run]] = Run
    """Class of the runs; a subclass of :class:`Run` with another ``make_edge`` brings another edge part."""

    def __init__(self, settings: CutSettings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.policies = Policies()
        self._run: Run | None = None
        self._step: TrainingStep | None = None
        self._checkpoint: dict[str, Any] | None = None  # loaded, and not yet restored
        self._is_set_up = False

    # --- what a run shows ---

    @property
    def run(self) -> Run:
        """What lives for the fit, validation, test or prediction that runs, or ran last."""
        if self._run is None:
            raise StrategyError(
                "the strategy is not set up yet: plan and simulator exist from on_fit_start on, and shards exist from "
                "on_train_start on."
            )
        return self._run

    @property
    def is_planned(self) -> bool:
        """Whether plan and simulator exist."""
        return self._run is not None

    @property
    def deployment(self) -> Deployment:
        """The backbone, planned and cut."""
        return self.run.deployment

    @property
    def plan(self) -> OffloadPlan:
        """The offloading plan."""
        return self.run.deployment.plan

    @property
    def simulator(self) -> Simulator:
        """The fleet in training; ``simulator.accounts`` are its books."""
        return self.run.simulator

    @property
    def evaluation(self) -> Simulator:
        """The fleet in the validation, test or prediction that runs, or ran last."""
        return self.run.evaluation

    @property
    def record(self) -> WindowRecord | None:
        """The window that ran last; None before the first."""
        return self.run.record

    @property
    def local_data(self) -> LocalData | None:
        """The nodes' shards of the training data; None if the scheduler routes every sample."""
        return self.run.local_data

    def same_tasks_at(self, split_point: int) -> Simulator:
        """Repeats the last evaluation's tasks at another split point; see :meth:`Run.same_tasks_at`."""
        return self.run.same_tasks_at(split_point)

    def paths(self, cloud_logits: Tensor) -> PathLogits:
        """The logits of the current batch by every path, for evaluation steps that know the cloud's."""
        return self.run.paths(cloud_logits)

    # --- set-up and tear-down ---

    @property
    def _module(self) -> pl.LightningModule:
        if self.lightning_module is None:
            raise StrategyError("the strategy is not connected to a LightningModule.")
        return self.lightning_module

    @override
    def connect(self, model: pl.LightningModule) -> None:
        trainer = model.trainer
        loggers, callbacks = trainer.loggers, trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        require_one_namespace(trainer, model, getattr(trainer, "datamodule", None), *callbacks, *loggers)
        super().connect(model)
        self.policies = Policies()  # the callbacks of this run set them in their own setup

    @override
    def setup(self, trainer: pl.Trainer) -> None:
        module = self._module
        fitting = trainer.state.fn == pl.trainer.states.TrainerFn.FITTING
        if fitting and not module.automatic_optimization:
            raise StrategyError(
                f"{type(module).__name__} optimises manually (automatic_optimization=False); CloudEdgeStrategy joins "
                "the losses of exit head and cloud itself and needs automatic optimisation."
            )
        self._run = run = self._make_run(trainer, module, fitting)
        run.install()  # undone in teardown
        if fitting:
            callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set by the callback connector
            refuse_callbacks(callbacks, bool(run.deployment.modules), run.weights_differ)
        state, self._checkpoint = self._checkpoint, None
        if state is not None:
            (run.restore_for_training if fitting else run.restore_for_evaluation)(state)
        super().setup(trainer)
        self._is_set_up = True

    def _make_run(self, trainer: pl.Trainer, module: pl.LightningModule, fitting: bool) -> Run:
        """A new run; of a backbone that is already planned, it keeps the plan."""
        backbone, precision = find_backbone(module, self.settings.backbone), self.precision_plugin
        earlier, first_batches = self._run, None
        if earlier is not None and earlier.forward.backbone is backbone:
            deployment = earlier.deployment
        else:
            earlier = self._run = None
            deployment, first_batches = plan(self.settings, trainer, module, backbone, precision)
        run = self.run_class(
            self.settings, self.policies, deployment, module, precision, self.root_device, first_batches
        )
        if earlier is not None and not fitting:
            run.keep_books_of(earlier)
        return run

    @override
    def setup_optimizers(self, trainer: pl.Trainer) -> None:
        super().setup_optimizers(trainer)
        refuse_optimizers(self.optimizers, self.run.own_parameters)
        add_parameters(self.optimizers, self.run.own_parameters, CHECKPOINT_KEY)

    @override
    def process_dataloader(self, dataloader: object) -> object:
        return self.run.process_dataloader(dataloader)

    @override
    def teardown(self) -> None:
        self._is_set_up, self._checkpoint, self._step = False, None, None
        if self._run is not None:
            self._run.remove()
        super().teardown()

    # --- training ---

    @override
    def on_train_start(self) -> None:
        self.run.start_training(self.optimizers)

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        self._step = TrainingStep(self.run)
        output = self._step.evaluate(partial(super().training_step, *args, **kwargs))
        if loss_of(output) is None:  # no backward pass follows
            self._after_backward()
        return output

    @override
    def post_backward(self, closure_loss: Tensor) -> None:
        super().post_backward(closure_loss)
        self._after_backward()

    def _after_backward(self) -> None:
        if self._step is None:
            return
        optimizer_steps = not self._module.trainer.fit_loop._should_accumulate()
        self._step.after_backward(optimizer_steps)
        if not optimizer_steps:
            self._step = None

    @override
    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: pl.LightningModule | nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        output = super().optimizer_step(optimizer, closure, model, **kwargs)
        step, self._step = self._step, None
        if step is not None:
            trainer, module = self._module.trainer, self._module
            value, algorithm = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            step.after_optimizer_step(
                partial(module.configure_gradient_clipping, optimizer, value, algorithm),
                learning_rate_of(self.optimizers),
                trainer.is_last_batch,
                training_ends(trainer),
            )
            if resource := self.run.aggregation.exhausted:
                pl.utilities.rank_zero_info(f"the budget of {resource} is spent; training ends.")
                trainer.should_stop = True
        return output

    @override
    def on_train_end(self) -> None:
        self.run.aggregation.finish(learning_rate_of(self.optimizers))

    # --- validation, test and prediction ---

    def _evaluate(
        self, answer: Answer, step: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any
    ) -> Any:
        evaluation_step = self.run.evaluation_step(answer)
        with self.run.forward.running(evaluation_step):
            output = step(batch, *args, **kwargs)
        self.run.count_exits(evaluation_step, batch)
        return output

    @override
    def validation_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        return self._evaluate("cloud", super().validation_step, *args, **kwargs)

    @override
    def test_step(self, *args: Any, **kwargs: Any) -> pl.utilities.types.STEP_OUTPUT:
        return self._evaluate("cloud", super().test_step, *args, **kwargs)

    @override
    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        return self._evaluate("system", super().predict_step, *args, **kwargs)

    @override
    def on_validation_start(self) -> None:
        # A threshold that is to be calibrated does not exist yet; one that is given holds from the first epoch on.
        self.run.start_evaluation(exits=self.settings.exits.threshold is not None)

    @override
    def on_test_start(self) -> None:
        self.run.start_evaluation(exits=True)

    @override
    def on_predict_start(self) -> None:
        self.run.start_evaluation(exits=True)

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
        weights_only = "optimizer_states" not in checkpoint
        checkpoint[CHECKPOINT_KEY] = self.run.state_dict(self.optimizers, weights_only)
        super().save_checkpoint(checkpoint, filepath, storage_options)

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The user's part of the state, so that checkpoints can be exchanged with other strategies."""
        return state_excluding(self.run.own_parameters, optimizer)

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = checkpoint.get(CHECKPOINT_KEY, {}).get("optimizer") or []
        own = self.run.own_parameters
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
        require_lightning_checkpoint(checkpoint, checkpoint_path)
        return checkpoint

    @override
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        with loading_into(self.lightning_module):
            super().load_model_state_dict(checkpoint, strict)
        state = checkpoint.get(CHECKPOINT_KEY)
        if not self._is_set_up:
            self._checkpoint = state  # restored in setup, when there is a run
        elif state is not None:  # in the middle of a run, as by the learning rate finder
            self.run.restore(state)
        if state is None and not self._is_set_up:
            pl.utilities.rank_zero_warn(
                "the checkpoint was not written under CloudEdgeStrategy: its weights are loaded, and the exit head "
                "starts untrained."
            )
