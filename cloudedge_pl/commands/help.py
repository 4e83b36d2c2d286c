"""``cloudedge COMMAND --help``: every key of the command's config, with its meaning from the YAML's own comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

WIDTH = 110

KEY = re.compile(r"^(?P<indent> *)(?P<name>[\w.]+):(?: +(?P<value>[^#]*?))?(?: +# (?P<comment>.*))?$")

EVALUATE = """\
cloudedge evaluate ckpt=PATH [OVERRIDE ...]: tests a checkpoint of `cloudedge train` with the config of its run.

  ckpt=PATH  the checkpoint, in the folder of its run: outputs/.../checkpoints/best.ckpt; must be given

Every key below may be overridden; without that, it is as it was in the run.
"""


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, its value as it is written there, and the comment that says what it is."""

    name: str
    value: str
    comment: str


def show(command: str, arguments: Sequence[str]) -> str:
    """The help of a command; ``group=option`` among the arguments picks which option's keys are shown.

    Args:
        command: "train", "plan", "schedule" or "evaluate".
        arguments: of the command line.
    """
    config = "train" if command == "evaluate" else command
    title, groups, keys = read(f"{config}.yaml")
    lines = (
        [EVALUATE] if command == "evaluate" else [f"{title}\n", f"usage: cloudedge {command} [OVERRIDE ...]"]
    )
    lines += [
        "Overrides: key=value, group=option, +key=value for one more, ~key to leave one out; -m for several runs.",
        "A value with = { } [ ] ( ) , or blanks goes into quotes within quotes: 'file=\"a=b.csv\"'.",
    ]
    chosen = {name: value for name, _, value in (each.partition("=") for each in arguments) if value}
    if keys:
        lines += ["", *_listed(keys, "")]
    for group in groups:
        options = sorted(
            path.name.removesuffix(".yaml")
            for path in (files("cloudedge_pl.conf") / group.name).iterdir()
            if path.name.endswith(".yaml")
        )
        option = chosen.get(group.name, group.value)
        lines += ["", f"{group.name}={option}    one of: {', '.join(options)}"]
        about, content = ("", []) if option not in options else _merged(group.name, option)
        lines += _wrapped(group.comment or about, 4)
        lines += _listed(content, f"{group.name}.")
    return "\n".join(lines) + "\n"


def read(path: str) -> tuple[str, list[Key], list[Key]]:
    """The comment at the head of a file of ``conf/``, its defaults list (groups), and its other keys."""
    head: list[str] = []
    defaults: list[Key] = []
    keys: list[Key] = []
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    in_defaults = False
    text = (files("cloudedge_pl.conf") / path).read_text(encoding="utf-8")
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# @package") or not stripped:
            comment = comment if stripped else []
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
            if not in_defaults and found["name"] != "_target_":
                name = ".".join(each for _, each in parents)
                keys.append(Key(name, (found["value"] or "").strip(), said))
    return " ".join(head), [each for each in defaults if not each.name.startswith("_")], keys


def _merged(group: str, option: str) -> tuple[str, list[Key]]:
    """An option's comment and keys, with those of the options that it builds on."""
    about, bases, own = read(f"{group}/{option}.yaml")
    keys: dict[str, Key] = {}
    for base in bases:
        if not base.value:
            keys |= {key.name: key for key in _merged(group, base.name)[1]}
    for key in own:
        known = keys.get(key.name)
        keys[key.name] = key if key.comment or known is None else known._replace(value=key.value)
    return about, list(keys.values())


def _listed(keys: Sequence[Key], prefix: str) -> Iterator[str]:
    for key in keys:
        yield f"  {prefix}{key.name}{f'={key.value}' if key.value else ''}"
        yield from _wrapped(key.comment, 6)


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space)
