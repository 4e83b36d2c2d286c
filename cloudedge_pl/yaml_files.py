"""YAML files that people write; an error names the file, where it can the line, and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloudedge_pl.text_tables import read_text


def read_yaml(path: Path) -> Any:
    """Reads a file as plain containers; a key that a mapping has twice is refused, where YAML's loader takes the last.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is not YAML in UTF-8, repeats a key, or is nested too deeply.
    """
    import yaml  # type: ignore[import-untyped]  # it ships no types

    text = read_text(path)
    try:
        _require_unique_keys(path, yaml.compose(text, Loader=yaml.SafeLoader), yaml)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: it is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(
            f"{path}: its lists or mappings are nested too deeply; write fewer levels."
        ) from None


def _require_unique_keys(path: Path, root: Any, yaml: Any) -> None:
    open_nodes, seen = ([root] if root is not None else []), set()
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in seen:  # an alias, perhaps of a mapping around it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key, _ in node.value:
                if keys.count(key.value) > 1:
                    line = max(each.start_mark.line for each, _ in node.value if each.value == key.value) + 1
                    raise ValueError(
                        f"{path}, line {line}: the key {key.value!r} appears twice; remove one of them."
                    )
            open_nodes += [each for _, each in node.value]
        elif isinstance(node, yaml.SequenceNode):
            open_nodes += node.value
