"""The link from the edge to the cloud over time: every kind of link by name, and what an engine reads of it."""

from __future__ import annotations

from cloudedge_pl.simulation.link_processes import ConstantLink, LinkProcess, LinkSettings, LognormalLink
from cloudedge_pl.simulation.link_segments import LinkSegments, transfer_end

LINKS: dict[str, type[LinkSettings]] = {
    "constant": ConstantLink,
    "lognormal": LognormalLink,
}
"""Kinds of links by name."""

__all__ = ["LINKS", "LinkProcess", "LinkSegments", "LinkSettings", "transfer_end"]
