"""A backbone's forward pass as a ``torch.fx`` graph, traced on a copy without memory.

The copy has its parameters and buffers on the meta device, so tracing a large backbone needs no memory and changes
nothing of it.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import linecache
import random
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from cloudedge_pl.errors import UntraceableBackboneError
from cloudedge_pl.partition.containers import Call, node_of
from cloudedge_pl.partition.standing_in import without_hooks


def make_meta_copy(backbone: nn.Module) -> nn.Module:
    """Returns a copy of ``backbone`` with its tensors on the meta device; structure, names and ties are the same.

    Scalars stay real, because layers may read them as Python numbers. Tensors that are plain attributes stay real
    until :func:`drop_plain_tensors`, because the forward pass may compute with them while it is traced.

    Raises:
        UntraceableBackboneError: if it is compiled, cannot be copied, or has parameters without a shape.
    """
    if isinstance(backbone, torch.jit.ScriptModule) or hasattr(backbone, "_orig_mod"):
        raise UntraceableBackboneError(
            f"{type(backbone).__name__} is compiled; cut the module that it was made from (torch.compile keeps it as "
            "._orig_mod)."
        )
    memo: dict[int, Any] = {}
    for module in backbone.modules():
        for name, tensor in itertools.chain(module._parameters.items(), module._buffers.items()):
            if tensor is not None and is_lazy(tensor):
                raise UntraceableBackboneError(
                    f"{type(backbone).__name__}: {name!r} of a {type(module).__name__} has no shape yet; run "
                    "the backbone once on a sample before it is cut."
                )
            if tensor is not None and id(tensor) not in memo:
                memo[id(tensor)] = _on_meta_device(tensor)
        memo.update((id(value), value) for value in vars(module).values() if isinstance(value, Tensor))
    try:
        with without_hooks(backbone):  # which are not to run on what has no values
            return copy.deepcopy(backbone, memo)
    except Exception as error:
        raise UntraceableBackboneError(
            f"{type(backbone).__name__} cannot be copied ({type(error).__name__}: {error}); keep locks, open "
            "files and generators out of the backbone's attributes."
        ) from error


def _on_meta_device(tensor: Tensor) -> Tensor:
    """A scalar is copied, anything larger loses its values; a parameter stays a parameter."""
    copied = tensor.detach().clone() if tensor.ndim == 0 else torch.empty_like(tensor, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copied, requires_grad=tensor.requires_grad)
    return copied


def drop_plain_tensors(meta_copy: nn.Module) -> None:
    """Moves tensors that are plain attributes of the copy to the meta device, after tracing."""
    for module in meta_copy.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and value.ndim > 0:
                setattr(module, name, value.to("meta"))


class Constant:
    """The target of a node for a tensor that the forward pass makes itself; it follows the backbone's device."""

    def __init__(self, tensor: Tensor, backbone: nn.Module, number: int) -> None:
        self.tensor, self.backbone = tensor, backbone
        self.__name__, self.__module__ = f"constant_{number}", __name__

    def __call__(self) -> Tensor:
        self.tensor = self.tensor.to(next(self.backbone.parameters()).device)
        return self.tensor


class _Tracer(fx.Tracer):
    """Keeps torch.nn's layers and every module without children whole; reads tensor attributes when the graph runs."""

    def __init__(self, meta_copy: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self._backbone = backbone
        self._constants = itertools.count()
        self.calls: list[Call] = []
        self._names = {
            id(tensor): name for name, tensor in (*meta_copy.named_parameters(), *meta_copy.named_buffers())
        }

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or next(m.children(), None) is None

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if type(m) is nn.TransformerEncoder and len(args) == 1 and not any(kwargs.values()):
            # Without masks it is a plain stack of layers; its own forward branches on its input.
            run: Callable[..., Any] = partial(_layer_by_layer, m)
        elif self.is_leaf_module(m, self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)
        else:
            run = partial(super().call_module, m, forward)
        before = len(self.graph.nodes)
        output = run(args, kwargs)
        nodes = tuple(itertools.islice(self.graph.nodes, before, None))
        self.calls.append(
            Call(self.path_of_module(m), node_of(args), node_of(kwargs), node_of(output), nodes)
        )
        return output

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        name = self._names.get(id(attr_val)) if isinstance(attr_val, Tensor) else None
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor) and id(a) not in self._names and a not in self.tensor_attrs:
            if a.is_meta:
                raise RuntimeError(
                    "it computes with parameters that it did not read as attributes (self.<name>)"
                )
            return self.create_node(
                "call_function", Constant(a, self._backbone, next(self._constants)), (), {}
            )
        return super().create_arg(a)


def _layer_by_layer(encoder: nn.TransformerEncoder, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    (tokens,) = args
    for layer in encoder.layers:
        tokens = layer(tokens)
    return tokens if encoder.norm is None else encoder.norm(tokens)


def follow(meta_copy: nn.Module, backbone: nn.Module, training: bool) -> tuple[fx.Graph, tuple[Call, ...]]:
    """Traces the copy's forward pass in one mode.
    Args:
        meta_copy: the copy made by :func:`make_meta_copy`; this sets its mode.
        backbone: names error messages, and gives the device of tensors that the forward pass makes.
        training: True for training mode, False for evaluation mode.

    Returns:
        The graph, with one placeholder and one node as its output; the calls of the modules that were traced inside.

    Raises:
        UntraceableBackboneError: with the reason and the fix.
    """
    name = type(backbone).__name__
    meta_copy.train(training)
    before = _random_states()
    try:
        tracer = _Tracer(meta_copy, backbone)
        graph = tracer.trace(meta_copy, _defaults(meta_copy))
    except UntraceableBackboneError:
        raise
    except Exception as error:
        raise UntraceableBackboneError(
            f"{name} cannot be traced: {first_line(error)}{_place(error)}. Its forward pass must not "
            "branch, loop or index on values of the input; put such a step into a module of its own without "
            "children, which is kept whole, or name the modules to cut after: split_modules=[...]."
        ) from error
    if _random_states() != before:
        raise UntraceableBackboneError(
            f"{name} draws random numbers in its forward pass outside of any layer, and tracing would fix "
            "them. Put the draw into a module of its own without children, which is kept whole."
        )
    _drop_further_inputs(graph, name)
    result = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if not isinstance(result, fx.Node):
        raise wrong_output(name, type(result).__name__.removeprefix("immutable_"), training)
    return graph, tuple(tracer.calls)


def wrong_output(name: str, what: str, training: bool) -> UntraceableBackboneError:
    """The error for an output that is not one tensor of logits or features; ``what`` names what it is."""
    mode = "training" if training else "evaluation"
    return UntraceableBackboneError(
        f"{name} returns a {what} in {mode} mode; a backbone returns one tensor, logits [B, num_classes] or "
        "features [B, ...]. Build it without auxiliary outputs (aux_logits=False in torchvision), or wrap it in a "
        "module that returns the logits."
    )


def _defaults(meta_copy: nn.Module) -> dict[str, Any] | None:
    """The defaults of the forward pass's arguments after the first; tracing fixes them."""
    name = type(meta_copy).__name__
    arguments = list(inspect.signature(type(meta_copy).forward).parameters.values())[1:]
    named = [a for a in arguments if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    if not named:
        raise UntraceableBackboneError(
            f"{name}.forward names no argument; a backbone takes the samples as its first argument."
        )
    missing = [argument.name for argument in named[1:] if argument.default is argument.empty]
    if missing:
        raise UntraceableBackboneError(
            f"{name}.forward needs {', '.join(missing)} besides the samples; a backbone takes one tensor. "
            "Give the others defaults, or wrap it in a module that fills them in."
        )
    return {argument.name: argument.default for argument in named[1:]} or None


def _drop_further_inputs(graph: fx.Graph, name: str) -> None:
    """Erases the placeholders of fixed arguments and the assertions that fx makes about them."""
    for placeholder in [node for node in graph.nodes if node.op == "placeholder"][1:]:
        dependent = {placeholder}
        for node in graph.nodes:
            if not dependent.isdisjoint(node.all_input_nodes):
                dependent.add(node)
        for node in reversed(graph.nodes):
            if node in dependent:
                if node.users or node.op == "output":
                    raise UntraceableBackboneError(
                        f"{name}.forward uses {placeholder.target!r} besides the samples; a backbone takes one tensor. "
                        "Wrap it in a module that fills the others in."
                    )
                graph.erase_node(node)


def _random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().numpy().tobytes(), random.getstate()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _place(error: BaseException) -> str:
    """The line of the backbone's own code at which tracing failed.

    ``traceback.extract_tb`` is no help here: with some releases of torch, functions that take ``*args`` lose their
    line numbers when torch.fx patches them, and it fails on them.
    """
    places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    places = [(code, line) for code, line in places if "/torch/" not in code.co_filename.replace("\\", "/")]
    if len(places) < 2:  # the first is this file's
        return ""
    code, line = places[-1]
    if line is None:
        return f" ({code.co_filename}, in {code.co_name})"
    return f" ({code.co_filename}:{line}: {linecache.getline(code.co_filename, line).strip()})"
