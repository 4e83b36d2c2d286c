"""The parts of the reproduction: the paper's tables and figures, and a map of where its system pays."""

from __future__ import annotations

from cloudedge_pl.paper.part import Part

ALL: tuple[Part, ...] = ()

PARTS: dict[str, Part] = {part.name: part for part in ALL}
"""By name, in the order of the paper."""
