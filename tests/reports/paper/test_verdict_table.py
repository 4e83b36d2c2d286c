"""The console's table of verdicts shows text as it is."""

from __future__ import annotations

import io

from rich.console import Console

from cloudedge_pl.paper.verdict import Trial, judge
from cloudedge_pl.reports.paper.verdict_table import verdict_table


def test_a_row_for_each_claim_and_the_part_once():
    tried = Trial(setting={"n": 1}, holds=True)
    verdicts = [
        ("fig5", judge("memory [bold]grows[/bold]", "by 2 MB", {}, at_setting=True)),
        ("fig5", judge("steeply", "not so", {}, at_setting=False)),
        ("fig6", judge("delay falls", "by 1 s", {}, at_setting=True)),
        ("fig7", judge("it is fast", "by 2 s", {}, at_setting=False, axes={"n": [tried]})),
    ]
    file = io.StringIO()
    Console(file=file, width=120).print(verdict_table(verdicts))
    text = file.getvalue()
    assert "memory [bold]grows[/bold]" in text
    assert text.count("fig5") == 1
    assert [text.count(word) for word in ("holds", "does not hold", "by 1 s")] == [3, 1, 1]
    assert "not here" in text
