"""The joint loss a F_e + b F_c of a step that a user wrote for one loss (Xu 2020, Sec. 2.4).

The module's own code computes F from the logits that the backbone returns. While the cloud is awake these are the
cloud's, and F_e is what the same code would compute from the exit head's. That computation is recorded on a
:class:`~cloudedge_pl.training.cut.tape.Tape` and replayed on the exit head's logits; a step that cannot be replayed is
evaluated a second time. The edge part runs once in either case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cloudedge_pl.errors import StrategyError, require_range
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.cut.forward import CutForward, Repeat, Step, same_values
from cloudedge_pl.training.cut.replay import Rewind, Undo, is_compiled, loss_of, unobserved
from cloudedge_pl.training.cut.tape import NotReplayable, Tape, reaches

EDGE_LOSS_WEIGHT = 0.3
"""The default of a, the weight of the exit head's loss."""

CLOUD_LOSS_WEIGHT = 1.0
"""The default of b, the weight of the cloud's loss."""

CHECKED_STEPS = 3
"""Number of steps at the start in which it is checked that a repeated step computes the same; each waits for the
device."""


@dataclass(frozen=True)
class LossWeights:
    """The weights of the joint loss.

    Args:
        edge: the paper's a, >= 0; at 0 the exit head is not trained.
        cloud: the paper's b, >= 0.
    """

    edge: float = EDGE_LOSS_WEIGHT
    cloud: float = CLOUD_LOSS_WEIGHT

    def __post_init__(self) -> None:
        for name in ("edge", "cloud"):
            weight = {f"{name}_loss_weight": getattr(self, name)}
            require_range("CloudEdgeStrategy", 0, float("inf"), open_high=True, **weight)

    @classmethod
    def of(cls, module: pl.LightningModule, edge: float | None, cloud: float | None) -> LossWeights:
        """The weights that are given; for None the module's attribute of the name, else the default."""
        edge = getattr(module, "edge_loss_weight", EDGE_LOSS_WEIGHT) if edge is None else edge
        cloud = getattr(module, "cloud_loss_weight", CLOUD_LOSS_WEIGHT) if cloud is None else cloud
        return cls(edge, cloud)


class JointLoss:
    """Computes the exit head's loss of the steps of one module.

    Args:
        module: whose steps run.
        forward: stands in for its backbone.
        precision: of the run.
        device: of the run.
    """

    def __init__(
        self,
        module: pl.LightningModule,
        forward: CutForward,
        precision: pl.plugins.Precision,
        device: torch.device,
    ) -> None:
        self._module, self._forward = module, forward
        self._precision, self._device = precision, device
        self.records = not is_compiled(module)
        self._checks_left = CHECKED_STEPS

    @property
    def is_checked(self) -> bool:
        """Whether the step is one of the first, whose repetition is compared with it."""
        return self._checks_left > 0

    def rewind(self) -> Rewind:
        """The random states before a step."""
        return Rewind(self._module, self._forward.backbone, self._device)

    @contextmanager
    def recording(self, step: Step) -> Iterator[None]:
        """Inside, what the module computes from the logits is recorded, unless its steps cannot be replayed."""
        if not self.records:
            yield
            return
        with Tape(self._device, checked=self.is_checked) as step.tape:
            yield

    def asleep_loss(self, step: Step, loss: Tensor) -> Tensor:
        """The loss of a step that the exit head answered, in a form that trains the head."""
        exit_loss = self._replayed(step, loss)
        if exit_loss is None:
            self._require_exit_gradient(step, loss)
            return loss
        return exit_loss

    def exit_loss(
        self, step: Step, cloud_loss: Tensor, before: Rewind, evaluate: Callable[[], Any]
    ) -> Tensor | None:
        """The exit head's loss of a step that the cloud answered.

        Args:
            step: the step, which has been evaluated.
            cloud_loss: its loss.
            before: the random states before it, so that augmentation and noise are the same for both losses.
            evaluate: evaluates it again.

        Returns:
            The loss; None if the step, evaluated again, returns none.
        """
        replayed = self._replayed(step, cloud_loss)
        if replayed is not None:
            return replayed
        after = before.now()
        before.restore()
        undo = Undo(self._module, self._forward.backbone, "parameters" if self.is_checked else "none")
        try:
            with self._repeating(step), unobserved(self._module, self._forward.backbone):
                exit_loss = self._evaluated(evaluate)
        finally:
            undo.restore_or_refuse()
        after.restore()
        if exit_loss is not None:
            self._require_exit_gradient(step, exit_loss, cloud_loss)
        return exit_loss

    def _replayed(self, step: Step, loss: Tensor) -> Tensor | None:
        """The exit head's loss from the step's record; None if only a second evaluation computes it."""
        if step.tape is None:
            return None
        try:
            with self._precision.train_step_context():
                return self._from_record(step, step.tape, loss)
        except NotReplayable as reason:
            self.records = False
            pl.utilities.rank_zero_info(
                f"{type(self._module).__name__}.training_step is evaluated twice, for the cloud's and for the exit "
                f"head's loss, because it cannot be replayed from its record: {reason}."
            )
            return None

    def _from_record(self, step: Step, tape: Tape, loss: Tensor) -> Tensor:
        """The recorded loss, on the exit head's logits.

        If the step lets no gradient pass to its backbone (``no_grad``, ``detach``), the exit head, which stands in for
        the backbone, is trained nonetheless. The record is of the cloud's logits or, while the cloud sleeps, of the
        exit head's.

        Raises:
            NotReplayable: if the record does not determine it.
            StrategyError: if the step keeps the gradient from a learned codec.
        """
        operations = tape.slice(loss)
        if self._checks_left:
            self._checks_left -= 1
            if not tape.check(operations, loss):
                raise NotReplayable("what is recorded of it does not give its loss again")
        detached = not tape.differentiable(operations, loss)
        if not (step.awake or detached):
            return loss
        codec = self._forward.codec
        if detached and codec is not None and next(codec.parameters(), None) is not None:
            raise StrategyError(
                f"the step lets no gradient pass to {self._backbone_name} (torch.no_grad, detach), and the "
                'learned codec would never be trained; take one that is not learned, such as codec="int8".'
            )
        logits = []
        for root, live in zip(tape.roots, step.live, strict=True):
            if detached:  # the edge part is not to be trained either
                live = tuple(value.detach() if isinstance(value, Tensor) else value for value in live)
            with torch.set_grad_enabled(root.grad or detached):
                logits.append(self._forward.exit_logits(live))
        return tape.replay(operations, loss, logits, "everywhere" if detached else "as recorded")

    @contextmanager
    def _repeating(self, step: Step) -> Iterator[None]:
        """Inside, the step answers by the exit head, from what the edge part sent before."""
        answer, step.answer, step.repeat = step.answer, "exit", Repeat(step.live, step.inputs)
        try:
            yield
        finally:
            step.answer, step.repeat = answer, None
            self._checks_left = max(self._checks_left - 1, 0)

    def _evaluated(self, evaluate: Callable[[], Any]) -> Tensor | None:
        try:
            return loss_of(evaluate())
        except StrategyError:
            raise
        except RuntimeError as e:
            raise StrategyError(
                f"{type(self._module).__name__}.training_step fails when it is evaluated a second time, on the exit "
                "head's logits: what it asks of the edge part's graph, such as the gradient of its input, is computed "
                f"once. Train without exit head: CloudEdgeStrategy(edge_loss_weight=0). ({e})"
            ) from e

    def _require_exit_gradient(self, step: Step, loss: Tensor, cloud_loss: Tensor | None = None) -> None:
        """Raises StrategyError if the exit head's loss, computed without a record, does not train the head.

        Args:
            step: the step.
            loss: on the exit head's logits.
            cloud_loss: None while the cloud sleeps. If both are equal, the loss does not depend on the logits.
        """
        if any(step.grads) and not self._checks_left:
            return
        nodes = {logits.grad_fn for logits in step.exit_logits if logits.grad_fn is not None}
        if loss.grad_fn is not None and reaches(loss.grad_fn, nodes):
            return
        if cloud_loss is None and any(step.grads):
            return
        if cloud_loss is not None and same_values(loss.detach(), cloud_loss.detach()):
            return
        raise StrategyError(
            f"the step lets no gradient pass to {self._backbone_name} (torch.no_grad, detach), and its exit head would "
            "never be trained. Freeze the backbone by requires_grad_(False) and eval() instead, or train without exit "
            "head: CloudEdgeStrategy(edge_loss_weight=0)."
        )

    @property
    def _backbone_name(self) -> str:
        return type(self._forward.backbone).__name__
