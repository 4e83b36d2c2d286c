"""The machine that a result was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """Returns the name of the processor, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Returns processor, cores, graphics processors and system in one line."""
    import torch

    count = torch.cuda.device_count()
    devices = sorted({torch.cuda.get_device_name(index) for index in range(count)})
    graphics = f"{count} x {', '.join(devices)}" if devices else "no GPU"
    return f"{processor()}, {usable_cores()} cores, {graphics}, {platform.system()} {platform.machine()}"
