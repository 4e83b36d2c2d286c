"""Progress of parts: lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cloudedge_pl.commands import part_progress
from cloudedge_pl.commands.part_progress import PartProgress
from cloudedge_pl.paper.part import Part, PartResult, Table

PART = Part(
    name="fig7",
    title="Figure 7: schedules",
    measure=lambda *_: PartResult(verdicts=(), tables={"main": Table(title="t", columns={"a": [1]})}),
)


def shown(terminal: bool) -> str:
    file = io.StringIO()
    with PartProgress(Console(file=file, force_terminal=terminal, width=100), 2) as progress:
        progress.begin(PART)
        progress.step("ATSA [x]", 1, 4)
        progress.step("ATSA [x]", 2, 4)
        progress.step("PSO", 3, 4)
        progress.end("fig7: made in 2 s")
    return file.getvalue()


def test_lines_say_begin_and_end():
    assert shown(terminal=False) == "fig7: Figure 7: schedules\nfig7: made in 2 s\n"


def test_a_long_part_says_its_steps_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(part_progress, "SECONDS_BETWEEN_LINES", 0.0)
    lines = shown(terminal=False).splitlines()
    assert lines[1:3] == ["fig7: ATSA [x] (1 of 4)", "fig7: PSO (3 of 4)"]


def test_a_terminal_shows_where_it_is():
    text = shown(terminal=True)
    assert "fig7: made in 2 s" in text
    assert "fig7: PSO" in text
    assert "part 1 of 2" in text
