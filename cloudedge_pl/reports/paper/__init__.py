"""Drawings of the paper's tables and figures, from the tables of their results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudedge_pl.paper.part import PartResult

FIGURES: dict[str, Callable[[PartResult, Path], Path]] = {}
"""By the name of the part: draws a result into a file, and returns its path."""
