"""Records what a step computes from the logits to the loss, and replays it on other logits.

While a step runs, a :class:`Tape` records every tensor operation that depends on the backbone's logits. The operations
that lead to the loss are the slice that :meth:`Tape.replay` computes on the exit head's logits. The module's own code
does not run a second time: what it logs, counts or appends happens once. Targets, weights and everything else that does
not depend on the logits keep their values.

A slice is replayed only if the result equals a second evaluation of the step; otherwise :meth:`Tape.slice` raises the
reason. The tape does not see values that leave torch's Python functions without a gradient, as in a scripted function
under ``no_grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

_SHAPES = {
    *(
        "shape",
        "dtype",
        "device",
        "layout",
        "ndim",
        "requires_grad",
        "grad_fn",
        "is_leaf",
        "_version",
        "names",
    ),
    *(
        "size",
        "dim",
        "numel",
        "nelement",
        "ndimension",
        "stride",
        "storage_offset",
        "is_contiguous",
        "__len__",
    ),
    *(
        "is_floating_point",
        "is_complex",
        "is_signed",
        "element_size",
        "get_device",
        "__hash__",
        "has_names",
        "type",
    ),
    *(
        "is_cuda",
        "is_sparse",
        "is_quantized",
        "is_meta",
        "is_mps",
        "is_nested",
        "is_inference",
        "itemsize",
        "nbytes",
    ),
    *(
        "is_cpu",
        "is_xla",
        "is_xpu",
        "is_mkldnn",
        "is_sparse_csr",
        "_backward_hooks",
        "is_conj",
        "is_neg",
        "grad",
    ),
    *("is_same_size", "is_tensor", "_is_view", "untyped_storage", "output_nr", "retains_grad", "volatile"),
}
"""Functions and attributes that do not depend on a tensor's values."""

_RANDOM = (
    "drop",
    "rand",
    "bernoulli",
    "multinomial",
    "normal",
    "gumbel",
    "rrelu",
    "poisson",
    "exponential",
    "uniform",
)
_RANDOM_WHOLE = {"scaled_dot_product_attention", "multi_head_attention_forward", "cauchy_", "geometric_"}
_NEVER = {
    "grad",
    "backward",
    "__set__",
    "set_",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "retain_grad",
}
_DETACHES = {"detach", "detach_", "data"}
_MOVES_BUFFERS = {"batch_norm", "instance_norm"}
"""Functions that change running statistics, on which their result in training does not depend."""


class NotReplayable(Exception):  # a reason, not a fault
    """The reason why a step's loss cannot be computed from its record."""


@dataclass(frozen=True)
class _Operation:
    """One call of a torch function.

    Args:
        function: the function that was called.
        inputs: its arguments, flattened.
        layout: the nesting of the arguments.
        outputs: the tensors that it returned.
        changed: the arguments that it wrote to.
        versions: versions after the call of the inputs that do not depend on the logits, by position.
        grad: whether gradients were enabled.
        autocast: the device type, whether autocast was on, and its dtype.
        random_state: the random state before a call that may draw from it, else None.
    """

    function: Callable[..., Any]
    inputs: list[Any]
    layout: TreeSpec
    outputs: list[Tensor]
    changed: list[Tensor]
    versions: dict[int, int]
    grad: bool
    autocast: tuple[str, bool, torch.dtype]
    random_state: _Draws | None


class _Draws:
    """torch's global random states at the time of construction."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)


@dataclass(frozen=True)
class Root:
    """Logits of one call of the backbone.

    Args:
        logits: the tensor that the step continues with.
        node: its node in the autograd graph.
        grad: whether gradients were enabled.
        values: a copy of the logits if the replay is checked, else None.
    """

    logits: Tensor
    node: Any
    grad: bool
    values: Tensor | None


class Tape(TorchFunctionMode):
    """Records, while it is active, what depends on the logits.

    Args:
        device: the device of the run.
        checked: whether to keep copies of the logits, for :meth:`check`.
    """

    def __init__(self, device: torch.device, checked: bool) -> None:
        super().__init__()
        self._device, self._checked = device, checked
        self.roots: list[Root] = []
        self._operations: list[_Operation] = []
        self._tainted: dict[int, Tensor] = {}  # holds the tensors: an id must not be given to another one
        self._escapes: list[tuple[int, str]] = []
        self._reason: str | None = None
        self._hooks: list[Any] = []

    def root(self, x: Tensor, logits: Tensor) -> None:
        """Records the logits that a call of the backbone on ``x`` returned."""
        if id(x) in self._tainted:
            self._reason = "the backbone's input depends on its logits"
        values = logits.detach().clone() if self._checked else None
        self.roots.append(Root(logits, logits.grad_fn, torch.is_grad_enabled(), values))
        if logits.requires_grad:
            self._hooks.append(logits.register_hook(self._differentiated))
        self._tainted[id(logits)] = logits

    def _differentiated(self, _gradient: Tensor) -> None:
        self._reason = "the step asks for a gradient"

    def __exit__(self, *args: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*args)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._tainted:
            return func(*args, **kwargs)
        inputs, layout = tree_flatten((args, kwargs))
        if not any(id(value) in self._tainted for value in inputs):
            return func(*args, **kwargs)
        name = _name(func)
        if name in _SHAPES:
            return func(*args, **kwargs)
        draws = name in _RANDOM_WHOLE or any(part in name for part in _RANDOM)
        random_state = _Draws(self._device) if draws else None
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        before = [_version(value) for value in tensors]
        result = func(*args, **kwargs)
        changed = [
            value for value, version in zip(tensors, before, strict=True) if _version(value) != version
        ]
        returned = tree_flatten(result)[0]
        outputs = [value for value in returned if isinstance(value, Tensor)]
        if name in _NEVER or any(not isinstance(value, Tensor | None) for value in returned):
            self._escapes.append((len(self._operations), name))
        versions = {
            at: _version(value)
            for at, value in enumerate(inputs)
            if isinstance(value, Tensor) and id(value) not in self._tainted
        }
        kind = self._device.type
        autocast = (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        grad = torch.is_grad_enabled()
        self._operations.append(
            _Operation(func, inputs, layout, outputs, changed, versions, grad, autocast, random_state)
        )
        if name not in _MOVES_BUFFERS:
            outputs = [*outputs, *changed]
        self._tainted.update((id(value), value) for value in outputs)
        return result

    def slice(self, loss: Tensor) -> list[_Operation]:
        """Returns the operations that lead from the logits to the loss, in order.

        Raises:
            NotReplayable: if repeating them would not equal the step itself on other logits.
        """
        if self._reason is not None:
            raise NotReplayable(self._reason)
        if id(loss) not in self._tainted:
            raise NotReplayable("the loss is not made of the logits by torch's own functions")
        needed, last, steps = {_memory(loss)}, -1, []
        for at in reversed(range(len(self._operations))):
            each = self._operations[at]
            if any(_memory(value) in needed for value in (*each.outputs, *each.changed)):
                last = max(last, at)
                steps.append(each)
                needed |= {_memory(v) for at_, v in enumerate(each.inputs) if self._varies(each, at_)}
        for position, name in self._escapes:
            if position <= last:
                raise NotReplayable(
                    f"{name} is called on a tensor that depends on the logits before the loss is made"
                )
        nodes = {root.node for root in self.roots if root.node is not None}
        for each in steps:
            self._require_constants(each, nodes)
        return steps[::-1]

    def differentiable(self, steps: Sequence[_Operation], loss: Tensor) -> bool:
        """Whether a gradient flows from the loss to the logits: neither ``no_grad`` nor ``detach`` is in between."""
        flows = {id(root.logits) for root in self.roots if root.grad}
        for each in steps:
            passes = each.grad and _name(each.function) not in _DETACHES
            if passes and any(id(value) in flows for value in each.inputs):
                flows.update(id(value) for value in (*each.outputs, *each.changed))
        return id(loss) in flows

    @staticmethod
    def _varies(operation: _Operation, at: int) -> bool:
        return isinstance(operation.inputs[at], Tensor) and at not in operation.versions

    @staticmethod
    def _require_constants(operation: _Operation, nodes: set[Any]) -> None:
        name = _name(operation.function)
        if not operation.grad and any(value.grad_fn is not None for value in operation.outputs):
            raise NotReplayable("a torch.autograd.Function has a gradient of its own, which is not recorded")
        changed = {id(value) for value in operation.changed}
        for at, version in operation.versions.items():
            value = operation.inputs[at]
            if id(value) in changed and name not in _MOVES_BUFFERS:
                raise NotReplayable(f"{name} writes values that depend on the logits to another tensor")
            if id(value) not in changed and _version(value) != version:
                raise NotReplayable(f"an argument of {name} is changed later in the step")
            if value.grad_fn is not None and reaches(value.grad_fn, nodes):
                raise NotReplayable(
                    f"an argument of {name} is made of the logits by something else than torch's own functions"
                )

    def check(self, steps: Sequence[_Operation], loss: Tensor) -> bool:
        """Whether the slice reproduces the loss on the same logits; waits for the device."""
        logits = [root.values for root in self.roots if root.values is not None]
        with torch.no_grad():
            replayed = self.replay(steps, loss, logits, grad="nowhere")
        return bool(torch.equal(replayed, loss) or (replayed != replayed).logical_and(loss != loss).all())

    def replay(
        self,
        steps: Sequence[_Operation],
        loss: Tensor,
        logits: Sequence[Tensor],
        grad: Literal["as recorded", "everywhere", "nowhere"] = "as recorded",
    ) -> Tensor:
        """Returns the loss on other logits.

        Args:
            steps: what :meth:`slice` returned for the loss.
            loss: the loss of the step.
            logits: one tensor for each of :attr:`roots`.
            grad: where gradients are computed; "everywhere" includes ``no_grad`` and ``detach``.
        """
        values = {id(root.logits): each for root, each in zip(self.roots, logits, strict=True)}
        now = _Draws(self._device) if any(each.random_state is not None for each in steps) else None
        for each in steps:
            inputs = [values.get(id(value), value) for value in each.inputs]
            if _name(each.function) in _MOVES_BUFFERS:  # they have moved once
                inputs = [
                    inputs[at].clone() if at in each.versions and not inputs[at].requires_grad else inputs[at]
                    for at in range(len(inputs))
                ]
            args, kwargs = tree_unflatten(inputs, each.layout)
            if grad == "everywhere" and _name(each.function) in _DETACHES:
                values.update((id(old), inputs[0]) for old in each.outputs)
                continue
            with ExitStack() as stack:
                enabled = each.grad if grad == "as recorded" else grad == "everywhere"
                stack.enter_context(torch.set_grad_enabled(enabled))
                kind, on, dtype = each.autocast
                if on != torch.is_autocast_enabled(kind) or dtype != torch.get_autocast_dtype(kind):
                    stack.enter_context(torch.autocast(kind, dtype, enabled=on))
                if each.random_state is not None:
                    each.random_state.restore()
                result = each.function(*args, **kwargs)
            outputs = [value for value in tree_flatten(result)[0] if isinstance(value, Tensor)]
            values.update((id(old), new) for old, new in zip(each.outputs, outputs, strict=True))
        if now is not None:
            now.restore()
        return values[id(loss)]


def _name(function: Any) -> str:
    """The name of a torch function, or of the property that it reads."""
    name = getattr(function, "__name__", type(function).__name__)
    owner = getattr(function, "__self__", None)
    return getattr(owner, "__name__", name) if name == "__get__" else name


def _version(value: Tensor) -> int:
    return -1 if value.is_inference() else value._version


def _memory(value: Tensor) -> int:
    """An identifier that all views of one memory share."""
    try:
        return value.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without one
        return id(value)


def reaches(start: Any, nodes: Iterable[Any]) -> bool:
    """Whether the autograd graph leads from ``start`` to one of ``nodes``."""
    nodes, seen, open_ = set(nodes), set(), [start]
    while open_:
        node = open_.pop()
        if node in nodes:
            return True
        if node not in seen:
            seen.add(node)
            open_ += [following for following, _ in node.next_functions if following is not None]
    return False
