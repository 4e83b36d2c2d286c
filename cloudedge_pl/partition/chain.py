"""A backbone as a chain of split points: the part before each, the part after it, and what crosses it.

The parts are functions that run the backbone's own layers. Nothing is registered, copied or renamed, so weights that
are loaded, moved or replaced later are the ones that run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cloudedge_pl.errors import UntraceableBackboneError, lookup
from cloudedge_pl.partition.inspection import TensorFacts
from cloudedge_pl.partition.levels import UsedState, segment_names
from cloudedge_pl.partition.traced_pass import (
    HandCutPass,
    TracedPass,
    hand_cut_pass_of,
    mode_dependent_modules,
    passes_of,
)

GRANULARITIES = {
    "layer": "a split point after every weighted layer; several tensors may cross",
    "block": "only where exactly one tensor crosses",
}

LiveTensors = tuple[Any, ...]
"""Values that cross a split point, in the order in which they are computed; shapes among them cost nothing."""


class SplitChain:
    """A backbone's split points 0..N and its parts; :func:`trace` makes it.

    Split point 0 leaves everything to the cloud (the input crosses), N everything to the edge (the logits cross).

    Attributes:
        backbone: the network whose layers run.
        granularity: "layer" or "block".
        names: [N + 1] "input", then the last weighted layer of each segment.
        passes: the traced forward pass in evaluation mode (False) and in training mode (True).
        parameter_segments: the segment 1..N that uses each parameter; unused parameters are missing.
        buffer_segments: the segment 1..N that uses each buffer; if several read it, the first one.
    """

    def __init__(
        self, backbone: nn.Module, granularity: str, evaluation: TracedPass, training: TracedPass
    ) -> None:
        self.backbone, self.granularity = backbone, granularity
        self.names = ("input", *segment_names(evaluation.levels, list(evaluation.split_levels)))
        self.passes = {False: evaluation, True: training}
        self._parts: dict[tuple[bool, int, int], Callable[..., Any]] = {}
        self._mode_of = mode_dependent_modules(evaluation.graph, training.graph)
        self.parameter_segments = evaluation.state_segments("parameters")
        self.buffer_segments = evaluation.state_segments("buffers")

    @property
    def num_segments(self) -> int:
        """N: split points run from 0 to N."""
        return len(self.names) - 1

    def live_tensors(self, split_point: int) -> tuple[TensorFacts, ...]:
        """The tensors that cross a split point, in the order in which the parts pass them."""
        traced = self.passes[False]
        return tuple(
            output for node in traced.live(self._check(split_point)) for output in traced.facts[node].outputs
        )

    def live_shapes(self, split_point: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors that cross a split point, without the batch dimension."""
        return tuple(tensor.shape[1:] for tensor in self.live_tensors(split_point))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the backbone's output, logits or features, without the batch dimension."""
        return self.live_shapes(self.num_segments)[0]

    def returned(self, logits: Tensor) -> Any:
        """The logits in the form in which the backbone returns them: a tensor, or ``.logits`` of its own class."""
        traced = self.passes[False]
        kind = traced.split.output_class if isinstance(traced, HandCutPass) else None
        return logits if kind is None else kind(logits=logits)

    def live_bytes(self, split_point: int) -> int:
        """Bytes of the tensors that cross a split point, for one sample, in their own dtypes."""
        return sum(tensor.bytes for tensor in self.live_tensors(split_point))

    def edge(self, split_point: int) -> Callable[[Tensor], LiveTensors]:
        """The part before a split point: samples [B, ...] -> the values that cross."""
        last = self._check(split_point)
        return lambda x: self._part(0, last)(self.backbone, x)

    def cloud(self, split_point: int) -> Callable[[LiveTensors], Tensor]:
        """The part after a split point: the values that cross -> logits or features [B, ...]."""
        first = self._check(split_point)
        return lambda live: self._part(first, self.num_segments)(self.backbone, *live)[0]

    def between(self, first: int, last: int) -> Callable[[LiveTensors], LiveTensors]:
        """The segments between two split points: the values that cross at the first -> those that cross at the last."""
        if not self._check(first) <= self._check(last):
            raise ValueError(f"split point {first} comes after {last}; give the earlier one first.")
        return lambda live: self._part(first, last)(self.backbone, *live)

    def segments(self, first: int, last: int) -> Callable[..., LiveTensors]:
        """The segments between two split points in evaluation mode, as a function of a backbone and what crosses.

        The other parts run :attr:`backbone`. This one runs what it is given, such as a copy of some of its layers.
        """
        return self.passes[False].part(self._check(first), self._check(last))

    def segment_states(self, first: int, last: int) -> UsedState:
        """The parameters and buffers that the segments between two split points use, by the backbone's own names."""
        return self.passes[False].part_states(self._check(first), self._check(last))

    def edge_parameters(self, split_point: int) -> dict[str, nn.Parameter]:
        """The parameters before a split point, by the backbone's own names."""
        return self._side(self.parameter_segments, self.backbone.named_parameters(), split_point, edge=True)

    def cloud_parameters(self, split_point: int) -> dict[str, nn.Parameter]:
        """All other parameters of the backbone, including those that no layer uses."""
        return self._side(self.parameter_segments, self.backbone.named_parameters(), split_point, edge=False)

    def edge_buffers(self, split_point: int) -> dict[str, Tensor]:
        """The buffers before a split point, by the backbone's own names."""
        return self._side(self.buffer_segments, self.backbone.named_buffers(), split_point, edge=True)

    def cloud_buffers(self, split_point: int) -> dict[str, Tensor]:
        """All other buffers of the backbone."""
        return self._side(self.buffer_segments, self.backbone.named_buffers(), split_point, edge=False)

    def silent(self, split_point: int) -> dict[str, nn.Module]:
        """The submodules that the cut runs through, by name: no part calls them, and their own hooks do not fire."""
        self._check(split_point)
        names = set.union(*(traced.silent(split_point) for traced in self.passes.values()))
        return {name: self.backbone.get_submodule(name) for name in sorted(names)}

    def _side(self, segments: Mapping[str, int], named: Any, split_point: int, edge: bool) -> dict[str, Any]:
        self._check(split_point)
        unused = self.num_segments + 1
        return {name: tensor for name, tensor in named if (segments.get(name, unused) <= split_point) == edge}

    def _part(self, first: int, last: int) -> Callable[..., Any]:
        mode = self._mode()
        if (mode, first, last) not in self._parts:
            self._parts[mode, first, last] = self.passes[mode].part(first, last)
        return self._parts[mode, first, last]

    def _mode(self) -> bool:
        """Whether to run the pass of training mode; False where both modes have the same pass."""
        modes = {self.backbone.get_submodule(name).training for name in self._mode_of}
        if len(modes) > 1:
            raise ValueError(
                f"some of the modules {', '.join(repr(name) for name in self._mode_of)} of "
                f"{type(self.backbone).__name__} are in training mode and some in evaluation mode, and their forward "
                "passes differ between the modes; call train() or eval() on all of them."
            )
        return modes == {True}

    def _check(self, split_point: int) -> int:
        if not 0 <= split_point <= self.num_segments:
            raise ValueError(
                f"split point {split_point} is outside 0..{self.num_segments}, the {self.granularity} split "
                f"points of {type(self.backbone).__name__} (0 = all in the cloud, {self.num_segments} = all "
                "at the edge)."
            )
        return split_point

    def __repr__(self) -> str:
        return (
            f"SplitChain({type(self.backbone).__name__}, {self.granularity!r}, {self.num_segments} segments)"
        )


def trace(
    backbone: nn.Module,
    example_input: Tensor,
    *,
    granularity: str = "layer",
    split_modules: Sequence[str] | None = None,
) -> SplitChain:
    """Traces a backbone and finds its split points.

    The backbone stays as it is: its modes, buffers and the random states do not change, and no activation is computed.

    Args:
        backbone: a network [B, ...] -> logits [B, num_classes], or features [B, ...], that ``torch.fx`` can follow.
        example_input: [1, ...] in the shape and dtype of a sample; its values do not matter.
        granularity: "layer" puts a split point after every weighted layer, where several tensors may cross; "block"
            only where exactly one tensor crosses.
        split_modules: names of submodules, in the order in which they run; the split points lie after them. The
            backbone is run once on one sample instead of being traced. This is for forward passes that torch.fx cannot
            follow, such as those of Hugging Face's models, which may return their logits as ``.logits``.

    Raises:
        UntraceableBackboneError: if the backbone cannot be traced; the message gives the reason and the fix.
        ValueError: if the granularity is unknown, or ``split_modules`` is empty.

    Source: Xu 2020, Sec. 2.2 (the first j layers run at the edge); deviates: parallel layers, such as a residual
    block's shortcut convolution, count as one, and every live tensor crosses, not only the last layer's output.
    """
    lookup(GRANULARITIES, granularity, "granularity")
    name = type(backbone).__name__
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or len(example_input) == 0:
        what = (
            tuple(example_input.shape) if isinstance(example_input, Tensor) else type(example_input).__name__
        )
        raise UntraceableBackboneError(
            f"{name}: the example input is {what}; give one sample with its batch dimension: "
            "CloudEdgeStrategy(example_input=torch.zeros(1, ...)), or the module's example_input_array."
        )
    if split_modules is not None:
        if not len(split_modules):
            raise ValueError(
                "split_modules is []; it must name at least one submodule, or be None, which traces the backbone."
            )
        traced = hand_cut_pass_of(backbone, example_input, split_modules)
        return SplitChain(backbone, granularity, traced, traced)
    evaluation, training = passes_of(backbone, example_input, granularity)
    chain = SplitChain(backbone, granularity, evaluation, training)
    if training is not evaluation:
        _require_equal_split_points(chain, SplitChain(backbone, granularity, training, training))
    return chain


def _require_equal_split_points(evaluation: SplitChain, training: SplitChain) -> None:
    def cuts(chain: SplitChain) -> list[Any]:
        return [(name, chain.live_shapes(j)) for j, name in enumerate(chain.names)]

    if cuts(evaluation) != cuts(training):
        raise UntraceableBackboneError(
            f"{type(evaluation.backbone).__name__} has other split points in training mode "
            f"({training.num_segments} segments) than in evaluation mode ({evaluation.num_segments}); put the code "
            "that differs into a module of its own without children, which is kept whole."
        )
