"""One training step, from routing its samples to averaging the nodes' weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from torch import Tensor

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.training.cut.forward import Step
from cloudedge_pl.training.cut.replay import loss_of, with_loss
from cloudedge_pl.training.strategies.run import Run


class TrainingStep(Step):
    """What lives for one training step: made when it begins, dropped when its gradients are complete. In order::

        route        at the backbone's first call: the scheduler assigns every sample to a node, the link's delay is
                     drawn, the cloud is awake or asleep, and the window's seconds, joules and bytes are booked
        edge         every sample runs up to the cut on its node                        EdgePart.run
        link         the codec encodes what crosses                                     CutForward
        answer       awake: the cloud part; asleep: the exit head                       CutForward
        loss         F, by the module's own code                                        evaluate
        joint loss   awake: a F_e + b F_c; asleep: F_e                                  JointLoss
        backward     Lightning's; then the nodes' own gradients                         after_backward
        step         Lightning's; then every node's own                                 after_optimizer_step
        aggregate    failures; w = sum_i U_i w_i / sum_i U_i if it is time to           after_optimizer_step

    Args:
        run: the run it belongs to.

    Attributes:
        loss: of the step; None before it is evaluated, and if the module skips it.
    """

    def __init__(self, run: Run) -> None:
        super().__init__("system", run.open_training_window, keep_inputs=run.joint_loss.is_checked)
        self._run = run
        self.loss: Tensor | None = None

    def evaluate(self, evaluate: Callable[[], Any]) -> Any:
        """Evaluates the module's step and returns its output, with the joint loss in place of its own.

        Args:
            evaluate: calls the module's ``training_step``.

        Raises:
            StrategyError: if the step does not call the backbone, or cannot be given a joint loss.
        """
        run, joint = self._run, self._run.joint_loss
        weights = run.settings.loss_weights(run.module)
        has_exit = run.forward.exit_head is not None and weights.edge > 0
        before = joint.rewind() if has_exit else None
        with run.forward.running(self):
            with joint.recording(self) if has_exit else nullcontext():
                output = evaluate()
            answered = self.loss = loss_of(output)
            if answered is None:
                return output  # the step is skipped, or Lightning has an error to report
            if not self.reached:
                raise StrategyError(
                    f"{type(run.module).__name__}.training_step did not call its backbone {run.settings.backbone!r}; "
                    "nothing was cut. Name the submodule that it calls with CloudEdgeStrategy(backbone=...)."
                )
            if not self.awake:
                return with_loss(output, joint.asleep_loss(self, answered)) if has_exit else output
            loss = weights.cloud * answered
            if before is not None:
                exit_loss = joint.exit_loss(self, answered, before, evaluate)
                if exit_loss is not None:
                    loss = loss + weights.edge * exit_loss
        self.loss = loss.detach()
        return with_loss(output, loss)

    def after_backward(self, optimizer_steps: bool) -> None:
        """Completes the nodes' gradients; ``optimizer_steps`` says whether an optimizer step follows on this batch."""
        self._run.edge.after_backward(optimizer_steps)

    def after_optimizer_step(
        self, clip: Callable[[], None], learning_rate: float, epoch_ends: bool, training_ends: bool
    ) -> None:
        """Steps the nodes' own weights and averages them if it is time to; see :meth:`Aggregation.step`."""
        self._run.aggregation.step(self.loss, clip, learning_rate, epoch_ends, training_ends)
