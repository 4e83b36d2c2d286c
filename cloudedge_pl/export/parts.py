"""The parts of a cut network as modules of their own: each takes and gives tensors, and holds its own weights only."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.export.crossing import Crossing, find_crossing, tensors_of
from cloudedge_pl.partition import ExitHead, SplitChain
from cloudedge_pl.partition.codecs import Codec
from cloudedge_pl.partition.levels import UsedState
from cloudedge_pl.partition.standing_in import without_hooks
from cloudedge_pl.partition.traced_pass import HandCutPass
from cloudedge_pl.partition.wire import Wire, wires_of

IMAGE, LOGITS = "image", "logits"


def require_cut(split_point: int, last: int) -> None:
    """Raises StrategyError at split points 0 and ``last``, where nothing is cut."""
    if not 0 < split_point < last:
        where = "in the cloud" if split_point else "at the edge"
        raise StrategyError(
            f"split point {split_point} of 0..{last} leaves nothing {where}, so there are no parts to export. Export "
            "the whole network with torch.onnx.export, or train it with offloading.exclude_ends=true."
        )


@dataclass(frozen=True, eq=False)
class CutNetwork:
    """A network that is cut between its first and its last layer.

    Args:
        chain: the backbone's split points; it returns the logits of classes.
        split_point: where it is cut, in 1..N - 1.
        exit_head: the early exit on the master.
        codec: encodes what the cloud receives; None sends it unchanged.

    Raises:
        StrategyError: if nothing is cut, or the backbone is cut by hand or returns features.
    """

    chain: SplitChain
    split_point: int
    exit_head: ExitHead
    codec: Codec | None = None

    def __post_init__(self) -> None:
        require_cut(self.split_point, self.chain.num_segments)
        if isinstance(self.chain.passes[False], HandCutPass):
            raise StrategyError(
                f"{type(self.chain.backbone).__name__} is cut by split_modules, and torch.export cannot follow a "
                "forward pass that ends in the middle. Export a backbone that torch.fx traces."
            )
        if len(self.chain.output_shape) != 1:
            raise StrategyError(
                f"the backbone returns features of the shape {list(self.chain.output_shape)}; a bundle answers with "
                "the logits of classes. Cut a backbone that contains the classifier."
            )
        if devices := {str(each.device) for each in self.chain.backbone.parameters()} - {"cpu"}:
            raise StrategyError(f"the network is on {', '.join(sorted(devices))}; call module.cpu() first.")

    @property
    def input(self) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape of a sample, and its dtype."""
        facts = self.chain.live_tensors(0)[0]
        return tuple(facts.shape[1:]), facts.dtype

    def samples(self, number: int) -> Tensor:
        """Draws inputs [number, ...], always the same."""
        shape, dtype = self.input
        generator = torch.Generator().manual_seed(number)
        if not dtype.is_floating_point:
            return torch.randint(0, 2, (number, *shape), generator=generator).to(dtype)
        return torch.randn((number, *shape), generator=generator).to(dtype)

    def live(self, samples: Tensor) -> tuple[Any, ...]:
        """The values that cross the cut; call it inside :func:`evaluating`. Tensors are dense, as they arrive."""
        values = self.chain.segments(0, self.split_point)(self.chain.backbone, samples)
        return tuple(value.contiguous() if isinstance(value, Tensor) else value for value in values)

    def exit_logits(self, live: Sequence[Any]) -> Tensor:
        """What the exit head answers."""
        logits: Tensor = self.exit_head(live)
        return logits

    def cloud_logits(self, live: Sequence[Any]) -> Tensor:
        """What the cloud answers to what it receives through the codec."""
        received = tuple(live) if self.codec is None else self.codec(tuple(live))
        logits: Tensor = self.chain.segments(self.split_point, self.chain.num_segments)(
            self.chain.backbone, *received
        )[0]
        return logits

    def whole_logits(self, samples: Tensor) -> Tensor:
        """What the backbone answers uncut."""
        logits: Tensor = self.chain.segments(0, self.chain.num_segments)(self.chain.backbone, samples)[0]
        return logits

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, the network runs as it is exported: in evaluation mode, without gradients, hooks or fused attention.

        PyTorch's fused attention is used in evaluation only, cannot be exported, and rounds differently.
        """
        modules = [self.chain.backbone, self.exit_head, *([] if self.codec is None else [self.codec])]
        modes = [(each, each.training) for module in modules for each in module.modules()]
        fused = torch.backends.mha.get_fastpath_enabled()
        for module in modules:
            module.eval()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad(), without_hooks(self.chain.backbone):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for each, training in modes:
                each.training = training


@dataclass(frozen=True, eq=False)
class Part:
    """A part as it is exported.

    Args:
        name: of :data:`~cloudedge_pl.serving.manifest.PARTS`, or "whole".
        module: takes the inputs and returns the outputs as a tuple, in evaluation mode.
        inputs: their names.
        outputs: their names.
        example: a batch of the inputs.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]

    @property
    def weight_bytes(self) -> int:
        """Bytes of its own weights and buffers."""
        return sum(each.nbytes for each in self.module.state_dict().values())

    def weights_sha256(self) -> str:
        """SHA-256 of its weights: of the name, dtype, shape and values of each, in the order of the names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


class Parts:
    """The parts of a cut network.

    Args:
        network: to take apart; its weights are shared, not copied.
        whole: whether the network uncut is a part as well.

    Attributes:
        crossing: what crosses the cut.
        wires: how each tensor is sent.
        parts: by name.
    """

    def __init__(self, network: CutNetwork, whole: bool = False) -> None:
        chain, cut, last = network.chain, network.split_point, network.chain.num_segments
        names = [node.name for node in chain.passes[False].live(cut)]
        with network.evaluating():
            self.crossing = find_crossing(names, lambda number: network.live(network.samples(number)))
            self.wires = wires_of(network.codec, self.crossing.tensors)
            samples = network.samples(2)
            tensors = tensors_of(network.live(samples))
            sent = self.encoded(tensors)
        edge = _Edge(_copy_of(chain, 0, cut), chain.segments(0, cut), self.wires)
        cloud = _Cloud(_copy_of(chain, cut, last), chain.segments(cut, last), self.wires, self.crossing)
        exit_names = tuple(
            f"cut_{at}" if wire.unchanged else f"exit_{at}" for at, wire in enumerate(self.wires)
        )
        raw = tuple(name for name in exit_names if name.startswith("exit"))
        listed = [
            Part("edge", edge, (IMAGE,), (*self.cut_names, *raw), (samples,)),
            Part("exit", _Exit(copy.deepcopy(network.exit_head)), exit_names, (LOGITS,), tensors),
            Part("cloud", cloud, self.cut_names, (LOGITS,), sent),
        ]
        if whole:
            uncut = _Whole(_copy_of(chain, 0, last), chain.segments(0, last))
            listed.append(Part("whole", uncut, (IMAGE,), (LOGITS,), (samples,)))
        self.parts = {part.name: part for part in listed}
        for part in listed:
            part.module.eval()

    @property
    def cut_names(self) -> tuple[str, ...]:
        """The names of what is sent to the cloud."""
        return tuple(name for at, wire in enumerate(self.wires) for name in wire.names(at))

    def encoded(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What is sent of the tensors that cross."""
        return encoded([wire.encoder for wire in self.wires], tensors)


def encoded(encoders: Iterable[nn.Module], tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """What is sent of tensors, each by its own encoder."""
    sent: list[Tensor] = []
    for encoder, tensor in zip(encoders, tensors, strict=True):
        given = encoder(tensor)
        sent += given if isinstance(given, tuple) else [given]
    return tuple(sent)


class _Edge(nn.Module):
    """image -> what is sent to the cloud, then the tensors that the exit head takes where they differ."""

    def __init__(self, backbone: nn.Module, run: Callable[..., Any], wires: Sequence[Wire]) -> None:
        super().__init__()
        self.backbone, self._run = backbone, run
        self.encoders = nn.ModuleList(wire.encoder for wire in wires)
        self._raw = [not wire.unchanged for wire in wires]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        tensors = tensors_of(self._run(self.backbone, image))
        raw = (tensor for tensor, differs in zip(tensors, self._raw, strict=True) if differs)
        return (*encoded(self.encoders, tensors), *raw)


class _Exit(nn.Module):
    """What crosses the cut, before the codec -> logits."""

    def __init__(self, head: ExitHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, *tensors: Tensor) -> tuple[Tensor]:
        return (self.head(tensors),)


class _Cloud(nn.Module):
    """What is sent to the cloud -> logits."""

    def __init__(
        self, backbone: nn.Module, run: Callable[..., Any], wires: Sequence[Wire], crossing: Crossing
    ) -> None:
        super().__init__()
        self.backbone, self._run, self._crossing = backbone, run, crossing
        self.decoders = nn.ModuleList(wire.decoder for wire in wires)
        self._lengths = [len(wire.names(0)) for wire in wires]

    def forward(self, *sent: Tensor) -> tuple[Tensor]:
        rest = iter(sent)
        ends = zip(self.decoders, self._lengths, strict=True)
        tensors = [decoder(*itertools.islice(rest, length)) for decoder, length in ends]
        return (self._run(self.backbone, *self._crossing.live(tensors))[0],)


class _Whole(nn.Module):
    """image -> logits, uncut."""

    def __init__(self, backbone: nn.Module, run: Callable[..., Any]) -> None:
        super().__init__()
        self.backbone, self._run = backbone, run

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self._run(self.backbone, image)[0],)


def _copy_of(chain: SplitChain, first: int, last: int) -> nn.Module:
    """A copy of the backbone with the weights that some of its segments use, which it shares, and no others."""
    backbone, states = chain.backbone, chain.segment_states(first, last)
    kept = _kept(backbone, states)
    memo: dict[int, Any] = {}
    for module in backbone.modules():
        for tensor in itertools.chain(module._parameters.values(), module._buffers.values()):
            if tensor is not None:
                memo[id(tensor)] = _shared(tensor) if id(tensor) in kept else _LEFT_OUT
    with without_hooks(backbone):
        own = copy.deepcopy(backbone, memo)
    for module in own.modules():
        for tensors in (module._parameters, module._buffers):
            for name in [name for name, tensor in tensors.items() if tensor is _LEFT_OUT]:
                tensors[name] = None
    return own


def _kept(backbone: nn.Module, states: UsedState) -> set[int]:
    named = itertools.chain(backbone.named_parameters(), backbone.named_buffers())
    return {id(tensor) for name, tensor in named if name in states.parameters | states.buffers}


def _shared(tensor: Tensor) -> Tensor:
    """The same memory; whether it needs a gradient decides in which order PyTorch multiplies."""
    values = tensor.detach()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(values, requires_grad=tensor.requires_grad)
    return values


_LEFT_OUT = torch.empty(0)
"""Stands for weights of another part while a backbone is copied."""
