"""When tasks arrive: every kind of arrivals by name, and what a source of tasks reads of them."""

from __future__ import annotations

from cloudedge_pl.simulation.arrival_processes import (
    BLOCK,
    ArrivalProcess,
    Arrivals,
    ArrivalSettings,
    ConstantArrivals,
    MmppArrivals,
    OnOffArrivals,
    PoissonArrivals,
)
from cloudedge_pl.simulation.arrival_traces import TraceArrivals

ARRIVALS: dict[str, type[ArrivalSettings]] = {
    "poisson": PoissonArrivals,
    "constant": ConstantArrivals,
    "mmpp": MmppArrivals,
    "on_off": OnOffArrivals,
    "trace": TraceArrivals,
}
"""Processes of arrivals by name."""

__all__ = [
    "ARRIVALS",
    "BLOCK",
    "ArrivalProcess",
    "ArrivalSettings",
    "Arrivals",
    "ConstantArrivals",
    "MmppArrivals",
    "OnOffArrivals",
    "PoissonArrivals",
    "TraceArrivals",
]
