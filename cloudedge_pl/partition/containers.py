"""Calls of a backbone's containers in its followed forward pass, so that one which runs whole can be called as it is.

Only so do the hooks of a container fire: the operations inside it know nothing of them.
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
    """One call of a module that has been followed inside.

    Args:
        name: of the module.
        args: that it was called with, nodes for values.
        kwargs: likewise.
        output: likewise, what it returned.
        nodes: made during the call, in their order.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    nodes: tuple[fx.Node, ...]

    def outputs(self) -> list[fx.Node]:
        """The nodes that the call returned, none where it returned anything but nodes."""
        several = self.output if isinstance(self.output, (tuple, list)) else (self.output,)
        return list(several) if all(isinstance(each, fx.Node) for each in several) else []

    def given(self) -> set[fx.Node]:
        """The nodes that the call takes."""
        return {leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, fx.Node)}

    def is_whole(self, free: Collection[fx.Node]) -> bool:
        """Whether the call stands for its nodes: it takes and gives all that goes in and out.

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
            graph: of a part.
            copies: of the nodes that are in it already; those that the call gives are added.
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
    """Nodes for the proxies in a value."""
    return fx.node.map_aggregate(value, lambda each: each.node if isinstance(each, fx.Proxy) else each)


def whole_calls(calls: Iterable[Call], inside: Collection[fx.Node], free: Collection[fx.Node]) -> list[Call]:
    """The outermost calls that run whole in a part of the graph.

    Args:
        calls: all there are.
        inside: the nodes of the part, but for free ones.
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
    """The modules whose own hooks do not fire, since none of the parts calls them.

    Args:
        calls: all there are.
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
