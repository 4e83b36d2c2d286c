"""The table of ``cloudedge compare``: what every system did on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from cloudedge_pl.costs.units import ABSENT, format_joules
from cloudedge_pl.reports.simulation_parts import time_text
from cloudedge_pl.reports.wording import bytes_text, percent_text
from cloudedge_pl.systems import SystemResult

Format = Callable[[Any], str]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _joules(value: float) -> str:
    return format_joules(value, digits=3)


COLUMNS: Final[list[tuple[str, str, Format]]] = [
    ("split_point", "cut", str),
    ("accuracy", "accuracy", percent_text),
    ("p50_delay_seconds", "median", time_text),
    ("p95_delay_seconds", "95%", time_text),
    ("mean_energy_joules", "energy", _joules),
    ("mean_active_joules", "active", _joules),
    ("mean_upload_bytes", "uploaded", bytes_text),
    ("deadline_miss_share", "late", _percent),
    ("rejected", "rejected", "{:,}".format),
    ("share_asleep", "asleep", _percent),
    ("exited_share", "exited", _percent),
]
"""Fields of a result, their headings, and what writes them."""

OPTIONAL: Final = ("accuracy", "rejected")
"""Columns that are left out where no system has a value other than None or 0."""


def system_table(results: Sequence[SystemResult], title: str = "Systems on the same tasks") -> Table:
    """A numbered row for each system; ``!`` behind a cut marks one that breaks limits of the plan.

    Args:
        results: in the order of the rows.
        title: above the table.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown = [
        column
        for column in COLUMNS
        if column[0] not in OPTIONAL or any(getattr(r, column[0]) for r in results)
    ]
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("system", overflow="fold")
    for _, heading, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for number, result in enumerate(results, 1):
        cells = [_written(getattr(result, name), write) for name, _, write in shown]
        cells[0] += "!" if result.broken_limits else " "
        table.add_row(str(number), escape(result.title), *cells)
    return table


def limits_text(results: Sequence[SystemResult]) -> str:
    """Which limits of the plan the marked systems break, a line each; empty if none does."""
    lines = [
        f"! {number} ({result.title}) breaks a limit of the plan: {result.broken_limits}"
        for number, result in enumerate(results, 1)
        if result.broken_limits
    ]
    return "\n".join(lines)


def _written(value: float | None, write: Format) -> str:
    return ABSENT if value is None or math.isnan(value) else write(value)
