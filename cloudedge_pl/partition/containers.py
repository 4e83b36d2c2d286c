"""Calls of a backbone's containers in its traced forward pass, so that a container which runs whole is called itself.

A container's hooks fire only when it is called; the operations inside it do not fire them.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module that was traced inside.

    Args:
        name: the module's name.
        args: the call's positional arguments, with nodes for values.
        kwargs: the call's keyword arguments, with nodes for values.
        output: the call's return value, with nodes for values.
        nodes: the nodes made during the call, in order.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    nodes: tuple[fx.Node, ...]

    def outputs(self) -> list[fx.Node]:
        """The nodes that the call returned; none if it returned anything else."""
        several = self.output if isinstance(self.output, (tuple, list)) else (self.output,)
        return list(several) if all(isinstance(each, fx.Node) for each in several) else []

    def given(self) -> set[fx.Node]:
        """The nodes that the call takes."""
        return {leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, fx.Node)}

    def is_whole(self, free: Collection[fx.Node]) -> bool:
        """Whether the call can replace its nodes: all that goes in and out of them is an argument or an output of it.

        Args:
            free: nodes that do not depend on the input.
        """
        inside, outputs = set(self.nodes), self.outputs()
        if not outputs or not inside.issuperset(outputs):
            return False
        if not all(isinstance(leaf, _ARGUMENTS) for leaf in tree_leaves((self.args, self.kwargs))):
            return False
        known = inside.union(self.given(), free)
        for node in self.nodes:
            if node in free:
                continue
            if not known.issuperset(node.all_input_nodes):
                return False
            if node not in outputs and any(user not in inside for user in node.users):
                return False
        return True

    def emit(self, graph: fx.Graph, copies: dict[fx.Node, fx.Node]) -> None:
        """Appends the call to a graph.

        Args:
            graph: the graph of a part.
            copies: the copies of the nodes that it holds already; the call's outputs are added.
        """
        args, kwargs = fx.node.map_arg((self.args, self.kwargs), copies.__getitem__)
        made = graph.call_module(self.name, args, kwargs)
        if isinstance(self.output, fx.Node):
            copies[self.output] = made
            return
        for at, node in enumerate(self.output):
            copies[node] = graph.call_function(operator.getitem, (made, at))


_ARGUMENTS = (fx.Node, int, float, str, type(None))


def node_of(value: Any) -> Any:
    """The value with nodes in place of proxies."""
    return fx.node.map_aggregate(value, lambda each: each.node if isinstance(each, fx.Proxy) else each)


def whole_calls(calls: Iterable[Call], inside: Collection[fx.Node], free: Collection[fx.Node]) -> list[Call]:
    """The outermost calls that run whole in a part of the graph.

    Args:
        calls: all calls of the forward pass.
        inside: the nodes of the part, without the free ones.
        free: nodes that do not depend on the input.
    """
    found: list[Call] = []
    covered: set[fx.Node] = set()
    for call in sorted(calls, key=lambda call: -len(call.nodes)):
        running = [node for node in call.nodes if node not in free]
        if (
            running
            and covered.isdisjoint(running)
            and all(node in inside for node in running)
            and call.is_whole(free)
        ):
            found.append(call)
            covered.update(running)
    return found


def silent(calls: Sequence[Call], parts: Iterable[Sequence[Call]], free: Collection[fx.Node]) -> set[str]:
    """The modules whose hooks do not fire, because none of the parts calls them.

    Args:
        calls: all calls of the forward pass.
        parts: the calls that each part makes.
        free: nodes that do not depend on the input.
    """
    made = [(call, set(call.nodes)) for part in parts for call in part]

    def is_made(call: Call) -> bool:
        running = [node for node in call.nodes if node not in free]
        if running:
            return any(nodes.issuperset(running) for _, nodes in made)
        return any(f"{call.name}.".startswith(f"{outer.name}.") for outer, _ in made)

    return {call.name for call in calls if not is_made(call)}
