"""A backbone as a chain of split points: the part before each, the part after it, and what crosses it.

Parts are functions that run the backbone's own layers: nothing is registered, copied or renamed, and weights
that are loaded, moved or replaced later are the ones that run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cloudedge_pl.errors import UntraceableBackboneError, lookup
from cloudedge_pl.partition.graph import drop_plain_tensors, first_line, follow, ghost_of, wrong_output
from cloudedge_pl.partition.inspection import NodeFacts, TensorFacts, inspect_graph
from cloudedge_pl.partition.levels import (
    Levels,
    NodeState,
    assign_levels,
    crossing,
    enclosing_module,
    legal_split_levels,
    node_states,
    segment_names,
    used_at,
)

GRANULARITIES = {
    "layer": "a split point after every weighted layer; several tensors may cross",
    "block": "only where exactly one tensor crosses",
}

LiveTensors = tuple[Any, ...]
"""Values that cross a split point, in the order in which they are made; shapes among them cost nothing."""


@dataclass(frozen=True)
class Route:
    """A followed backbone in one mode, with its split points.

    Args:
        graph: of the forward pass.
        facts: of every node.
        states: of every node.
        levels: of every node.
        split_levels: [N + 1] the level after which each split point lies.
    """

    graph: fx.Graph
    facts: dict[fx.Node, NodeFacts]
    states: dict[fx.Node, NodeState]
    levels: Levels
    split_levels: tuple[int, ...]

    def live(self, split_point: int) -> list[fx.Node]:
        """The nodes whose values cross."""
        return crossing(self.levels, self.split_levels[split_point])

    def segment(self, level: int) -> int:
        """The segment 1..N that a level belongs to."""
        return max(1, bisect_left(self.split_levels, level))

    def state_segments(self, kind: str) -> dict[str, int]:
        """The first segment that uses each parameter or buffer; ``kind`` is "parameters" or "buffers"."""
        used = used_at(self.levels, self.states, kind)
        return {name: self.segment(min(levels)) for name, levels in used.items()}

    def part(self, first: int, last: int) -> Callable[..., Any]:
        """Compiles the segments after split point ``first`` up to ``last``.

        Returns:
            A function of the backbone and the values that cross at ``first``; it returns those that cross at
            ``last``.
        """
        low, high = self.split_levels[first], self.split_levels[last]
        given, wanted = self.live(first), self.live(last)
        inside = {
            node
            for node, level in self.levels.of.items()
            if node not in self.levels.free and low < level <= high
        }
        inside |= self._free_inputs(inside)
        part = fx.Graph()
        copies = {node: part.placeholder(node.name) for node in given}
        for node in self.graph.nodes:
            if node in inside:
                copies[node] = part.node_copy(node, copies.__getitem__)
        part.output(tuple(copies[node] for node in wanted))
        code = part.python_code("self")
        scope = dict(code.globals)
        exec(compile(code.src, f"<segments {first + 1} to {last}>", "exec"), scope)
        return scope["forward"]

    def _free_inputs(self, nodes: Iterable[fx.Node]) -> set[fx.Node]:
        needed: set[fx.Node] = set()
        waiting = [source for node in nodes for source in node.all_input_nodes]
        while waiting:
            node = waiting.pop()
            if node in self.levels.free and node not in needed:
                needed.add(node)
                waiting += node.all_input_nodes
        return needed


class SplitChain:
    """A backbone's split points 0..N and its parts; made by :func:`trace`.

    Split point 0 leaves everything to the cloud (the input crosses), N everything to the edge (the logits
    cross).

    Attributes:
        backbone: whose layers run.
        granularity: "layer" or "block".
        names: [N + 1]; "input", then the last weighted layer of each segment.
        routes: the followed forward pass in evaluation (False) and in training mode (True).
        parameter_segments: the segment 1..N that uses each parameter; unused ones are missing.
        buffer_segments: likewise; a constant that several segments read counts to the first.
    """

    def __init__(self, backbone: nn.Module, granularity: str, evaluation: Route, training: Route) -> None:
        self.backbone, self.granularity = backbone, granularity
        self.names = ("input", *segment_names(evaluation.levels, list(evaluation.split_levels)))
        self.routes = {False: evaluation, True: training}
        self._parts: dict[tuple[bool, int, int], Callable[..., Any]] = {}
        self._mode_of = _mode_dependent_modules(evaluation.graph, training.graph)
        self.parameter_segments = evaluation.state_segments("parameters")
        self.buffer_segments = evaluation.state_segments("buffers")

    @property
    def num_segments(self) -> int:
        """N: split points run from 0 to N."""
        return len(self.names) - 1

    def live_tensors(self, split_point: int) -> tuple[TensorFacts, ...]:
        """The tensors that cross, in the order in which the parts pass them."""
        route = self.routes[False]
        return tuple(
            output for node in route.live(self._check(split_point)) for output in route.facts[node].outputs
        )

    def live_shapes(self, split_point: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors that cross, without the batch dimension."""
        return tuple(tensor.shape[1:] for tensor in self.live_tensors(split_point))

    def live_bytes(self, split_point: int) -> int:
        """Bytes of the tensors that cross, for one sample, in their own dtypes."""
        return sum(tensor.bytes for tensor in self.live_tensors(split_point))

    def edge(self, split_point: int) -> Callable[[Tensor], LiveTensors]:
        """The part before a split point: samples [B, ...] -> the values that cross."""
        last = self._check(split_point)
        return lambda x: self._part(0, last)(self.backbone, x)

    def cloud(self, split_point: int) -> Callable[[LiveTensors], Tensor]:
        """The part after a split point: the values that cross -> logits [B, num_classes]."""
        first = self._check(split_point)
        return lambda live: self._part(first, self.num_segments)(self.backbone, *live)[0]

    def between(self, first: int, last: int) -> Callable[[LiveTensors], LiveTensors]:
        """The segments between two split points: what crosses at the first -> what crosses at the last."""
        if not self._check(first) <= self._check(last):
            raise ValueError(f"split point {first} lies behind {last}; give the earlier one first.")
        return lambda live: self._part(first, last)(self.backbone, *live)

    def edge_parameters(self, split_point: int) -> dict[str, nn.Parameter]:
        """The parameters before a split point, by the backbone's own names."""
        return self._side(self.parameter_segments, self.backbone.named_parameters(), split_point, edge=True)

    def cloud_parameters(self, split_point: int) -> dict[str, nn.Parameter]:
        """All other parameters of the backbone, those that no layer uses included."""
        return self._side(self.parameter_segments, self.backbone.named_parameters(), split_point, edge=False)

    def edge_buffers(self, split_point: int) -> dict[str, Tensor]:
        """The buffers before a split point, by the backbone's own names."""
        return self._side(self.buffer_segments, self.backbone.named_buffers(), split_point, edge=True)

    def cloud_buffers(self, split_point: int) -> dict[str, Tensor]:
        """All other buffers of the backbone."""
        return self._side(self.buffer_segments, self.backbone.named_buffers(), split_point, edge=False)

    def _side(self, segments: Mapping[str, int], named: Any, split_point: int, edge: bool) -> dict[str, Any]:
        self._check(split_point)
        unused = self.num_segments + 1
        return {name: tensor for name, tensor in named if (segments.get(name, unused) <= split_point) == edge}

    def _part(self, first: int, last: int) -> Callable[..., Any]:
        mode = self._mode()
        if (mode, first, last) not in self._parts:
            self._parts[mode, first, last] = self.routes[mode].part(first, last)
        return self._parts[mode, first, last]

    def _mode(self) -> bool:
        """Whether the training route is to run; False where both are the same."""
        modes = {self.backbone.get_submodule(name).training for name in self._mode_of}
        if len(modes) > 1:
            raise ValueError(
                f"of the modules {', '.join(repr(name) for name in self._mode_of)} of {type(self.backbone).__name__} "
                "some are in training and some in evaluation mode, and their forward passes differ by mode; call "
                "train() or eval() on all of them."
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


def trace(backbone: nn.Module, example_input: Tensor, *, granularity: str = "layer") -> SplitChain:
    """Follows a backbone and finds its split points.

    The backbone is left as it is: mode, buffers and random states do not move, and no activation is computed.

    Args:
        backbone: a classifier [B, ...] -> logits [B, num_classes] that ``torch.fx`` can follow.
        example_input: [1, ...] in the shape and dtype of a sample; its values do not matter.
        granularity: "layer" cuts after every weighted layer, where several tensors may cross; "block" only
            where exactly one does.

    Raises:
        UntraceableBackboneError: with the reason and the fix.
        ValueError: on an unknown granularity.

    Source: Xu 2020, Sec. 2.2 (the first j layers run at the edge); deviates: layers side by side, such as a
    residual block's shortcut convolution, count as one, and every live tensor crosses, not the last layer's
    output alone.
    """
    lookup(GRANULARITIES, granularity, "granularity")
    name = type(backbone).__name__
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or len(example_input) == 0:
        what = (
            tuple(example_input.shape) if isinstance(example_input, Tensor) else type(example_input).__name__
        )
        raise UntraceableBackboneError(
            f"{name}: the example input is {what}; give one sample with its batch dimension, such as "
            "torch.zeros(1, 3, 224, 224)."
        )
    ghost = ghost_of(backbone)
    graphs = [follow(ghost, backbone, training) for training in (False, True)]
    drop_plain_tensors(ghost)
    sample = torch.empty_like(example_input[:1], device="meta")
    evaluation = _route(graphs[0], ghost, sample, granularity, name, training=False)
    if _same(*graphs):
        return SplitChain(backbone, granularity, evaluation, evaluation)
    training = _route(graphs[1], ghost, sample, granularity, name, training=True)
    chain = SplitChain(backbone, granularity, evaluation, training)
    in_training = SplitChain(backbone, granularity, training, training)
    points = range(chain.num_segments + 1)
    if chain.names != in_training.names or any(
        chain.live_shapes(j) != in_training.live_shapes(j) for j in points
    ):
        raise UntraceableBackboneError(
            f"{name} has other split points in training mode ({in_training.num_segments} segments) than in "
            f"evaluation mode ({chain.num_segments}); put what differs into a module of its own without "
            "children, which is kept whole."
        )
    return chain


def _route(
    graph: fx.Graph, ghost: nn.Module, sample: Tensor, granularity: str, name: str, training: bool
) -> Route:
    try:
        facts = inspect_graph(graph, ghost, sample)
    except Exception as error:
        raise UntraceableBackboneError(
            f"{name} does not run on an input of shape {tuple(sample.shape)}, {sample.dtype}: "
            f"{first_line(error)}. Give an example input in the shape and dtype of one sample with its batch "
            "dimension, such as torch.zeros(1, 3, 224, 224)."
        ) from error
    states = node_states(graph, ghost)
    levels = assign_levels(graph, facts, states)
    result = facts[levels.result]
    shapes = [output.shape for output in result.outputs]
    if result.kind != "Tensor" or len(shapes[0]) != 2 or shapes[0][0] != 1:
        what = f"tensor of shape {shapes[0]}" if result.kind == "Tensor" else result.kind
        raise wrong_output(name, what, training)
    if not levels.weighted:
        raise UntraceableBackboneError(
            f"{name} has no weighted layer between input and logits, so there is nothing to cut; a backbone "
            "needs a convolution, a linear layer or the like."
        )
    return Route(graph, facts, states, levels, tuple(legal_split_levels(levels, facts, states, granularity)))


def _same(one: fx.Graph, other: fx.Graph) -> bool:
    """Whether two graphs run the same code on the same constants."""
    codes = [graph.python_code("self") for graph in (one, other)]
    return codes[0].src == codes[1].src and codes[0].globals == codes[1].globals


def _mode_dependent_modules(evaluation: fx.Graph, training: fx.Graph) -> tuple[str, ...]:
    """The modules whose forward passes differ between the two modes; the backbone itself where nodes were
    added."""
    if evaluation is training:
        return ()
    pairs = list(zip(evaluation.nodes, training.nodes, strict=False))
    if len(evaluation.nodes) != len(training.nodes) or any(one.target != two.target for one, two in pairs):
        return ("",)
    differing = [
        one for one, two in pairs if (str(one.args), str(one.kwargs)) != (str(two.args), str(two.kwargs))
    ]
    return tuple(dict.fromkeys(map(enclosing_module, differing))) or ("",)
