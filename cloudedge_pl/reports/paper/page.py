"""The page of a reproduction: what the paper claims beside what was measured, in HTML and in Markdown.

``report.html`` needs no other file and no script; ``report.md`` refers to the pictures beside it.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.files import written_whole
from cloudedge_pl.paper.part import PartResult, Table
from cloudedge_pl.paper.verdict import CONDITIONAL, FAILS, HOLDS, STATES, Verdict
from cloudedge_pl.reports.paper.cells import cell_text, heading

MOST_OPEN_ROWS: Final = 14
"""Longer tables are folded in HTML; Markdown refers to their CSV file."""

MOST_ROWS: Final = 60
"""Longer tables are not on the page; it refers to their CSV file."""

CLASSES: Final = {HOLDS: "holds", CONDITIONAL: "conditional", FAILS: "fails"}
"""Of the style sheet, by the state of a verdict."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """A part on the page.

    Args:
        name: of the part.
        title: what it shows.
        state: what became of it, in words.
        result: what it found; None if it is not made.
        picture: its drawing; None if there is none.
        seconds: wall time of the measurement.
        made_on: date and time of its end.
        machine: on which it was made.
        error: one line, if it failed.
    """

    name: str
    title: str
    state: str
    result: PartResult | None = None
    picture: Path | None = None
    seconds: float | None = None
    made_on: str = ""
    machine: str = ""
    error: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class About:
    """How the page was made.

    Args:
        command: that made it.
        setting: of the paper's experiments in words, by what each line is about.
        machine: on which it was made.
        versions: of packages.
        wall_seconds: of the call that made the page.
        made_on: date and time.
    """

    command: str
    setting: Mapping[str, str]
    machine: str
    versions: Mapping[str, str]
    wall_seconds: float
    made_on: str


def save_page(sections: Sequence[Section], about: About, folder: Path) -> list[Path]:
    """Writes ``report.html`` and ``report.md``.

    Args:
        sections: all parts in the order of the page; those without a result are listed as missing.
        about: how the page was made.
        folder: of the page, the pictures and the CSV files.

    Returns:
        The paths of both.
    """
    content = _content(sections, about)
    paths = []
    for name in ("report.html", "report.md"):
        text = _environment(html=name.endswith("html")).get_template(f"{name}.j2").render(content)
        with written_whole(folder / name) as part:
            part.write_text(text.rstrip() + "\n", encoding="utf-8")
        paths.append(folder / name)
    return paths


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("cloudedge_pl.reports.paper"),
        autoescape=html,
        # in Markdown whatever a template writes is escaped by the filters below
        finalize=None if html else _markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": _code, "data_uri": _data_uri}
    return environment


def _content(sections: Sequence[Section], about: About) -> dict[str, Any]:
    made = [section for section in sections if section.result is not None]
    verdicts = [verdict for each in made if each.result is not None for verdict in each.result.verdicts]
    return {
        "about": about,
        "wall_time": format_seconds(about.wall_seconds),
        "sections": [_section(section) for section in made],
        "missing": [section for section in sections if section.result is None],
        "count": len(verdicts),
        "states": _counted(verdicts),
    }


def _counted(verdicts: Sequence[Verdict]) -> str:
    """Returns how many claims are in which state: ``3 hold under conditions (1 at this setting), 1 does not hold``."""
    counts = Counter(verdict.state for verdict in verdicts)
    here = sum(verdict.at_setting for verdict in verdicts if verdict.state == CONDITIONAL)
    words = []
    for state in STATES:
        if counts[state]:
            plural = state.replace("holds", "hold").replace("does not", "do not")
            text = f"{counts[state]} {state if counts[state] == 1 else plural}"
            words.append(f"{text} ({here} of them at this setting)" if state == CONDITIONAL else text)
    return ", ".join(words)


def _section(section: Section) -> dict[str, Any]:
    result = section.result
    assert result is not None
    files = result.files(section.name)
    return {
        "name": section.name,
        "title": section.title,
        "state": section.state,
        "error": section.error,
        "picture": section.picture,
        "verdicts": [_verdict(verdict) for verdict in result.verdicts],
        "tables": [_table(table, files[key]) for key, table in result.tables.items()],
        "notes": result.notes,
        "commands": result.commands,
        "time": "" if section.seconds is None else format_seconds(section.seconds),
        "made_on": section.made_on,
        "machine": section.machine,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim,
        "measured": verdict.measured,
        "state": verdict.state,
        "class": CLASSES[verdict.state],
        "here": _here(verdict),
        "flips": [flip.text for flip in verdict.flips],
    }


def _here(verdict: Verdict) -> str:
    """Returns what the state leaves open: whether the claim holds at the page's own setting."""
    if verdict.state != CONDITIONAL:
        return ""
    return "also at this setting" if verdict.at_setting else "not at this setting"


def _table(table: Table, file: str) -> dict[str, Any]:
    shown = table.shown or tuple(table.columns)
    columns = [table.columns[name] for name in shown]
    words = [any(isinstance(cell, str) for cell in column) for column in columns]
    rows = [
        [cell_text(name, cell) for name, cell in zip(shown, row, strict=True)]
        for row in zip(*columns, strict=True)
    ]
    return {
        "title": table.title,
        "file": file,
        "headings": [heading(name) for name in shown],
        "classes": ["words" if is_words else "number" for is_words in words],
        "rows": rows if len(rows) <= MOST_ROWS else [],
        "num_rows": f"{len(rows):,}",
        "folded": len(rows) > MOST_OPEN_ROWS,
    }


def _data_uri(path: Path) -> str:
    """Returns a PNG file as a URI that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


class _Raw(str):
    """Text for Markdown that is not to be escaped again."""


def _markdown(value: Any) -> str:
    """Returns text of which Markdown, and HTML within it, takes no character for a mark."""
    text = str(value)
    if isinstance(value, _Raw):
        return text
    text = " ".join(text.split()) if "\n" in text else text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", text)


def _code(value: Any) -> _Raw:
    """Returns a line as a block of code, in a fence that does not occur in it."""
    line = " ".join(str(value).split())
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return _Raw(f"{fence}\n{line}\n{fence}")
