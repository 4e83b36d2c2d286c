"""The verdicts as a table on the console."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cloudedge_pl.paper.verdict import CONDITIONAL, FAILS, HOLDS, Verdict

STYLES = {HOLDS: "green", CONDITIONAL: "yellow", FAILS: "red"}


def state_in_words(verdict: Verdict) -> str:
    """Returns the state, and where it leaves that open, whether the claim holds at the setting itself."""
    if verdict.state != CONDITIONAL:
        return verdict.state
    return f"{verdict.state}, {'here too' if verdict.at_setting else 'not here'}"


def verdict_table(verdicts: Iterable[tuple[str, Verdict]]) -> Table:
    """A row for each claim of the paper.

    Args:
        verdicts: name of the part, and a verdict on what the paper claims there.
    """
    table = Table(title="Claims of the paper", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("part", no_wrap=True)
    table.add_column("the paper claims", ratio=3)
    table.add_column("verdict", ratio=1)
    table.add_column("measured", ratio=3)
    before = ""
    for name, verdict in verdicts:
        shown = name if name != before else ""
        before = name
        table.add_row(
            shown,
            Text(verdict.claim),
            Text(state_in_words(verdict), style=STYLES[verdict.state]),
            Text(verdict.measured),
        )
    return table
