"""Where the nodes and the cloud are, as a master is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudedge_pl.errors import lookup, require_fields, require_types
from cloudedge_pl.serving.client import server_address
from cloudedge_pl.yaml_files import read_yaml


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """URLs of nodes and cloud.

    Args:
        nodes: URL by name of the node; at least one. A list of URLs names them node-0, node-1 and so on.
        cloud: URL; None if there is none, so that the exit head answers everything.

    Raises:
        ValueError: if there is no node, an address is no URL, or two nodes have the same.
    """

    nodes: Mapping[str, str]
    cloud: str | None = None

    def __post_init__(self) -> None:
        nodes: Any = self.nodes
        if isinstance(nodes, (list, tuple)):
            nodes = {f"node-{index}": url for index, url in enumerate(nodes)}
        object.__setattr__(self, "nodes", nodes)
        require_fields("addresses", self)
        if not nodes:
            raise ValueError("addresses: nodes is empty; give the URL of at least one node.")
        taken: dict[tuple[str, str, int], str] = {}
        for name, url in nodes.items():
            require_types("addresses", _node, {"name": name})
            first = taken.setdefault(server_address(str(url)), name)
            if first != name:
                raise ValueError(
                    f"addresses: the nodes {first!r} and {name!r} are both at {url!r}; give each its own address."
                )
        if self.cloud is not None:
            server_address(self.cloud)

    @classmethod
    def of(cls, given: str | Path | Mapping[str, Any]) -> Addresses:
        """Makes them of a mapping with ``nodes`` and ``cloud``, or of a YAML file that holds one.

        Raises:
            ValueError: if the file cannot be read, or the content is wrong.
        """
        content: Any = given
        if isinstance(given, (str, Path)):
            try:
                content = read_yaml(Path(given))
            except OSError as error:
                raise ValueError(
                    f"addresses: {given} cannot be read ({error}); give a YAML file with nodes and cloud."
                ) from error
        if not isinstance(content, Mapping) or "nodes" not in content:
            raise ValueError(f"addresses: {given} has no nodes; it needs a mapping with nodes and cloud.")
        for key in content:
            lookup(("nodes", "cloud"), str(key), "key of addresses,")
        return cls(nodes=content["nodes"], cloud=content.get("cloud"))


def _node(name: str) -> None:
    """The type of a node's name, as a signature."""
