"""The link from the edge to the cloud over time: every kind of link by name, and what an engine reads of it."""

from __future__ import annotations

from cloudedge_pl.simulation.link_laws import ConstantLink, DiurnalLink, GilbertElliottLink, LognormalLink
from cloudedge_pl.simulation.link_processes import LinkProcess, LinkSettings
from cloudedge_pl.simulation.link_segments import LinkSegments, transfer_end
from cloudedge_pl.simulation.link_traces import MahimahiLink, ThroughputLink, TraceLink

LINKS: dict[str, type[LinkSettings]] = {
    "constant": ConstantLink,
    "lognormal": LognormalLink,
    "gilbert_elliott": GilbertElliottLink,
    "diurnal": DiurnalLink,
    "trace": TraceLink,
    "mahimahi": MahimahiLink,
    "throughput": ThroughputLink,
}
"""Kinds of links by name."""

__all__ = ["LINKS", "LinkProcess", "LinkSegments", "LinkSettings", "transfer_end"]
