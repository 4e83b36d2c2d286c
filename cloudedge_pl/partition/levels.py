"""Where a traced backbone may be cut: levels of its nodes, and the split points between them.

The level of a node is the number of weighted layers on the longest path from the input to it, at least 1.
Every level is a topological cut, so N is the depth of the network: 34 for ResNet-34, whose shortcut
convolutions share a level with their block's first convolution.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn

from cloudedge_pl.partition.inspection import NodeFacts


@dataclass(frozen=True)
class UsedState:
    """The parameters and buffers that a node uses, by the backbone's own names.

    Args:
        parameters: names of parameters.
        buffers: names of buffers.
        weights: number of elements of the parameters with two or more dimensions.
    """

    parameters: frozenset[str] = frozenset()
    buffers: frozenset[str] = frozenset()
    weights: int = 0


@dataclass(frozen=True)
class Levels:
    """Levels of a graph's nodes.

    Args:
        of: level of every node except the output node; the input's is 0.
        weighted: the weighted layers in the order in which they run, with the number of elements of their weights.
        free: nodes that do not depend on the input; they run on each side that uses them and are never sent.
        result: the node whose value is the logits.
    """

    of: dict[fx.Node, int]
    weighted: dict[fx.Node, int]
    free: frozenset[fx.Node]
    result: fx.Node

    @property
    def depth(self) -> int:
        """Level of the logits: the number of segments before any are merged."""
        return self.of[self.result]


def node_states(graph: fx.Graph, meta_copy: nn.Module) -> dict[fx.Node, UsedState]:
    """Returns the parameters and buffers that each node uses itself: a layer's own, or the one that it reads."""
    parameter_names = {id(parameter): name for name, parameter in meta_copy.named_parameters()}
    buffer_names = {id(buffer): name for name, buffer in meta_copy.named_buffers()}
    modules = dict(meta_copy.named_modules())
    parameters, buffers = dict(meta_copy.named_parameters()), dict(meta_copy.named_buffers())
    states = {}
    for node in graph.nodes:
        state = UsedState()
        if node.op == "call_module":
            module = modules[node.target]
            state = UsedState(
                frozenset(parameter_names[id(parameter)] for parameter in module.parameters()),
                frozenset(buffer_names[id(buffer)] for buffer in module.buffers()),
                sum(parameter.numel() for parameter in module.parameters() if parameter.ndim >= 2),
            )
        elif node.op == "get_attr" and node.target in parameters:
            parameter = parameters[node.target]
            state = UsedState(
                frozenset({node.target}), weights=parameter.numel() if parameter.ndim >= 2 else 0
            )
        elif node.op == "get_attr" and node.target in buffers:
            state = UsedState(buffers=frozenset({node.target}))
        states[node] = state
    return states


def assign_levels(
    graph: fx.Graph, facts: Mapping[fx.Node, NodeFacts], states: Mapping[fx.Node, UsedState]
) -> Levels:
    """Returns the level of every node.

    A weighted layer is a layer that owns a parameter with two or more dimensions, or an operation with FLOP on such a
    parameter. Nodes that write in place into memory which other nodes read keep their order.
    """
    nodes = [node for node in graph.nodes if node.op != "output"]
    result = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    free: set[fx.Node] = set()
    free_weights: dict[fx.Node, int] = {}
    level: dict[fx.Node, int] = {}
    weighted: dict[fx.Node, int] = {}
    last_access: dict[int, int] = {}
    last_write: dict[int, int] = {}
    for node in nodes:
        if node.op == "placeholder":
            level[node] = 0
            continue
        inputs = node.all_input_nodes
        own_weights = states[node].weights
        if all(source in free for source in inputs):
            free.add(node)
            free_weights[node] = own_weights + sum(free_weights[source] for source in inputs)
            continue
        if node.op != "call_module" and facts[node].flops > 0:
            own_weights += sum(free_weights.get(source, 0) for source in inputs)
        depth = max(level[source] for source in inputs if source not in free)
        if own_weights > 0:
            weighted[node] = own_weights
            depth += 1
        reads, writes = facts[node].reads, facts[node].writes
        touched = reads | {output.storage for output in facts[node].outputs}
        order = [last_access.get(storage, 0) for storage in writes]
        order += [last_write.get(storage, 0) for storage in touched]
        level[node] = max(depth, *order, 0)
        for storage in touched:
            last_access[storage] = max(last_access.get(storage, 0), level[node])
        for storage in writes:
            last_write[storage] = max(last_write.get(storage, 0), level[node])
    if result in free:
        return Levels({result: 0}, {}, frozenset(free), result)
    last = max(1, level[result])
    for node, depth in level.items():  # nodes whose values are never used must not come after the logits
        level[node] = 0 if node.op == "placeholder" else min(max(depth, 1), last)
    _put_off(level, weighted, facts, last)
    for node in reversed(nodes):
        if node in free:
            level[node] = min((level[user] for user in node.users if user in level), default=1)
    return Levels({node: level[node] for node in nodes}, weighted, frozenset(free), result)


def _put_off(
    level: dict[fx.Node, int],
    weighted: Mapping[fx.Node, int],
    facts: Mapping[fx.Node, NodeFacts],
    depth: int,
) -> None:
    """Moves operations to the next level where fewer bytes cross the split point then.

    Operations after the last weighted layer of a level may run on either side of the split point that follows. A max
    pool should run before it. The norm that opens a transformer's next block should run after it, because its input
    is then all that crosses.
    """
    by_level: dict[int, list[fx.Node]] = {}
    writers: dict[int, list[fx.Node]] = {}
    for node in level:
        by_level.setdefault(level[node], []).append(node)
        for storage in facts[node].writes:
            writers.setdefault(storage, []).append(node)
    order = {node: moment for moment, node in enumerate(level)}
    reaching = by_level[0]
    for split in range(1, depth):
        inside = by_level.get(split, [])
        reaching = [
            node for node in [*reaching, *inside] if any(level.get(u, 0) >= split for u in node.users)
        ]
        early = {node for node in inside if node in weighted}
        early |= {
            node
            for node in inside
            if any(
                order[writer] > order[node]
                for storage in facts[node].reads
                for writer in writers.get(storage, ())
            )
        }  # a later node overwrites what they read
        for node in reversed(inside):
            if node in early:
                early.update(node.all_input_nodes)
        tail = [node for node in inside if node not in early]
        costs = [
            (*_cost(split, set(tail[kept:]), reaching, level, facts, writers), -kept)
            for kept in range(len(tail) + 1)
        ]
        for node in tail[-min(costs)[-1] :]:
            level[node] = split + 1
        reaching = [node for node in reaching if level[node] <= split]
        by_level[split + 1] = [node for node in level if level[node] == split + 1]


def _cost(
    split: int,
    late: set[fx.Node],
    reaching: list[fx.Node],
    level: Mapping[fx.Node, int],
    facts: Mapping[fx.Node, NodeFacts],
    writers: Mapping[int, list[fx.Node]],
) -> tuple[bool, int]:
    """Whether a cut after level ``split`` is illegal with the nodes ``late`` after it, and the bytes that cross it."""

    def is_late(node: fx.Node) -> bool:
        return level.get(node, 0) > split or node in late

    live = [
        output
        for node in reaching
        if node not in late and any(map(is_late, node.users))
        for output in facts[node].outputs
    ]
    illegal = any(not output.batched or any(map(is_late, writers.get(output.storage, ()))) for output in live)
    return illegal, sum(output.bytes for output in live)


def crossing(levels: Levels, split_level: int) -> list[fx.Node]:
    """Returns the nodes whose values are computed up to ``split_level`` and used after it, in running order."""
    if split_level >= levels.depth:
        return [levels.result]
    return [
        node
        for node, level in levels.of.items()
        if node not in levels.free
        and level <= split_level
        and (node is levels.result or any(levels.of.get(user, 0) > split_level for user in node.users))
    ]


def legal_split_levels(
    levels: Levels, facts: Mapping[fx.Node, NodeFacts], states: Mapping[fx.Node, UsedState], granularity: str
) -> list[int]:
    """Returns the levels after which the network may be cut; 0 and the depth are always among them.

    A cut in between is legal if no parameter is used on both sides, every tensor that crosses has the batch as its
    first dimension, and the cloud writes into none of these in place. With ``block``, exactly one tensor may cross.
    """
    spans = {(min(used), max(used)) for used in used_at(levels, states, "parameters").values()}
    legal = [0]
    for split in range(1, levels.depth):
        if any(first <= split < last for first, last in spans):
            continue
        live = [output for node in crossing(levels, split) for output in facts[node].outputs]
        if not live or not all(output.batched for output in live):
            continue
        written = {
            storage for node, level in levels.of.items() if level > split for storage in facts[node].writes
        }
        if not written.isdisjoint(output.storage for output in live):
            continue
        if granularity == "block" and len(live) != 1:
            continue
        legal.append(split)
    return [*legal, levels.depth]


def used_at(levels: Levels, states: Mapping[fx.Node, UsedState], kind: str) -> dict[str, list[int]]:
    """Returns the levels that use each parameter or buffer, by name; ``kind`` is "parameters" or "buffers"."""
    used: dict[str, list[int]] = {}
    for node in levels.of:
        for name in getattr(states[node], kind):
            used.setdefault(name, []).extend(_uses(levels, node))
    return {name: found for name, found in used.items() if found}


def _uses(levels: Levels, node: fx.Node) -> list[int]:
    """The levels at which a node's own state is used: its own level, or for a free node those of its users."""
    if node not in levels.free:
        return [levels.of[node]]
    return [level for user in node.users if user in levels.of for level in _uses(levels, user)]


def segment_names(levels: Levels, split_levels: list[int]) -> list[str]:
    """Returns the names of the segments: each is that of its last weighted layer on the longest path to the logits."""
    height: dict[fx.Node, int] = {}
    for node in reversed(levels.of):
        above = [height[user] for user in node.users if user in height]
        if above or node is levels.result:
            height[node] = max(above, default=0) + (node in levels.weighted)
    names = []
    for low, high in itertools.pairwise(split_levels):
        inside = [node for node in levels.weighted if low < levels.of[node] <= high and node in height]
        if not inside:
            inside = [node for node, level in levels.of.items() if low < level <= high]
        names.append(_label(max(inside, key=lambda node: (levels.of[node], height.get(node, 0)))))
    return names


def _label(node: fx.Node) -> str:
    """A layer's own name; for an operation, the name of the module that it belongs to."""
    return str(node.target) if node.op == "call_module" else enclosing_module(node) or node.name


def enclosing_module(node: fx.Node) -> str:
    """The name of the module whose forward pass contains a node; empty for the backbone itself."""
    stack = list(node.meta.get("nn_module_stack", {}))
    return str(stack[-1]).partition("@")[0] if stack else ""
