"""What the benchmarks share: the machine and the versions that a number belongs to, and one way to print a row."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


def setting(benchmark: str, *packages: str) -> dict[str, Any]:
    """Name, machine and versions, to be part of every row; packages that are not installed are left out."""
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


def processor() -> str:
    """The processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and how many seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def print_json(row: dict[str, Any]) -> None:
    """One JSON object, on one line, at once."""
    print(json.dumps(row), flush=True)
