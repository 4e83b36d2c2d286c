"""Compiled kernels: a kernel that calls others is compiled again when one of their files has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cloudedge_pl

ASK = """
import sys
import numpy
numpy.__version__ += sys.argv[1]
from cloudedge_pl.dormancy import DormancyRule, DormancyState
from cloudedge_pl.simulation.dormancy_kernel import advance
values = DormancyState().packed()
advance(DormancyRule(mode="always").packed(), values, 1.0, 1.0, 1.0)
print(values[0], sum(advance.stats.cache_hits.values()))
"""


def test_a_change_in_a_called_file_or_of_numpy_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "cloudedge_pl"
    shutil.copytree(Path(cloudedge_pl.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def ask(version: str = "") -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", ASK, version],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert ask() == "0.0 0"
    assert ask() == "0.0 1"  # from the cache
    assert ask(".1") == "0.0 0"  # another numpy may not read what this one has pickled of structured arrays
    assert ask(".1") == "0.0 1"
    other = copy / "simulation" / "queues.py"  # not the kernel's own file
    other.write_text(other.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert ask() == "0.0 0"


def test_two_processes_write_no_file_of_the_same_name() -> None:
    code = (
        "from cloudedge_pl.simulation.dormancy_kernel import advance\n"
        "print(advance._cache._cache_file._data_name(1))"
    )
    names = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert names[0] != names[1]
    assert all(name.strip().endswith(".nbc") for name in names)
