"""Shared by the benchmarks: the machine and versions that belong to a number, the fleet, timing, and printing rows."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from cloudedge_pl.commands.machine import processor
from cloudedge_pl.fleet import Fleet, Link, Workload

WORKLOAD = Workload(arrival_rate=8.0, max_delay_seconds=1.0, optimizer_slots=1)


def roomy_fleet(device: str, num_nodes: int, speed_spread: float = 0.0) -> Fleet:
    """Nodes with all the memory and energy of their device, on a fast, constant link."""
    link = Link(
        bandwidth_bits_per_second=50e6,
        propagation_seconds=0.01,
        variation=0.0,
        uplink_bits_per_second=(40e6, 55e6, 70e6),
    )
    limits = {"memory_bytes": None, "max_energy_joules": math.inf}
    return Fleet.preset(device, num_nodes, link=link, speed_spread=speed_spread, **limits)


def setting(benchmark: str, *packages: str) -> dict[str, Any]:
    """Name, machine and versions for every row; packages that are not installed are left out."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "benchmark": benchmark,
        "machine": processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The value that a call returns, and the seconds that it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def print_json(row: dict[str, Any]) -> None:
    """Prints a JSON object on one line and flushes."""
    print(json.dumps(row), flush=True)
