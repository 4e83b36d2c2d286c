"""The directive ``config-keys``: every key of a command's config, read from the comments in ``conf/`` at build time.

```{config-keys} train
```

lists the keys of ``conf/train.yaml`` and, a section each, its groups: the keys of a group's default option, and what
every other option changes. The same comments are what ``cloudedge train --help`` shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cloudedge_pl.commands.help import OF_ALL_GROUPS, Key, Section, composed, read


class ConfigKeys(SphinxDirective):
    """Lists the keys of the config that is named, leaving out the groups that ``without`` names."""

    required_arguments = 1
    option_spec: ClassVar = {"without": str.split}

    def run(self) -> list[nodes.Node]:
        config = self.arguments[0]
        about, keys, sections = composed(config, {})
        found: list[nodes.Node] = [nodes.paragraph(text=about)]
        if keys:
            found.append(_table(keys, ""))
        skipped = self.options.get("without", ())
        found += [_group(config, section) for section in sections if section.group not in skipped]
        return found


def _group(config: str, section: Section) -> nodes.section:
    """A group: its options, the keys of the one that is the default, and what the others change."""
    group, default = section.group, section.option
    found = nodes.section(ids=[f"{config}-{group}"], names=[f"{config}-{group}"])
    found += nodes.title(text=group)
    if default != "null":
        found += _paragraph(nodes.literal(text=f"{group}={default}"), f" (default): {_about(group, default)}")
        if section.keys:
            found += _table(section.keys, f"{group}.")
    for option in section.options:
        if option != default:
            found += _paragraph(nodes.literal(text=f"{group}={option}"), f": {_about(group, option)}")
            changed = [key for key in _keys(config, group, option) if key not in section.keys]
            if changed:
                found += _table(changed, "" if group in OF_ALL_GROUPS else f"{group}.")
    return found


def _about(group: str, option: str) -> str:
    about = read(f"{group}/{option}.yaml")[0]
    return about if about.endswith(".") else f"{about}."


def _keys(config: str, group: str, option: str) -> list[Key]:
    """The keys of an option; those of an experiment or a sweep are keys of other groups."""
    if group in OF_ALL_GROUPS:
        return read(f"{group}/{option}.yaml")[2]
    return next(each.keys for each in composed(config, {group: option})[2] if each.group == group)


def _paragraph(*parts: nodes.Node | str) -> nodes.paragraph:
    children = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *children)


def _table(keys: Iterable[Key], prefix: str) -> nodes.table:
    """A row for each key: its dotted name, its default, its meaning."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (28, 22, 50)), cols=3)
    group += nodes.thead("", _row(*(nodes.paragraph(text=name) for name in ("key", "default", "meaning"))))
    body = nodes.tbody()
    for key in keys:
        value = [nodes.literal(text=key.value)] if key.value else []
        name = nodes.literal(text=f"{prefix}{key.name}")
        body += _row(_paragraph(name), _paragraph(*value), nodes.paragraph(text=key.comment))
    group += body
    return nodes.table("", group, align="left")


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive; called by Sphinx."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
