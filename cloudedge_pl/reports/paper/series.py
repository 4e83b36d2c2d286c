"""A part's tables as drawings take them: as rows, or as the columns of each series."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudedge_pl.paper.part import Table

Row = dict[str, Any]


def rows_of(table: Table) -> list[Row]:
    """Returns the rows of a table as dictionaries."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def series_by(table: Table, column: str) -> dict[str, dict[str, np.ndarray]]:
    """Returns the columns of each series, as arrays of its rows.

    Args:
        table: of several series.
        column: that names the series of a row.
    """
    names = table.columns[column]
    return {
        name: {
            header: np.array([value for value, own in zip(values, names, strict=True) if own == name])
            for header, values in table.columns.items()
        }
        for name in dict.fromkeys(names)
    }
