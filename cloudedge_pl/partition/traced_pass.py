"""A backbone traced in one mode, with its split points, and the functions that run it segment by segment."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cloudedge_pl.errors import UntraceableBackboneError
from cloudedge_pl.partition.containers import Call, silent, whole_calls
from cloudedge_pl.partition.graph import drop_plain_tensors, first_line, follow, make_meta_copy, wrong_output
from cloudedge_pl.partition.inspection import NodeFacts, inspect_graph
from cloudedge_pl.partition.levels import (
    Levels,
    UsedState,
    assign_levels,
    crossing,
    enclosing_module,
    legal_split_levels,
    node_states,
    used_at,
)
from cloudedge_pl.partition.split_modules import HandSplit, Segment, logits_of, split_by_hand
from cloudedge_pl.partition.standing_in import without_hooks


@dataclass(frozen=True)
class TracedPass:
    """A backbone traced in one mode, with its split points.

    Args:
        graph: the forward pass.
        facts: what every node costs.
        states: the parameters and buffers that every node uses.
        levels: the level of every node.
        split_levels: [N + 1] the level after which each split point lies.
        calls: the calls of the modules that were traced inside.
    """

    graph: fx.Graph
    facts: dict[fx.Node, NodeFacts]
    states: dict[fx.Node, UsedState]
    levels: Levels
    split_levels: tuple[int, ...]
    calls: tuple[Call, ...]

    def live(self, split_point: int) -> list[fx.Node]:
        """The nodes whose values cross a split point."""
        return crossing(self.levels, self.split_levels[split_point])

    def segment(self, level: int) -> int:
        """The segment 1..N that a level belongs to."""
        return max(1, bisect_left(self.split_levels, level))

    def state_segments(self, kind: str) -> dict[str, int]:
        """The first segment that uses each parameter or buffer, by name; ``kind`` is "parameters" or "buffers"."""
        used = used_at(self.levels, self.states, kind)
        return {name: self.segment(min(levels)) for name, levels in used.items()}

    def part(self, first: int, last: int) -> Callable[..., Any]:
        """Compiles the segments between the split points ``first`` and ``last``.

        Returns:
            A function that takes the backbone and the values that cross at ``first``, and returns those that cross at
            ``last``.
        """
        given, wanted = self.live(first), self.live(last)
        inside = self._inside(first, last)
        calls = whole_calls(self.calls, inside, self.levels.free)
        call_at = {node: call for call in calls for node in call.nodes}
        inside -= call_at.keys()
        sources = [source for node in inside for source in node.all_input_nodes]
        inside |= self._free_among([*sources, *(node for call in calls for node in call.given())])
        part = fx.Graph()
        copies = {node: part.placeholder(node.name) for node in given}
        emitted: set[Call] = set()
        for node in self.graph.nodes:
            if node in inside:
                copies[node] = part.node_copy(node, copies.__getitem__)
            elif node in call_at and call_at[node] not in emitted:
                emitted.add(call_at[node])
                call_at[node].emit(part, copies)
        part.output(tuple(copies[node] for node in wanted))
        code = part.python_code("self")
        scope = dict(code.globals)
        exec(compile(code.src, f"<segments {first + 1} to {last}>", "exec"), scope)
        return scope["forward"]

    def part_states(self, first: int, last: int) -> UsedState:
        """The parameters and buffers that the segments between two split points use."""
        inside = self._inside(first, last)
        inside |= self._free_among(source for node in inside for source in node.all_input_nodes)
        states = [self.states[node] for node in inside]
        return UsedState(
            frozenset[str]().union(*(state.parameters for state in states)),
            frozenset[str]().union(*(state.buffers for state in states)),
            sum(state.weights for state in states),
        )

    def _inside(self, first: int, last: int) -> set[fx.Node]:
        """The nodes between two split points, without the free ones."""
        low, high = self.split_levels[first], self.split_levels[last]
        free = self.levels.free
        return {node for node, level in self.levels.of.items() if node not in free and low < level <= high}

    def _free_among(self, sources: Iterable[fx.Node]) -> set[fx.Node]:
        """The free nodes among ``sources``, and the nodes that these depend on."""
        needed: set[fx.Node] = set()
        waiting = list(sources)
        while waiting:
            node = waiting.pop()
            if node in self.levels.free and node not in needed:
                needed.add(node)
                waiting += node.all_input_nodes
        return needed

    def silent(self, split_point: int) -> set[str]:
        """The modules whose hooks do not fire, because the cut runs through them and nothing calls them whole."""
        ends = (0, split_point), (split_point, len(self.split_levels) - 1)
        free = self.levels.free
        parts = [whole_calls(self.calls, self._inside(*each), free) for each in ends]
        return silent(self.calls, parts, free)


@dataclass(frozen=True)
class HandCutPass(TracedPass):
    """A backbone cut after named modules; it serves both modes.

    Args:
        split: what runs the segments.
    """

    split: HandSplit

    def part(self, first: int, last: int) -> Callable[..., Any]:
        """As :meth:`TracedPass.part`; the segments run in one pass."""
        if first == last:
            return lambda _backbone, *live: live
        return lambda backbone, live: (self.split.run(backbone, first, last, live),)

    def silent(self, split_point: int) -> set[str]:
        """As :meth:`TracedPass.silent`."""
        return self.split.divided(split_point)


def hand_cut_pass_of(backbone: nn.Module, example_input: Tensor, names: Sequence[str]) -> HandCutPass:
    """Cuts a backbone after named modules, and checks on one sample that whole and cut give the same.

    Raises:
        UntraceableBackboneError: with the reason and the fix.
    """
    kind = type(backbone).__name__
    with torch.inference_mode(False):
        meta_copy = make_meta_copy(backbone)
        drop_plain_tensors(meta_copy)
        sample = torch.empty_like(example_input[:1], device="meta")
        split = split_by_hand(meta_copy, sample, names)
        graph = fx.Graph()
        node = graph.placeholder("samples")
        states = {node: UsedState()}
        parameters = dict(meta_copy.named_parameters())
        for number, name in enumerate(split.names, 1):
            node = graph.call_function(Segment(split, number), (node,))
            node.meta["nn_module_stack"] = {name: name}
            used = split.parameters[number - 1]
            weights = sum(parameters[each].numel() for each in used if parameters[each].ndim >= 2)
            states[node] = UsedState(used, split.buffers[number - 1], weights)
        graph.output(node)
        facts = inspect_graph(graph, meta_copy, sample)
    levels = assign_levels(graph, facts, states)
    legal = legal_split_levels(levels, facts, states, "layer")
    illegal = [name for at, name in enumerate(names, 1) if at not in legal]
    if levels.depth != len(split.names) or illegal:
        raise UntraceableBackboneError(
            f"split_modules: {kind} cannot be cut after {', '.join(illegal or names)}: every segment needs a weighted "
            "layer that no other segment uses, and what crosses has the batch as its first dimension."
        )
    traced = HandCutPass(graph, facts, states, levels, tuple(legal), (), split)
    _require_equal(backbone, traced, example_input)
    return traced


def _require_equal(backbone: nn.Module, traced: HandCutPass, example_input: Tensor) -> None:
    """Raises UntraceableBackboneError if the segments, one after another, do not give what the backbone gives."""
    first = next(backbone.parameters())
    sample = example_input[:1].to(first.device)
    if sample.is_floating_point():
        drawn = torch.randn(sample.shape, generator=torch.Generator().manual_seed(0))
        sample = drawn.to(sample.device, sample.dtype)
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    try:
        with torch.no_grad(), without_hooks(backbone):
            expected = logits_of(type(backbone).forward(backbone, sample))
            value = sample
            for at in range(len(traced.split.names)):
                value = traced.split.run(backbone, at, at + 1, value)
        same = torch.equal(value, expected)
    except (RuntimeError, NotImplementedError):
        same = False
    finally:
        for module, training in modes:
            module.training = training
    if not same:
        raise UntraceableBackboneError(
            f"split_modules: cut after {', '.join(traced.split.names[:-1])}, {type(backbone).__name__} does not give "
            "what it gives uncut: some value bypasses one of these modules. Name modules whose output is all that "
            "later layers use."
        )


def passes_of(backbone: nn.Module, example_input: Tensor, granularity: str) -> tuple[TracedPass, TracedPass]:
    """Traces a backbone in evaluation and in training mode; both are one object if they do not differ.

    Raises:
        UntraceableBackboneError: with the reason and the fix.
    """
    name = type(backbone).__name__
    with torch.inference_mode(False):  # inference tensors do not count writes in place
        meta_copy = make_meta_copy(backbone)
        followed = [follow(meta_copy, backbone, training) for training in (False, True)]
        drop_plain_tensors(meta_copy)
        sample = torch.empty_like(example_input[:1], device="meta")
        evaluation = _traced_pass(*followed[0], meta_copy, sample, granularity, name, training=False)
        if _same(*(graph for graph, _ in followed)):
            return evaluation, evaluation
        return evaluation, _traced_pass(*followed[1], meta_copy, sample, granularity, name, training=True)


def _traced_pass(
    graph: fx.Graph,
    calls: tuple[Call, ...],
    meta_copy: nn.Module,
    sample: Tensor,
    granularity: str,
    name: str,
    training: bool,
) -> TracedPass:
    try:
        facts = inspect_graph(graph, meta_copy, sample)
    except Exception as error:
        raise UntraceableBackboneError(
            f"{name} does not run on an input of shape {tuple(sample.shape)}, {sample.dtype}: "
            f"{first_line(error)}. Give an example input in the shape and dtype of one sample with its batch "
            "dimension: CloudEdgeStrategy(example_input=torch.zeros(1, ...)), or the module's example_input_array."
        ) from error
    states = node_states(graph, meta_copy)
    levels = assign_levels(graph, facts, states)
    if levels.result in levels.free:
        raise UntraceableBackboneError(
            f"{name} returns a value that does not depend on the samples; a backbone classifies them."
        )
    result = facts[levels.result]
    shapes = [output.shape for output in result.outputs]
    if result.kind != "Tensor" or len(shapes[0]) < 2 or not result.outputs[0].batched:
        what = f"tensor of shape {shapes[0]}" if shapes and result.kind == "Tensor" else result.kind
        raise wrong_output(name, what, training)
    if not levels.weighted:
        raise UntraceableBackboneError(
            f"{name} has no weighted layer between input and logits, so there is nothing to cut; a backbone "
            "needs a convolution, a linear layer or the like."
        )
    split_levels = tuple(legal_split_levels(levels, facts, states, granularity))
    return TracedPass(graph, facts, states, levels, split_levels, calls)


def _same(one: fx.Graph, other: fx.Graph) -> bool:
    """Whether two graphs run the same code on the same constants."""
    codes = [graph.python_code("self") for graph in (one, other)]
    return codes[0].src == codes[1].src and codes[0].globals == codes[1].globals


def mode_dependent_modules(evaluation: fx.Graph, training: fx.Graph) -> tuple[str, ...]:
    """The modules whose forward passes differ between the two modes; "" is the backbone itself, where nodes differ."""
    if evaluation is training:
        return ()
    pairs = list(zip(evaluation.nodes, training.nodes, strict=False))
    if len(evaluation.nodes) != len(training.nodes) or any(one.target != two.target for one, two in pairs):
        return ("",)
    differing = [
        one for one, two in pairs if (str(one.args), str(one.kwargs)) != (str(two.args), str(two.kwargs))
    ]
    return tuple(dict.fromkeys(map(enclosing_module, differing))) or ("",)
