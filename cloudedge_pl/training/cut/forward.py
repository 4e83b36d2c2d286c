"""How one step of somebody's LightningModule runs on a cut backbone, without the module knowing.

While a strategy is set up, the backbone's ``forward`` is this module's :class:`CutForward`: edge part, then cloud
part or exit head. For the joint loss, what the module's own step makes of the cloud's logits is recorded and computed
once more on the exit head's; where that cannot be, the step is evaluated a second time. The edge part runs once, its
output is kept.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import ExitHead, SplitChain
from cloudedge_pl.partition.codecs import Codec
from cloudedge_pl.partition.standing_in import has_hooks
from cloudedge_pl.simulation import WindowRecord
from cloudedge_pl.training.cut.tape import NotReplayable, Tape, reaches
from cloudedge_pl.training.layers.batch_norm import BatchNormMode, batch_norms, normalising
from cloudedge_pl.training.layers.small_convolutions import SmallConvolutions
from cloudedge_pl.training.nodes.replicas import Replicas

Answer = Literal["cloud", "exit", "system"]
"""Whose logits a forward pass returns: the cloud's, the exit head's, or those that the running system would give."""

LiveTensors = tuple[Any, ...]

CHECKED_STEPS = 3
"""So many times it is checked that a step does the same again; the check waits for the device."""


@dataclass(frozen=True)
class PathLogits:
    """The logits of one batch by every path.

    Args:
        cloud: of the whole network.
        exit: of the exit head; None at split points 0 and N, which have none.
        answered: what the system answers: the cloud's while it is awake, else the exit head's.
    """

    cloud: Tensor
    exit: Tensor | None
    answered: Tensor


class CutForward:
    """Stands in for a backbone's ``forward``: edge part, then exit head or cloud part.

    Args:
        chain: the backbone's split points.
        split_point: where it is cut.
        exit_head: None at split points 0 and N; it is on the edge's side of the link.
        codec: what the cloud part receives the cut tensors as; None passes them as they are.
        open_window: called with the number of samples when a step first reaches the backbone; returns its record.
        batch_norm: by which statistics the edge part normalises in training.

    Attributes:
        live: what crossed the cut in this step, an entry for each call of the backbone.
        replicas: the nodes' own weights; None runs the edge part on the backbone's.
        tape: records the step that runs, from the logits on; None records nothing.
        passes: with replicas, what is still to be differentiated for the nodes, an entry for each call of the backbone;
            who does it takes them away.
    """

    def __init__(
        self,
        chain: SplitChain,
        split_point: int,
        exit_head: ExitHead | None,
        codec: Codec | None,
        open_window: Callable[[int], WindowRecord],
        batch_norm: BatchNormMode,
    ) -> None:
        self.edge, self.cloud = chain.edge(split_point), chain.cloud(split_point)
        self.backbone, self.exit_head, self.codec = chain.backbone, exit_head, codec
        self.answer: Answer = "cloud"
        self.awake = True
        self.batch_norm: BatchNormMode = batch_norm
        self.batch_norms = batch_norms(
            chain.backbone, list(chain.edge_parameters(split_point)), list(chain.edge_buffers(split_point))
        )
        self.convolutions = SmallConvolutions(list(chain.backbone.modules()))
        self.live: list[LiveTensors] = []
        self.tape: Tape | None = None
        self.replicas: Replicas | None = None
        self.passes: list[NodePasses] = []
        self._open_window = open_window
        self._replay: _Replay | None = None
        self._inside = self._opened = False
        self._inputs: list[Tensor] = []
        self._grads: list[bool] = []
        self._exits: list[Tensor] = []
        self._checks_left = CHECKED_STEPS
        self._planned_shape: tuple[int, ...] | None = chain.live_shapes(0)[0]  # None once it was compared
        self._returned = chain.returned
        self._silent, self._split_point = chain.silent(split_point), split_point
        self._record: WindowRecord | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """[B, ...] -> logits [B, num_classes] of the path that :attr:`answer` names; outside a step, of the cloud's."""
        x, args, kwargs = self._input_of(*args, **kwargs)
        further = len(args) + sum(value is not None for value in kwargs.values())
        if further:
            raise StrategyError(
                f"{type(self.backbone).__name__} is called with {further} more arguments than its input; a backbone "
                "that is cut takes one tensor. Compute the loss from what it returns, instead of passing labels to it, "
                "or name a submodule that takes one tensor with CloudEdgeStrategy(partition=...)."
            )
        if not self._inside and self.codec is None:  # a model summary, a hook: no task of anybody's
            return type(self.backbone).forward(self.backbone, x)
        self._require_hooks_to_fire()
        if not self.backbone.training:  # where a cut changes nothing, bit for bit
            return self._returned(self._answer(x))
        with self.convolutions.as_linear():
            return self._returned(self._answer(x))

    def _input_of(self, *args: Any, **kwargs: Any) -> tuple[Tensor, tuple[Any, ...], dict[str, Any]]:
        """The samples, given in whatever way, and the other arguments."""
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
        """What a copy of the module calls: the uncut forward of its own backbone."""
        backbone = copy.deepcopy(self.backbone, memo)
        return MethodType(type(backbone).forward, backbone)

    def _answer(self, x: Tensor) -> Tensor:
        if not self._inside:
            return self._cloud(self.edge(x))
        if self._replay is not None:
            live = self._replay.next(x)
        else:
            if not self._opened:
                self._opened = True
                self._compare_with_plan(x)
                self._record = self._open_window(len(x))
                self.awake = self._record.awake
            live = self._edge(x)
            self.live.append(live)
            self._grads.append(torch.is_grad_enabled())
            if self._checks_left:
                self._inputs.append(x)
        asleep = self.answer == "system" and not self.awake
        if self.exit_head is not None and (self.answer == "exit" or asleep):
            # In a second evaluation the head is trained, though the step runs nothing of its backbone with gradients.
            frozen = self._replay is not None and not any(self._grads)
            with torch.set_grad_enabled(torch.is_grad_enabled() or frozen):
                logits = self._exit(live)
            self._exits.append(logits)
        else:
            logits = self._cloud(live)
        if self.tape is not None and self._replay is None:
            self.tape.root(x, logits)
        return logits

    def _require_hooks_to_fire(self) -> None:
        hooked = [name for name, module in self._silent.items() if has_hooks(module)]
        if hooked:
            message = (
                f"the cut at split point {self._split_point} runs through {', '.join(hooked)} of "
                f"{type(self.backbone).__name__}, which is hooked, and a module that is cut is not called. Hook "
                "modules that run whole at the edge or in the cloud, such as those inside it, or cut elsewhere: "
                "CloudEdgeStrategy(offloading={'split_point': ...})."
            )
            if self._inside:
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

    def _cloud(self, live: LiveTensors) -> Tensor:
        return self.cloud(live if self.codec is None else self.codec(live))

    def _edge(self, x: Tensor) -> LiveTensors:
        training = self.backbone.training
        if training and self.replicas is not None:
            return self._edge_by_node(x, self.replicas)
        if self.batch_norm == "shared" or not self.batch_norms or not training:
            return self.edge(x)
        order, tasks = self._by_node(len(x), x.device)
        with normalising(self.batch_norms, self.batch_norm, tasks):
            live = self.edge(x[order])
        back = _inverse(order)
        return tuple(value[back] if isinstance(value, Tensor) else value for value in live)

    def _by_node(self, samples: int, device: torch.device) -> tuple[Tensor, list[int]]:
        """The order that brings the samples of each node together, and how many each has."""
        assert self._record is not None, "a window is open"
        node = self._record.assignment.node
        if len(node) != samples:
            raise StrategyError(
                f"a step sends {len(node)} and then {samples} samples through the backbone, and only the first have "
                f'been routed to nodes; use batch_norm="shared" (it is "{self.batch_norm}") and aggregate after every '
                "step."
            )
        order = torch.from_numpy(np.argsort(node, kind="stable")).to(device, non_blocking=True)
        return order, np.bincount(node).tolist()

    def _edge_by_node(self, x: Tensor, replicas: Replicas) -> LiveTensors:
        """Every node's samples on its own weights; what crosses is cut off from them, see :class:`NodePasses`."""
        order, tasks = self._by_node(len(x), x.device)
        replicas.follow()
        parts, nodes, counts = [], [], []
        with self.convolutions.as_products():
            for node, samples in enumerate(x[order].split(tasks)):
                if len(samples):
                    # Of a single sample there may be one value a channel, which has no variance.
                    mode: BatchNormMode = "local" if len(samples) == 1 else "shared"
                    mode = "frozen" if self.batch_norm == "frozen" else mode
                    with replicas.active(node), normalising(self.batch_norms, mode, [len(samples)]):
                        parts.append(self.edge(samples))
                    nodes.append(node)
                    counts.append(len(samples))
        back = _inverse(order)
        live = tuple(_joined(values, counts, back) for values in zip(*parts, strict=True))
        if torch.is_grad_enabled():
            self.passes.append(NodePasses(nodes, counts, order, parts, live))
        return live

    def _exit(self, live: LiveTensors) -> Tensor:
        assert self.exit_head is not None
        if self.exit_head.training != self.backbone.training:
            self.exit_head.train(self.backbone.training)
        if torch.is_grad_enabled():  # inference_mode around the backbone; autograd keeps none of its tensors
            live = tuple(v.clone() if isinstance(v, Tensor) and v.is_inference() else v for v in live)
        return self.exit_head(live)

    @property
    def checks(self) -> bool:
        """Whether this step is one of the first, in which it is checked that a step does the same again."""
        return self._checks_left > 0

    @property
    def reached(self) -> bool:
        """Whether the step that runs, or ran last, has called the backbone."""
        return self._opened

    @contextmanager
    def step(self, answer: Answer) -> Iterator[None]:
        """One step of the module, in which the backbone answers by ``answer``'s path.

        :attr:`passes` stay: a validation may come between two batches whose gradients are accumulated.
        """
        self.answer, self._opened, self._inside = answer, False, True
        self.live, self._inputs, self._grads, self._exits = [], [], [], []
        try:
            yield
        finally:
            self._inside, self._inputs, self._exits, self.tape = False, [], [], None

    def exit_loss(self, loss: Tensor) -> Tensor:
        """The loss of the step that was recorded, on the exit head's logits.

        Where the step lets no gradient pass to its backbone (``no_grad``, ``detach``), the exit head, which stands in
        for that, is trained none the less. :attr:`tape` has the loss from the cloud's logits or, while the cloud
        sleeps, from the exit head's.

        Raises:
            NotReplayable: if the record does not give it.
            StrategyError: if the step keeps the gradient from a learned codec.
        """
        assert self.tape is not None, "a step is recorded"
        steps = self.tape.slice(loss)
        if self._checks_left:
            self._checks_left -= 1
            if not self.tape.check(steps, loss):
                raise NotReplayable("what is recorded of it does not give its loss again")
        detached = not self.tape.differentiable(steps, loss)
        if not (self.awake or detached):
            return loss
        if detached and self.codec is not None and next(self.codec.parameters(), None) is not None:
            raise StrategyError(
                f"the step lets no gradient pass to {type(self.backbone).__name__} (torch.no_grad, detach), and the "
                'learned codec would never be trained; take one that is not learned, such as codec="int8".'
            )
        logits = []
        for root, live in zip(self.tape.roots, self.live, strict=True):
            if detached:  # the edge part, too, is not to be trained
                live = tuple(value.detach() if isinstance(value, Tensor) else value for value in live)
            with torch.set_grad_enabled(root.grad or detached):
                logits.append(self._exit(live))
        return self.tape.replay(steps, loss, logits, "everywhere" if detached else "as recorded")

    def require_exit_gradient(self, loss: Tensor, cloud_loss: Tensor | None = None) -> None:
        """Raises StrategyError where the exit head's loss, which no record gives, does not train it.

        Args:
            loss: on the exit head's logits.
            cloud_loss: None while the cloud sleeps. Where both are the same, the loss does not depend on the logits.
        """
        if any(self._grads) and not self._checks_left:
            return
        nodes = {logits.grad_fn for logits in self._exits if logits.grad_fn is not None}
        if loss.grad_fn is not None and reaches(loss.grad_fn, nodes):
            return
        if cloud_loss is None and any(self._grads):
            return
        if cloud_loss is not None and _same(loss.detach(), cloud_loss.detach()):
            return
        raise StrategyError(
            f"the step lets no gradient pass to {type(self.backbone).__name__} (torch.no_grad, detach), and its exit "
            "head would never be trained. Freeze the backbone by requires_grad_(False) and eval() instead, or train "
            "without exit head: CloudEdgeStrategy(edge_loss_weight=0)."
        )

    @contextmanager
    def recording(self, device: torch.device) -> Iterator[None]:
        """Within a step: what it makes of the logits is recorded."""
        with Tape(device, checked=self._checks_left > 0) as self.tape:
            yield

    @contextmanager
    def replaying(self, answer: Answer) -> Iterator[None]:
        """Within a step: the same again by another path, on what the edge part gave before."""
        before, self.answer, self._replay = self.answer, answer, _Replay(self.live, self._inputs)
        try:
            yield
        finally:
            self.answer, self._replay = before, None
            self._checks_left = max(self._checks_left - 1, 0)

    def paths(self, cloud_logits: Tensor) -> PathLogits:
        """All paths of the batch that ran last, the cloud's logits being known."""
        exit_logits = None if self.exit_head is None else self._exit(self.live[-1])
        answered = cloud_logits if self.awake or exit_logits is None else exit_logits
        return PathLogits(cloud_logits, exit_logits, answered)


_PATCHED = ("forward", "__reduce_ex__")


def install(forward: CutForward) -> None:
    """Lets a backbone run by ``forward``; its pickles and copies are those of the plain backbone."""
    backbone = forward.backbone
    remove(backbone)
    backbone.forward = forward
    # pickle and deepcopy ask the object, not its class, so that neither attribute gets into what they write.
    backbone.__dict__["__reduce_ex__"] = _PlainPickle(backbone)


def remove(backbone: nn.Module) -> None:
    """Gives a backbone its own ``forward`` back."""
    for name in _PATCHED:
        backbone.__dict__.pop(name, None)


class _PlainPickle:
    """Reduces a cut backbone as its class reduces the plain one.

    Args:
        backbone: that is cut.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = backbone

    def __call__(self, protocol: Any) -> Any:
        attributes = self._backbone.__dict__
        patched = {name: attributes.pop(name) for name in _PATCHED if name in attributes}
        try:
            reduced = type(self._backbone).__reduce_ex__(self._backbone, protocol)
            if isinstance(
                reduced, tuple
            ):  # the state may be the dictionary itself, which is patched again below
                reduced = tuple(dict(part) if part is attributes else part for part in reduced)
        finally:
            attributes.update(patched)
        return reduced


class _Replay:
    """What the edge part gave in each call of the backbone, once more in turn.

    Args:
        live: of each call.
        inputs: of each call, where they are to be compared; else empty.
    """

    def __init__(self, live: Sequence[LiveTensors], inputs: Sequence[Tensor]) -> None:
        self._live, self._inputs, self._calls = live, inputs, 0

    def next(self, x: Tensor) -> LiveTensors:
        """The next one; ``x`` is what the backbone is called with now."""
        call, self._calls = self._calls, self._calls + 1
        if call >= len(self._live) or (self._inputs and not _same(x, self._inputs[call])):
            raise StrategyError(
                "for the joint loss the training step is evaluated a second time, on the exit head's logits, and then "
                "it did not give the backbone the same input: it draws from a random source that is no attribute of "
                "the module, or changes state of its own. Draw from torch's, numpy's or Python's global generators or "
                "keep the generator as an attribute, or train without exit head: "
                "CloudEdgeStrategy(edge_loss_weight=0)."
            )
        return self._live[call]


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return one is other or bool(((one == other) | ((one != one) & (other != other))).all())


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def _joined(values: Sequence[Any], counts: Sequence[int], back: Tensor) -> Any:
    """The nodes' parts of one live value in the order of the batch: a leaf, where it can have a gradient."""
    first = values[0]
    if not isinstance(first, Tensor):
        return _joined_size(values, counts)
    joined = torch.cat([value.detach() for value in values])[back]
    return joined.requires_grad_(first.requires_grad)


def _joined_size(values: Sequence[Any], counts: Sequence[int]) -> Any:
    """A number that crosses: the batch's, where it counts samples, else the same for every node."""
    if len(values) > 1 and list(values) == list(counts):
        return sum(counts)
    if any(value != values[0] for value in values):
        raise StrategyError(
            f"a value that crosses the cut differs between nodes ({sorted(set(values))}) and does not count their "
            "samples; cut elsewhere (offloading.split_point), or aggregate after every step."
        )
    return values[0]


@dataclass(frozen=True)
class NodePasses:
    """The nodes' forward passes of one call of the backbone, cut off from what the cloud makes of them.

    Args:
        nodes: those that had samples.
        counts: how many each had.
        order: the batch's samples, node by node.
        parts: what each node sent, with its graph.
        live: all of it in the order of the batch; leaves, which take up the gradient.
    """

    nodes: list[int]
    counts: list[int]
    order: Tensor
    parts: list[LiveTensors]
    live: LiveTensors

    def backward(self, position: int, scale: float) -> None:
        """Differentiates the pass of the node at ``position``, its gradient at the cut times ``scale``."""
        start = sum(self.counts[:position])
        rows = self.order[start : start + self.counts[position]]
        outputs, gradients = [], []
        for part, live in zip(self.parts[position], self.live, strict=True):
            if isinstance(live, Tensor) and live.grad is not None and part.requires_grad:
                outputs.append(part)
                gradients.append(live.grad[rows] * scale)
        if outputs:
            torch.autograd.backward(outputs, gradients)
        self.parts[position] = ()  # its graph and activations are done with


def find_backbone(module: pl.LightningModule, partition: str) -> nn.Module:
    """Returns the submodule of ``module`` that ``partition`` names, dots included; itself for "".

    Raises:
        ValueError: if there is none; the message lists the submodules there are.
    """
    try:
        backbone = module.get_submodule(partition)
    except AttributeError:
        names = [name for name, _ in module.named_children()]
        raise ValueError(
            f"{type(module).__name__} has no submodule {partition!r}, the backbone to cut. Its submodules: "
            f"{', '.join(names) or 'none'}. Name one with CloudEdgeStrategy(partition=...), or give "
            'partition="" where the module\'s own forward is the network.'
        ) from None
    return backbone
