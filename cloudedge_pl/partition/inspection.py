"""What every node of a traced backbone costs, and which memory it touches.

The graph runs twice on the meta device: with one sample in evaluation mode (FLOP, bytes, aliasing), and with two
samples in training mode (what autograd keeps; which tensors have the batch as their first dimension).

The meta device has no fused attention and would keep the matrix of attention weights, which no other device does. The
passes therefore use the CPU's fused kernel wherever the CPU would.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from cloudedge_pl.partition.graph import Constant
from cloudedge_pl.partition.split_modules import Segment

ATTENTION = F.scaled_dot_product_attention
FUSED_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True)
class TensorFacts:
    """One output tensor of a node, for one sample.

    Args:
        shape: with the batch dimension, which is 1.
        dtype: of its elements.
        bytes: elements times the size of the dtype.
        storage: identifies its memory; views share it.
        storage_bytes: size of that memory.
        batched: whether its first dimension is the batch.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int
    storage: int
    storage_bytes: int
    batched: bool


@dataclass(frozen=True)
class NodeFacts:
    """What a node costs, for one sample, and which memory it touches.

    Args:
        outputs: every tensor in its value.
        kind: name of its value's type.
        reads: storages of its input tensors.
        writes: storages that it changes in place.
        flops: FLOP, as torch's FlopCounterMode counts them.
        moved_bytes: bytes that its operations read and write, parameters included; views move nothing.
        allocated_bytes: largest number of bytes that it allocates at any moment, its outputs included.
        saved_bytes: bytes that autograd keeps for the backward pass, unless an earlier node kept them already.
    """

    outputs: tuple[TensorFacts, ...]
    kind: str
    reads: frozenset[int]
    writes: frozenset[int]
    flops: int
    moved_bytes: int
    allocated_bytes: int
    saved_bytes: float


def inspect_graph(graph: fx.Graph, meta_copy: nn.Module, sample: Tensor) -> dict[fx.Node, NodeFacts]:
    """Runs both passes.

    Args:
        graph: of the forward pass of ``meta_copy``, whose plain tensor attributes have been dropped.
        meta_copy: a backbone on the meta device.
        sample: [1, ...] on the meta device.

    Returns:
        The facts of every node except the output node.
    """
    meta_copy.eval()
    evaluation = _Evaluation(meta_copy, graph)
    with torch.no_grad(), _FusedAttention(), evaluation.flop_counter, evaluation.traffic:
        evaluation.run(sample)
    meta_copy.train()
    training = _Training(meta_copy, graph)
    with torch.enable_grad(), _FusedAttention():
        training.run(sample.repeat(2, *[1] * (sample.ndim - 1)))
    return {
        node: NodeFacts(
            outputs=tuple(
                TensorFacts(
                    shape=tuple(one.shape),
                    dtype=one.dtype,
                    bytes=one.numel() * one.element_size(),
                    storage=_storage(one),
                    storage_bytes=one.untyped_storage().nbytes(),
                    batched=one.ndim > 0 and tuple(two.shape) == (2, *one.shape[1:]) and one.shape[0] == 1,
                )
                for one, two in zip(_tensors(value), _tensors(training.values[node]), strict=True)
            ),
            kind=type(value).__name__,
            reads=evaluation.reads[node],
            writes=evaluation.writes[node],
            flops=evaluation.flops[node],
            moved_bytes=evaluation.moved_bytes[node],
            allocated_bytes=evaluation.allocated_bytes[node],
            saved_bytes=training.saved_bytes[node] / 2,
        )
        for node, value in evaluation.values.items()
    }


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Walk(fx.Interpreter):
    """Runs a graph on the meta device and keeps every value, so that storages keep their identity."""

    def __init__(self, meta_copy: nn.Module, graph: fx.Graph) -> None:
        super().__init__(meta_copy, garbage_collect_values=False, graph=graph)
        self.extra_traceback = False
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_module" and any(tensor.numel() == 0 for tensor in _tensors(value)):
            # The meta kernels of some releases of torch accept shapes that real kernels refuse.
            raise ValueError(f"its layer {n.target} has no output, the input is too small")
        if n.op != "output":
            self.values[n] = value
        return value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(target, Constant):
            return target.tensor.to("meta") if target.tensor.ndim > 0 else target.tensor
        if isinstance(target, Segment):
            assert isinstance(self.module, nn.Module)
            return target.split.run(self.module, target.number - 1, target.number, *args)
        return super().call_function(target, args, kwargs)


class _Evaluation(_Walk):
    """FLOP, moved bytes, and which storages are read and written."""

    def __init__(self, meta_copy: nn.Module, graph: fx.Graph) -> None:
        super().__init__(meta_copy, graph)
        self.flop_counter = FlopCounterMode(display=False, custom_mapping={FUSED_ATTENTION: _attention_flops})
        self.traffic = _Traffic()
        self.reads: dict[fx.Node, frozenset[int]] = {}
        self.writes: dict[fx.Node, frozenset[int]] = {}
        self.flops: dict[fx.Node, int] = {}
        self.moved_bytes: dict[fx.Node, int] = {}
        self.allocated_bytes: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        given = _tensors([self.env[node] for node in n.all_input_nodes])
        versions = [tensor._version for tensor in given]
        flops, moved_bytes = self.flop_counter.get_total_flops(), self.traffic.bytes
        held = self.traffic.start_peak()
        value = super().run_node(n)
        self.flops[n] = self.flop_counter.get_total_flops() - flops
        self.moved_bytes[n] = self.traffic.bytes - moved_bytes
        self.allocated_bytes[n] = self.traffic.peak - held
        self.reads[n] = frozenset(map(_storage, given))
        self.writes[n] = frozenset(
            _storage(tensor)
            for tensor, version in zip(given, versions, strict=True)
            if tensor._version != version
        )
        return value


class _Training(_Walk):
    """Bytes that autograd keeps for the backward pass, once per storage; parameters and buffers do not count."""

    def __init__(self, meta_copy: nn.Module, graph: fx.Graph) -> None:
        super().__init__(meta_copy, graph)
        self.saved_bytes: dict[fx.Node, int] = {}
        self._known = {_storage(tensor) for tensor in (*meta_copy.parameters(), *meta_copy.buffers())}
        self._kept: list[Tensor] = []

    def run_node(self, n: fx.Node) -> Any:
        first = len(self._kept)
        with torch.autograd.graph.saved_tensors_hooks(self._keep, _as_is):
            value = super().run_node(n)
        self.saved_bytes[n] = sum(tensor.untyped_storage().nbytes() for tensor in self._kept[first:])
        return value

    def _keep(self, tensor: Tensor) -> Tensor:
        if _storage(tensor) not in self._known:
            self._known.add(_storage(tensor))
            self._kept.append(tensor)
        return tensor


def _as_is(tensor: Tensor) -> Tensor:
    return tensor


class _FusedAttention(TorchFunctionMode):
    """Replaces attention by the CPU's fused kernel, in this thread only.

    The mode sees ``F.multi_head_attention_forward`` as a whole and is off inside it, so it calls a copy of that
    function, in which attention is replaced.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is ATTENTION:
            func = _attention
        elif func is F.multi_head_attention_forward:
            func = _MULTI_HEAD_ATTENTION
        return func(*args, **(kwargs or {}))


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Tensor:
    """``F.scaled_dot_product_attention``: by the fused kernel where it supports the inputs, else by matrix products."""
    fused = (
        all(t.ndim == 4 and t.shape[-1] == query.shape[-1] and t.stride(-1) == 1 for t in (query, key, value))
        and dropout_p == 0.0
        and not options.get("enable_gqa", False)
        and (attn_mask is None or (attn_mask.ndim in (2, 4) and not attn_mask.requires_grad))
    )
    if not fused:
        return ATTENTION(query, key, value, attn_mask, dropout_p, is_causal, **options)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(~attn_mask, -torch.inf)
    scale = options.get("scale")
    return FUSED_ATTENTION(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


_MULTI_HEAD_ATTENTION = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "scaled_dot_product_attention": _attention},
    F.multi_head_attention_forward.__name__,
    F.multi_head_attention_forward.__defaults__,
)


def _attention_flops(query: Any, key: Any, value: Any, *_others: Any, **_options: Any) -> int:
    return sdpa_flop_count(query, key, value)


class _Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, and those of the tensors alive; views count for nothing.

    Attributes:
        bytes: bytes read and written so far.
        peak: largest number of bytes alive at any moment since :meth:`start_peak`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._live: dict[int, int] = {}

    def start_peak(self) -> int:
        """Starts a new peak at the bytes that are alive now, and returns them."""
        self.peak = sum(self._live.values())
        return self.peak

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read, written = _tensors((args, kwargs)), _tensors(result)
        if func._schema.is_mutable or not {*map(_storage, written)} <= {*map(_storage, read)}:
            self.bytes += _size(read) + _size(written)
        known = {*map(_storage, read)}
        for tensor in written:
            storage = tensor.untyped_storage()
            if storage._cdata not in known and storage._cdata not in self._live:
                self._live[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._live.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self._live.values()))
        return result


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in tensors)
