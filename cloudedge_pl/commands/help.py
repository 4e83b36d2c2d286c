"""``cloudedge COMMAND --help``: every key of the command's config, explained by the comments in the YAML files."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

WIDTH = 110

NO_GROUPS = ("_self_", "_run_dirs", "_own_dir")
"""Entries of a defaults list that are neither a group nor a base file, whose keys stand at the top."""

OF_ALL_GROUPS = ("experiment", "sweep")
"""Groups whose files set keys of the other groups and of Hydra."""

KEY = re.compile(
    r"^(?P<indent> *)(?P<name>(?:override /)?[\w.]+):(?: +(?P<value>[^#]*?))?(?: +# (?P<comment>.*))?$"
)

ON_CHECKPOINT = {
    "evaluate": "tests a checkpoint of `cloudedge train` with the config of its run.",
    "calibrate": "chooses the threshold above which samples exit, on the validation set, and writes a copy of the "
    "checkpoint with it.",
    "export": "writes a trained network as edge part, exit head and cloud part, each compared with the network.",
}
"""What the commands do that take a checkpoint and the config of its run."""

WITH_KEYS = ("export",)
"""Those of them that have keys of their own, in a file of ``conf/``."""

CHECKPOINT = """\
  ckpt=PATH  the checkpoint, in the folder of its run: outputs/.../checkpoints/best.ckpt; must be given

Every key below can be overridden; otherwise it has the value of the run.
"""


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, its value as written, and its comment."""

    name: str
    value: str
    comment: str


class Section(NamedTuple):
    """A group of a config: its name, the chosen option, all options, its purpose, and its keys."""

    group: str
    option: str
    options: list[str]
    about: str
    keys: list[Key]


def show(command: str, arguments: Sequence[str]) -> str:
    """Returns the help of a command; ``group=option`` among the arguments chooses the option whose keys are shown.

    Args:
        command: a command's name.
        arguments: the command line.
    """
    config = "train" if command in ON_CHECKPOINT else command
    chosen = {name: value for name, _, value in (each.partition("=") for each in arguments) if value}
    title, keys, sections = composed(config, chosen)
    lines = [f"{title}\n", f"usage: cloudedge {command} [OVERRIDE ...]"]
    if command in ON_CHECKPOINT:
        about = f"cloudedge {command} ckpt=PATH [OVERRIDE ...]: {ON_CHECKPOINT[command]}"
        own = read(f"{command}.yaml")[2] if command in WITH_KEYS else []
        given, rest = CHECKPOINT.split("\n\n")
        lines = [*textwrap.wrap(about, WIDTH), "", given, *_listed(own, ""), "", rest]
    lines += [
        "Overrides: key=value, group=option, +key=value adds a key, ~key removes one; -m starts several runs.",
        "A value that contains = { } [ ] ( ) , or blanks needs quotes within quotes: 'file=\"a=b.csv\"'.",
    ]
    if keys:
        lines += ["", *_listed(keys, "")]
    for section in sections:
        lines += ["", f"{section.group}={section.option}    one of: {', '.join(section.options)}"]
        lines += _wrapped(section.about, 4)
        lines += _listed(section.keys, "" if section.group in OF_ALL_GROUPS else f"{section.group}.")
    return "\n".join(lines) + "\n"


def composed(config: str, chosen: Mapping[str, str]) -> tuple[str, list[Key], list[Section]]:
    """Returns the content of a config: its first comment, its own keys, and its groups.

    Args:
        config: "train", "plan" or "schedule".
        chosen: options by group that differ from the config's; an ``experiment`` overrides further keys.
    """
    title, groups, keys = read(f"{config}.yaml")
    own = {key.name for key in keys}
    for base in (group.name for group in groups if group.name.startswith("_")):
        keys = [*keys, *(key for key in read(f"{base}.yaml")[2] if key.name not in own)]
    groups = [group for group in groups if not group.name.startswith(("_", "override "))]
    options = {group.name: _options(group.name) for group in groups}
    about, overridden = "", {}
    changed: list[Key] = []
    default = next((group.value for group in groups if group.name == "experiment"), "null")
    experiment = chosen.get("experiment", default)
    if experiment in options.get("experiment", ()):
        about, bases, changed = read(f"experiment/{experiment}.yaml")
        overridden = {base.name.removeprefix("override /"): base.value for base in bases}
    sections = []
    for group in groups:
        option = chosen.get(group.name, overridden.get(group.name, group.value))
        said, content = "", list[Key]()
        if group.name == "experiment":
            said = about
        elif group.name in OF_ALL_GROUPS and option in options[group.name]:
            said, _, content = read(f"{group.name}/{option}.yaml")
        elif option in options[group.name]:
            said, content = _merged(group.name, option)
            prefix = f"{group.name}."
            content = _over(
                content,
                (
                    key._replace(name=key.name.removeprefix(prefix))
                    for key in changed
                    if key.name.startswith(prefix)
                ),
            )
        sections.append(Section(group.name, option, options[group.name], group.comment or said, content))
    return title, keys, sections


def _options(group: str) -> list[str]:
    names = (path.name for path in (files("cloudedge_pl.conf") / group).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and name[0] != "_")


def read(path: str) -> tuple[str, list[Key], list[Key]]:
    """Returns the first comment of a file in ``conf/``, its defaults list (groups), and its other keys."""
    head: list[str] = []
    defaults: list[Key] = []
    keys: list[Key] = []
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    in_defaults = False
    text = (files("cloudedge_pl.conf") / path).read_text(encoding="utf-8")
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# @package"):
            continue
        if not stripped:
            head, comment = head or comment, []
        elif stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
        elif stripped.startswith("- "):
            found = KEY.match(stripped.removeprefix("- "))
            if in_defaults and (found or stripped.removeprefix("- ") != "_self_"):
                entry = found or {"name": stripped.removeprefix("- "), "value": "", "comment": ""}
                defaults.append(Key(entry["name"], entry["value"] or "", entry["comment"] or ""))
        elif found := KEY.match(line):
            if not (head or keys or defaults) and (comment or found["name"] == "_target_"):
                whole = found["name"] in ("_target_", "defaults")
                head, comment = (comment, []) if whole else (comment[:1], comment[1:])
            indent, in_defaults = len(found["indent"]), found["name"] == "defaults"
            parents = [each for each in parents if each[0] < indent]
            parents.append((indent, found["name"]))
            said = " ".join(comment) or found["comment"] or ""
            comment = []
            if not in_defaults and found["name"] not in ("_target_", "_partial_"):
                name = ".".join(each for _, each in parents)
                keys.append(Key(name, (found["value"] or "").strip(), said))
    return " ".join(head), [each for each in defaults if each.name not in NO_GROUPS], keys


def _merged(group: str, option: str) -> tuple[str, list[Key]]:
    """Returns an option's comment and keys, including those of the files that it is based on."""
    about, bases, own = read(f"{group}/{option}.yaml")
    keys: list[Key] = []
    for base in bases:
        keys = _over(keys, _merged(group, base.name)[1])
    return about, _over(keys, own)


def _over(keys: Iterable[Key], changes: Iterable[Key]) -> list[Key]:
    """Applies changes to keys; a key keeps its comment unless the change has one."""
    found = {key.name: key for key in keys}
    for key in changes:
        known = found.get(key.name)
        found[key.name] = key if key.comment or known is None else known._replace(value=key.value)
    return list(found.values())


def _listed(keys: Sequence[Key], prefix: str) -> Iterator[str]:
    for key in keys:
        yield f"  {prefix}{key.name}{f'={key.value}' if key.value else ''}"
        yield from _wrapped(key.comment, 6)


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space)
