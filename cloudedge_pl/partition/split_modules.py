"""Split points after modules that the user names, for backbones whose forward pass ``torch.fx`` cannot follow.

Every part runs the backbone's own forward pass. Modules that finish before the part do not run but return placeholders
on the meta device; the module at the part's start returns the values that crossed there; the pass ends at the module at
the part's end. A value that bypasses a named module would meet placeholders in the next part;
:func:`~cloudedge_pl.partition.traced_pass.hand_cut_pass_of` checks for that and refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from cloudedge_pl.errors import UntraceableBackboneError
from cloudedge_pl.partition.standing_in import call_of, called_by


class _Reached(BaseException):
    """Ends a pass at the named module; no Exception, because the backbone's own code might catch that."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class _Given:
    """Replaces the call of a module by a value that is known already."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        return self._value


class _Ending:
    """Calls a module, hooks and all, and ends the pass."""

    def __init__(self, module: nn.Module) -> None:
        self._call = call_of(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _Reached(self._call(*args, **kwargs))


@dataclass(frozen=True)
class HandSplit:
    """A backbone cut after named modules.

    Args:
        names: the segments' names: the named modules, then the last layer that runs.
        input: a sample [1, ...] on the meta device.
        outputs: the outputs of every module that finishes before the last split point, on the meta device.
        spans: for every module that runs, the first and the last segment 1..N in which it runs.
        parameters: the names of the parameters that each segment uses.
        buffers: the names of the buffers that each segment uses.
        output_class: class of the backbone's return value, if it holds the logits as ``.logits``; None for a tensor.
    """

    names: tuple[str, ...]
    input: Tensor
    outputs: Mapping[str, Any]
    spans: Mapping[str, tuple[int, int]]
    parameters: tuple[frozenset[str], ...]
    buffers: tuple[frozenset[str], ...]
    output_class: type | None

    def run(self, backbone: nn.Module, first: int, last: int, value: Tensor) -> Tensor:
        """Runs the segments between the split points ``first`` and ``last`` on the value that crosses at ``first``."""
        stand_ins: dict[nn.Module, Any] = {}
        x = value
        if first > 0:
            x = _placeholder(self.input, len(value))
            for name, output in self.outputs.items():
                if self.spans[name][1] <= first:
                    stand_ins[backbone.get_submodule(name)] = _Given(_placeholder(output, len(value)))
            stand_ins[backbone.get_submodule(self.names[first - 1])] = _Given(value)
        if last < len(self.names):
            module = backbone.get_submodule(self.names[last - 1])
            stand_ins[module] = _Ending(module)
        with called_by(stand_ins.items()):
            try:
                return logits_of(type(backbone).forward(backbone, x))
            except _Reached as reached:
                return reached.value

    def divided(self, split_point: int) -> set[str]:
        """The modules that begin before a split point and end after it."""
        return {name for name, (first, last) in self.spans.items() if first <= split_point < last}


class Segment:
    """One segment of a :class:`HandSplit`, as the target of a node in a graph."""

    def __init__(self, split: HandSplit, number: int) -> None:
        self.split, self.number = split, number
        self.__name__, self.__module__ = f"segment_{number}", __name__

    def __call__(self, *_args: Any) -> Any:
        raise RuntimeError("a segment runs on a backbone, by HandSplit.run")


def _placeholder(like: Any, samples: int) -> Any:
    def sized(tensor: Tensor) -> Tensor:
        return torch.empty((samples, *tensor.shape[1:]), dtype=tensor.dtype, device="meta")

    return tree_map_only(Tensor, sized, like)


def logits_of(output: Any) -> Tensor:
    """The tensor that a backbone returns, itself or as ``.logits``."""
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise UntraceableBackboneError(
            f"a backbone returns a {type(output).__name__} without logits; wrap it in a module that returns one tensor."
        )
    return logits


class _Used(TorchDispatchMode):
    """Records which parameters and buffers the operations of each segment read."""

    def __init__(self, meta_copy: nn.Module) -> None:
        super().__init__()
        self.segment = 0
        self._names: dict[int, str] = {}
        for name, tensor in (*meta_copy.named_parameters(), *meta_copy.named_buffers()):
            self._names[tensor.untyped_storage()._cdata] = name
        self.used: dict[int, set[str]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata in self._names:
                self.used.setdefault(self.segment, set()).add(self._names[leaf.untyped_storage()._cdata])
        return func(*args, **(kwargs or {}))


class _Run:
    """One pass of a backbone: when each module started and ended, and which state each segment used."""

    def __init__(self, backbone: nn.Module, names: Sequence[str]) -> None:
        self.used = _Used(backbone)
        self.order: list[str] = []
        self.started: dict[str, int] = {}
        self.ended: dict[str, tuple[int, Any]] = {}
        self.last_layer = names[-1]
        self._backbone, self._names = backbone, names

    def on(self, sample: Tensor) -> Any:
        """Runs the backbone in evaluation mode and returns its output."""
        modules = [(name, module) for name, module in self._backbone.named_modules() if name]
        handles = [module.register_forward_hook(partial(self._after, name)) for name, module in modules]
        handles += [module.register_forward_pre_hook(partial(self._before, name)) for name, module in modules]
        self._backbone.eval()
        try:
            with torch.no_grad(), self.used:
                return type(self._backbone).forward(self._backbone, sample)
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str, _module: nn.Module, _inputs: Any) -> None:
        self.started.setdefault(name, self.used.segment + 1)

    def _after(self, name: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        self.ended[name] = (self.used.segment + 1, output)
        if next(module.parameters(recurse=False), None) is not None:
            self.last_layer = name
        if name in self._names:
            self.order.append(name)
            self.used.segment += 1


def split_by_hand(meta_copy: nn.Module, sample: Tensor, names: Sequence[str]) -> HandSplit:
    """Runs a backbone on the meta device and records when its modules finish.

    Args:
        meta_copy: the backbone's copy on the meta device.
        sample: [1, ...] on the meta device.
        names: names of submodules, in the order in which they run.

    Raises:
        UntraceableBackboneError: if a name is unknown, or the modules do not run once each and in this order.
    """
    kind, modules = type(meta_copy).__name__, dict(meta_copy.named_modules())
    for name in names:
        if not name or name not in modules:
            raise UntraceableBackboneError(
                f"split_modules: {kind} has no submodule {name!r}; the names are those of named_modules()."
            )
    run = _Run(meta_copy, names)
    output = run.on(sample)
    _check_run(kind, names, run.order, {name: value for name, (_, value) in run.ended.items()})
    logits_of(output)
    parameters, buffers = dict(meta_copy.named_parameters()), dict(meta_copy.named_buffers())
    segments = [run.used.used.get(k, set()) for k in range(len(names) + 1)]
    return HandSplit(
        names=(*names, run.last_layer),
        input=sample,
        outputs={name: value for name, (at, value) in run.ended.items() if at <= len(names)},
        spans={name: (run.started[name], at) for name, (at, _) in run.ended.items()},
        parameters=tuple(frozenset(each & parameters.keys()) for each in segments),
        buffers=tuple(frozenset(each & buffers.keys()) for each in segments),
        output_class=None if isinstance(output, Tensor) else type(output),
    )


def _check_run(kind: str, names: Sequence[str], order: Sequence[str], outputs: Mapping[str, Any]) -> None:
    """Raises UntraceableBackboneError unless the named modules ran once each, in this order, and return a tensor."""
    if order != list(names):
        raise UntraceableBackboneError(
            f"split_modules: the modules of {kind} must run once each, in the order in which they are named: "
            f"{', '.join(names)}; they ran as {', '.join(order) or 'none'}."
        )
    for name in names:
        if not isinstance(outputs[name], Tensor):
            raise UntraceableBackboneError(
                f"split_modules: {name!r} returns a {type(outputs[name]).__name__}; name a module that returns one "
                "tensor."
            )
