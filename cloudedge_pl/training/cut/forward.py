"""What stands in for a backbone's ``forward`` while it is cut, and the step of the user's module that calls it.

While a strategy is set up, the backbone's ``forward`` is a :class:`CutForward`: edge part, then cloud part or exit
head. The module does not know. What lives for one step is in a :class:`Step`, which is there between
:meth:`CutForward.running` and its end.

Which of the two answers counts is decided elsewhere. For a whole window the dormancy rule decides, in
:attr:`Step.record`: while the cloud sleeps, the exit head answers. While it is awake in a test or prediction, an exit
policy decides for each sample, in :attr:`Step.decision`: see :mod:`cloudedge_pl.training.cut.early_exit`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import ExitHead, SplitChain
from cloudedge_pl.partition.codecs import Codec
from cloudedge_pl.partition.standing_in import has_hooks
from cloudedge_pl.simulation import Window, WindowRecord
from cloudedge_pl.training.cut.early_exit import Decide, Decision
from cloudedge_pl.training.cut.tape import Tape
from cloudedge_pl.training.layers.small_convolutions import SmallConvolutions
from cloudedge_pl.training.nodes.edge import CutTensors, EdgePart

Answer = Literal["cloud", "exit", "system"]
"""Whose logits a forward pass returns: the cloud's, the exit head's, or those that the running system would give."""

OpenWindow = Callable[[int], Window]
"""Takes a number of samples, routes them and returns the record of their window."""


@dataclass(frozen=True)
class PathLogits:
    """The logits of one batch by every path.

    Args:
        cloud: logits of the whole network.
        exit: logits of the exit head; None at split points 0 and N, which have none.
        answered: what the system answers: the exit head's logits while the cloud sleeps and of samples that exit, else
            the cloud's.
    """

    cloud: Tensor
    exit: Tensor | None
    answered: Tensor


class Step:
    """What lives for one step of the user's module on the cut backbone.

    Args:
        answer: by which path the backbone answers.
        open_window: called with the number of samples at the first call of the backbone; it routes them, draws the
            link, decides whether the cloud sleeps, and returns the window's record.
        keep_inputs: whether to keep the backbone's inputs, so that a second evaluation can be compared with them.
        decide: takes the exit head's logits and decides which samples exit; None lets none exit.

    Attributes:
        record: the window; None before the first call of the backbone.
        decision: which samples of the last call exit; it is there before the window opens. None if nothing decides.
        answers: of each call about which something was decided: the decision and the cloud's logits, None where the
            cloud did not run.
        live: what crossed the cut, one entry for each call of the backbone.
        grads: whether gradients were enabled, likewise.
        inputs: the backbone's inputs, likewise; empty unless they are kept.
        exit_logits: what the exit head returned, in order.
        tape: records what the module computes from the logits; None records nothing.
        repeat: gives what crossed the cut again while the step is evaluated a second time.
    """

    def __init__(
        self,
        answer: Answer,
        open_window: OpenWindow,
        keep_inputs: bool = False,
        decide: Decide | None = None,
    ) -> None:
        self.answer: Answer = answer
        self.decide = decide
        self.record: Window | None = None
        self.decision: Decision | None = None
        self.answers: list[tuple[Decision, Tensor | None]] = []
        self.live: list[CutTensors] = []
        self.grads: list[bool] = []
        self.inputs: list[Tensor] = []
        self.exit_logits: list[Tensor] = []
        self.tape: Tape | None = None
        self.repeat: Repeat | None = None
        self._open_window, self._keep_inputs = open_window, keep_inputs

    @property
    def awake(self) -> bool:
        """Whether the cloud is awake in this step's window."""
        return self.record is None or self.record.awake

    @property
    def reached(self) -> bool:
        """Whether the step has called the backbone."""
        return self.record is not None

    def route(self, num_samples: int) -> Window:
        """Opens the step's window at the first call of the backbone."""
        if self.record is None:
            self.record = self._open_window(num_samples)
        return self.record

    def note_call(self, x: Tensor, live: CutTensors) -> None:
        """Notes one call of the backbone and what crossed the cut in it."""
        self.live.append(live)
        self.grads.append(torch.is_grad_enabled())
        if self._keep_inputs:
            self.inputs.append(x)


class CutForward:
    """Stands in for a backbone's ``forward``: edge part, then exit head or cloud part.

    Args:
        chain: the backbone's split points.
        split_point: where it is cut.
        exit_head: the head on the edge's side of the link; None at split points 0 and N.
        codec: encodes what the cloud part receives; None passes it unchanged.
        edge: the edge part in training.

    Attributes:
        step: the step that runs; None outside steps.
    """

    def __init__(
        self,
        chain: SplitChain,
        split_point: int,
        exit_head: ExitHead | None,
        codec: Codec | None,
        edge: EdgePart,
    ) -> None:
        self.backbone, self.exit_head, self.codec = chain.backbone, exit_head, codec
        self.edge = edge
        self.step: Step | None = None
        self._whole_edge, self._cloud = chain.edge(split_point), chain.cloud(split_point)
        self._convolutions = SmallConvolutions(list(chain.backbone.modules()))
        self._planned_shape: tuple[int, ...] | None = chain.live_shapes(0)[0]  # None once it was compared
        self._returned = chain.returned
        self._silent, self._split_point = chain.silent(split_point), split_point

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """[B, ...] -> logits [B, num_classes] of the path that the step asks for; outside a step, of the cloud's."""
        x, args, kwargs = self._input_of(*args, **kwargs)
        further = len(args) + sum(value is not None for value in kwargs.values())
        if further:
            raise StrategyError(
                f"{type(self.backbone).__name__} is called with {further} more arguments than its input; a backbone "
                "that is cut takes one tensor. Compute the loss from what it returns, instead of passing labels to it, "
                "or name a submodule that takes one tensor with CloudEdgeStrategy(backbone=...)."
            )
        if self.step is None and self.codec is None:  # a model summary or a hook: no task of the fleet
            return type(self.backbone).forward(self.backbone, x)
        self._require_hooks_to_fire()
        if not self.backbone.training:  # bit for bit the uncut network
            return self._returned(self._answer(x))
        with self._convolutions.as_linear():
            return self._returned(self._answer(x))

    def _input_of(self, *args: Any, **kwargs: Any) -> tuple[Tensor, tuple[Any, ...], dict[str, Any]]:
        """The samples, positional or by name, and the other arguments."""
        if args:
            return args[0], args[1:], kwargs
        name = list(inspect.signature(type(self.backbone).forward).parameters)[1]
        if name not in kwargs:
            raise StrategyError(
                f"{type(self.backbone).__name__} is called without its input {name!r}; a backbone that is cut takes "
                "one tensor."
            )
        return kwargs.pop(name), args, kwargs

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., Tensor]:
        """The forward of a copied module: the uncut forward of the copy's own backbone."""
        backbone = copy.deepcopy(self.backbone, memo)
        return MethodType(type(backbone).forward, backbone)

    def _answer(self, x: Tensor) -> Tensor:
        """Route, edge, link and answer of one call of the backbone."""
        step = self.step
        if step is None:
            return self._in_cloud(self._whole_edge(x))
        live = self._at_edge(x, step) if step.repeat is None else step.repeat.next(x)
        if step.decision is not None:
            return self._decided(live, step, step.decision)
        if self.exit_head is not None and (
            step.answer == "exit" or (step.answer == "system" and not step.awake)
        ):
            # A second evaluation trains the head even if the step runs its backbone without gradients.
            frozen = step.repeat is not None and not any(step.grads)
            with torch.set_grad_enabled(torch.is_grad_enabled() or frozen):
                logits = self.exit_logits(live)
            step.exit_logits.append(logits)
        else:
            logits = self._in_cloud(live)
        if step.tape is not None and step.repeat is None:
            step.tape.root(x, logits)
        return logits

    def _at_edge(self, x: Tensor, step: Step) -> CutTensors:
        if not step.reached:
            self._compare_with_plan(x)
        if step.decide is not None and self.exit_head is not None:
            live = self._whole_edge(x)
            step.decision = step.decide(self.exit_logits(live))
            step.route(len(x))  # who exits is known when the window opens
        else:
            record = step.route(len(x))
            if self.backbone.training and isinstance(record, WindowRecord):
                live = self.edge.run(x, record.assignment)
            else:
                live = self._whole_edge(x)
        step.note_call(x, live)
        return live

    def _decided(self, live: CutTensors, step: Step, decision: Decision) -> Tensor:
        """The answer of a call in which samples may exit; the cloud runs unless nobody needs its answer."""
        in_cloud = step.answer == "cloud" or (step.awake and not decision.all_exit)
        cloud_logits = self._in_cloud(live) if in_cloud else None
        step.answers.append((decision, cloud_logits))
        if cloud_logits is None:
            return decision.logits
        return cloud_logits if step.answer == "cloud" else decision.answered(cloud_logits, step.awake)

    def _in_cloud(self, live: CutTensors) -> Tensor:
        return self._cloud(live if self.codec is None else self.codec(live))

    def exit_logits(self, live: CutTensors) -> Tensor:
        """The exit head's logits of what crossed the cut."""
        assert self.exit_head is not None
        if self.exit_head.training != self.backbone.training:
            self.exit_head.train(self.backbone.training)
        if torch.is_grad_enabled():  # autograd keeps no tensor of an inference_mode around the backbone
            live = tuple(v.clone() if isinstance(v, Tensor) and v.is_inference() else v for v in live)
        return self.exit_head(live)

    def paths(self, cloud_logits: Tensor) -> PathLogits:
        """All paths of the step's last batch, given the cloud's logits.

        Raises:
            StrategyError: outside a step that has called the backbone.
        """
        step = self.step
        if step is None or not step.live:
            raise StrategyError(
                "paths are of the batch that a step runs: call this in a step, after the backbone."
            )
        if step.decision is not None:
            answered = step.decision.answered(cloud_logits, step.awake)
            return PathLogits(cloud_logits, step.decision.logits, answered)
        exit_logits = None if self.exit_head is None else self.exit_logits(step.live[-1])
        answered = cloud_logits if step.awake or exit_logits is None else exit_logits
        return PathLogits(cloud_logits, exit_logits, answered)

    @contextmanager
    def running(self, step: Step) -> Iterator[None]:
        """Inside, the backbone's calls are those of ``step``."""
        self.step = step
        try:
            yield
        finally:
            self.step = None

    def _require_hooks_to_fire(self) -> None:
        hooked = [name for name, module in self._silent.items() if has_hooks(module)]
        if hooked:
            message = (
                f"the cut at split point {self._split_point} runs through {', '.join(hooked)} of "
                f"{type(self.backbone).__name__}, which is hooked, and a module that is cut is not called. Hook "
                "modules that run whole at the edge or in the cloud, such as those inside it, or cut elsewhere: "
                "CloudEdgeStrategy(offloading={'split_point': ...})."
            )
            if self.step is not None:
                raise StrategyError(message)
            pl.utilities.rank_zero_warn(message)

    def _compare_with_plan(self, x: Tensor) -> None:
        if self._planned_shape is not None and tuple(x.shape[1:]) != self._planned_shape:
            pl.utilities.rank_zero_warn(
                f"samples of shape {tuple(x.shape[1:])} reach {type(self.backbone).__name__}, and the plan's bytes and "
                f"seconds are for {self._planned_shape}. Give CloudEdgeStrategy(example_input=torch.zeros"
                f"{(1, *x.shape[1:])}), or set the module's example_input_array."
            )
            self._planned_shape = None


class Repeat:
    """Gives what crossed the cut in each call of the backbone once more, in the same order.

    Args:
        live: of each call.
        inputs: of each call, to be compared with those of the repetition; empty compares nothing.
    """

    def __init__(self, live: Sequence[CutTensors], inputs: Sequence[Tensor]) -> None:
        self._live, self._inputs, self._calls = live, inputs, 0

    def next(self, x: Tensor) -> CutTensors:
        """What crossed in the next call; ``x`` is the backbone's input now."""
        call, self._calls = self._calls, self._calls + 1
        if call >= len(self._live) or (self._inputs and not same_values(x, self._inputs[call])):
            raise StrategyError(
                "for the joint loss the training step is evaluated a second time, on the exit head's logits, and then "
                "it did not give the backbone the same input: it draws from a random source that is no attribute of "
                "the module, or changes state of its own. Draw from torch's, numpy's or Python's global generators or "
                "keep the generator as an attribute, or train without exit head: "
                "CloudEdgeStrategy(edge_loss_weight=0)."
            )
        return self._live[call]


def same_values(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, with nan equal to nan; waits for the device."""
    if one.shape != other.shape:
        return False
    return one is other or bool(((one == other) | ((one != one) & (other != other))).all())
