"""Figures of a small fleet, as they might have been measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.validation.measured import Figures, ServerFigures
from cloudedge_pl.validation.twin import Twin

NODE = ServerFigures(
    service_seconds=0.05,
    jitter=0.0,
    link_seconds=0.008,
    bits_per_second=40e6,
    sent_bytes=12_000.0,
    received_bytes=10_000.0,
)
CLOUD = ServerFigures(
    service_seconds=0.01,
    jitter=0.0,
    link_seconds=0.045,
    bits_per_second=10e6,
    sent_bytes=2500.0,
    received_bytes=500.0,
)


def figures(*node_seconds: float) -> Figures:
    nodes = tuple(replace(NODE, service_seconds=seconds) for seconds in node_seconds or (0.05,))
    return Figures(nodes=nodes, cloud=CLOUD, exit_seconds=0.0001)


def twin(folder: Path, *node_seconds: float, **changes: Any) -> Twin:
    given: dict[str, Any] = {
        "figures": figures(*node_seconds),
        "master": MasterSettings(),
        "rule": DormancyRule(),
        "delay_seconds": 0.02,
        "folder": folder,
    }
    return Twin(**given | changes)
