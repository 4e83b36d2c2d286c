"""Cells of a part's tables for a reader: rounded, with units that the column's name gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from cloudedge_pl.costs.units import ABSENT, format_percent, format_rate
from cloudedge_pl.paper.part import Cell
from cloudedge_pl.reports.wording import UNITS

Write = Callable[[float], str]


def _rate(value: float) -> str:
    return format_rate(value, "/s")


SUFFIXES: Final[dict[str, Write]] = {
    **UNITS,
    "_per_second": _rate,
    "_share": format_percent,
}
"""How the cells of a column are written, by the end of its name; the first that fits counts."""

SHARES: Final = ("accuracy", "error")
"""Last words of columns that hold shares and keep their whole name."""


def heading(column: str) -> str:
    """Returns a column's name without the unit that its cells carry: ``mean delay`` of ``mean_delay_seconds``."""
    suffix = _suffix(column)
    return (column.removesuffix(suffix) if suffix else column).replace("_", " ")


def cell_text(column: str, value: Cell) -> str:
    """Returns a cell with three or four digits and its unit; a missing value is a dash.

    >>> cell_text("mean_delay_seconds", 0.0629)
    '62.9 ms'
    >>> cell_text("holds", True)
    'yes'
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ABSENT
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    suffix = _suffix(column)
    if suffix:
        return SUFFIXES[suffix](value)
    if column.rpartition("_")[2] in SHARES and 0 <= value <= 1:
        return format_percent(value)
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _suffix(column: str) -> str:
    return next((each for each in SUFFIXES if column.endswith(each) and column != each), "")
