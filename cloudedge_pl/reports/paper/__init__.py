"""Drawings of the paper's tables and figures, from the tables of their results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudedge_pl.paper.part import PartResult
from cloudedge_pl.reports.paper.cuts import save_fig5, save_fig6, save_table1
from cloudedge_pl.reports.paper.learning import save_learning
from cloudedge_pl.reports.paper.schedules import save_fig7
from cloudedge_pl.reports.paper.systems import save_table2
from cloudedge_pl.reports.paper.volume import save_fig8
from cloudedge_pl.reports.paper.wins import save_map

FIGURES: dict[str, Callable[[PartResult, Path], Path]] = {
    "table1": save_table1,
    "fig5": save_fig5,
    "fig6": save_fig6,
    "fig7": save_fig7,
    "fig8": save_fig8,
    "table2": save_table2,
    "fig9": save_learning,
    "map": save_map,
}
"""By the name of the part: draws a result into a file, and returns its path."""
