"""Where the nodes and the cloud are, as a master is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from cloudedge_pl.errors import lookup, require_fields
from cloudedge_pl.serving.client import model_url


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """URLs of nodes and cloud.

    Args:
        nodes: URL by name of the node; at least one. A list of URLs names them node-0, node-1 and so on.
        cloud: URL; None if there is none, so that the exit head answers everything.

    Raises:
        ValueError: if there is no node, or an address is no URL.
    """

    nodes: Mapping[str, str]
    cloud: str | None = None

    def __post_init__(self) -> None:
        nodes: Any = self.nodes
        if isinstance(nodes, (list, tuple)):
            nodes = {f"node-{index}": url for index, url in enumerate(nodes)}
        object.__setattr__(self, "nodes", nodes)
        require_fields("fleet", self)
        if not nodes:
            raise ValueError("fleet: nodes is empty; give the URL of at least one node.")
        for url in (*nodes.values(), *([] if self.cloud is None else [self.cloud])):
            model_url(str(url), "")

    @classmethod
    def of(cls, given: str | Path | Mapping[str, Any]) -> Addresses:
        """Makes them of a mapping with ``nodes`` and ``cloud``, or of a YAML file that holds one.

        Raises:
            ValueError: if the file cannot be read, or the content is wrong.
        """
        content: Any = given
        if isinstance(given, (str, Path)):
            try:
                content = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError) as error:
                raise ValueError(
                    f"fleet: {given} cannot be read ({error}); give a YAML file with nodes and cloud."
                ) from error
        if not isinstance(content, Mapping) or "nodes" not in content:
            raise ValueError(f"fleet: {given} has no nodes; it needs a mapping with nodes and cloud.")
        for key in content:
            lookup(("nodes", "cloud"), str(key), "key of fleet,")
        return cls(nodes=content["nodes"], cloud=content.get("cloud"))
