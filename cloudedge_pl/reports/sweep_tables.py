"""The tables of ``cloudedge collect``: a metric by what was swept, and the runs that did not come to their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cloudedge_pl.reports.sweep_figure import worded, writer_of
from cloudedge_pl.reports.sweep_groups import Grouped, Run, Runs, value_text

MOST_ROWS = 40
"""Rows that are shown; runs.csv has all."""


def sweep_table(found: Grouped) -> Table:
    """A row for each group of runs: how many, and their mean, lowest and highest value."""
    table = _table(f"{worded(found.metric)} ({found.metric})")
    names = [name for name in (found.lines, found.x) if name is not None]
    for name in names:
        table.add_column(name, justify="right")
    for heading in ("runs", "mean", "lowest", "highest"):
        table.add_column(heading, justify="right")
    write = writer_of(found.metric)
    for group in found.groups[:MOST_ROWS]:
        given = [value_text(group.line)] if found.lines is not None else []
        given += [value_text(group.x)] if found.x is not None else []
        numbers = [write(value, 4) for value in (group.mean, min(group.values), max(group.values))]
        table.add_row(*given, str(len(group.values)), *numbers)
    if len(found.groups) > MOST_ROWS:
        table.caption = Text(f"and {len(found.groups) - MOST_ROWS} more")
    return table


def states_text(runs: Runs) -> str:
    """How many runs there are in each state: "12 runs: 10 done, 1 failed, 1 interrupted"."""
    counts = Counter(run.row.state for run in runs.runs)
    return f"{len(runs.runs)} runs: {', '.join(f'{count} {state}' for state, count in counts.items())}"


def unfinished_table(runs: Sequence[Run]) -> Table:
    """A row for each run that did not come to its end: its state, folder, overrides, and why."""
    table = _table("not in the figure")
    for heading in ("state", "folder", "overrides", "error"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        row = run.row
        error = row.error or ("killed, or still running" if row.state == "running" else "")
        table.add_row(row.state, Text(str(run.folder)), Text(" ".join(row.overrides)), Text(error))
    return table


def _table(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    return table
